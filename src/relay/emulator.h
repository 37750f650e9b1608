// SPDX-License-Identifier: MIT
// libvterm with a grid for each of the two screens. libvterm's own screen layer shows one of the
// two only, and its state layer keeps things that no function tells (margins, tab stops, the saved
// cursor, a pending wrap): those are found by trying what depends on them and putting libvterm's
// memory back.
#pragma once

#include <vterm.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "relay/grid.h"

namespace grab::relay {

struct Position {
  int row = 0, column = 0;
  friend bool operator==(const Position&, const Position&) = default;
};

/// What libvterm knows beside the cells.
struct HiddenState {
  Position cursor;
  bool pending_wrap = false;  ///< the next glyph goes to the next line
  Style pen;
  Position saved_cursor;  ///< of DECSC
  Style saved_pen;
  Rect margins;
  std::vector<int> tab_stops;  ///< without column 0 and the last one, where a tab ends anyway
  friend bool operator==(const HiddenState&, const HiddenState&) = default;
};

/// libvterm does not know faint and concealed text. It keeps ten fonts, which nobody uses: SGR 10 +
/// these bits stands for them.
constexpr int kFaintFont = 1, kConcealFont = 2;

class Emulator {
 public:
  Emulator(int rows, int columns);
  ~Emulator();
  Emulator(const Emulator&) = delete;
  Emulator& operator=(const Emulator&) = delete;

  /// Whole characters and whole sequences only, and nothing that libvterm 0.1.4 gets wrong: what
  /// InputFilter passes on. So libvterm is always between sequences.
  void write(std::string_view bytes);
  void resize(int rows, int columns);

  [[nodiscard]] int rows() const { return main_.rows(); }
  [[nodiscard]] int columns() const { return main_.columns(); }
  [[nodiscard]] const Grid& main() const { return main_; }
  /// None while the main screen is shown.
  [[nodiscard]] const Grid* alternate() const { return alternate_ ? &*alternate_ : nullptr; }
  [[nodiscard]] const Grid& active() const { return alternate_ ? *alternate_ : main_; }
  [[nodiscard]] const Style& pen() const { return pen_; }
  [[nodiscard]] Position cursor() const;
  [[nodiscard]] HiddenState hidden_state();
  /// A newline would now scroll whole rows by one and leave the cursor in its row.
  [[nodiscard]] bool newline_scrolls();
  /// What was drawn last; empty if nothing was.
  [[nodiscard]] const std::u32string& last_glyph() const { return last_glyph_; }
  /// Bounded by kMaxAnswers.
  [[nodiscard]] std::string take_answers() { return std::exchange(answers_, {}); }

  static constexpr std::size_t kMaxAnswers = 4096;  // what a pts takes in one line
  static constexpr int kMinColumnsToCut = 8;        // wide glyphs and double-width lines fit

 private:
  struct Block {
    std::unique_ptr<char[]> memory;
    std::size_t size = 0;
  };
  /// What libvterm did while something was tried.
  struct Trial {
    std::vector<Position> glyphs;
    struct Scroll {
      Rect rect;
      int up = 0, leftward = 0;
    };
    std::vector<Scroll> scrolls;
    Style pen;
  };

  static Emulator& self(void* user) { return *static_cast<Emulator*>(user); }
  static void* allocate(std::size_t size, void* user);
  static void release(void* memory, void* user);
  static const VTermStateCallbacks& callbacks();

  void put(const VTermGlyphInfo& info, VTermPos at);
  void erase(VTermRect rect, bool selective);
  void scroll(VTermRect rect, int up, int leftward);
  void set_pen(VTermAttr attribute, const VTermValue& value);
  void set_property(VTermProp property, const VTermValue& value);
  void answer(std::string_view bytes);
  void prepare_resize(int rows, int columns);
  int resize_grids(int rows, int columns);

  Grid& shown() { return alternate_ ? *alternate_ : main_; }
  /// Runs `attempt` with libvterm; afterwards everything is as before.
  Trial attempt(const std::function<void()>& action);

  std::vector<Block> blocks_;  // all memory that libvterm has
  VTerm* vterm_ = nullptr;
  VTermState* state_ = nullptr;
  Trial* trial_ = nullptr;     // what is done is noted there and not in the grids
  bool keeps_memory_ = false;  // while something is tried
  int drop_of_main_ = 0;       // rows, at the next resize, while the alternate screen is shown
  Grid main_;
  std::optional<Grid> alternate_;
  Style pen_;
  std::u32string last_glyph_;
  std::string answers_;
};

}  // namespace grab::relay
