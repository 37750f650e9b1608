// SPDX-License-Identifier: MIT
// Follows what a program writes to its terminal, for the modes that have to be undone when the
// terminal is given back to somebody else (alternate screen, mouse, bracketed paste ...) and set
// again afterwards. Pure: bytes in, two strings out. It keeps no picture of the screen.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "relay/keyboard_flags.h"

namespace grab::relay {

class ScreenTracker {
 public:
  /// A place in the stream: how many bytes had been followed before it, since the beginning.
  struct Span {
    std::uint64_t begin = 0, end = 0;
    friend bool operator==(const Span&, const Span&) = default;
  };

  /// Takes the next bytes of the stream; a sequence may be cut anywhere. O(n); text between
  /// sequences costs a search for a byte or two.
  void follow(std::string_view bytes);
  /// How many bytes have been followed.
  [[nodiscard]] std::uint64_t followed() const { return followed_; }

  /// No escape sequence is unfinished: other text may be written here.
  [[nodiscard]] bool between_sequences() const { return state_ == State::kText; }
  /// The last byte was a newline, or there was none yet.
  [[nodiscard]] bool at_line_start() const { return line_start_; }
  [[nodiscard]] bool alternate_screen() const { return alternate_ != 0; }

  /// The beginning of a sequence or of a UTF-8 character that the stream is inside of; empty if it
  /// is not. A terminal that was shown everything before is sent this before the next bytes. Of a
  /// string longer than kMaxUnfinished it is something that makes a terminal pass over the rest.
  [[nodiscard]] std::string unfinished() const;
  /// Where that begins; followed() if there is nothing.
  [[nodiscard]] std::uint64_t unfinished_begin() const;
  /// The queries that ended in the bytes last followed, in order; one may have begun before them.
  /// Every terminal that is sent one answers it, so one of several viewers is to be sent it.
  [[nodiscard]] const std::vector<Span>& queries() const { return queries_; }

  /// What gives the terminal back as a shell expects it; empty if nothing was changed.
  [[nodiscard]] std::string undo() const;
  /// What sets the modes again that undo() took away. The contents of the screen, the colours,
  /// margins, tab stops and the cursor are the program's to set again, or Screen's.
  [[nodiscard]] std::string redo() const;

  // The parts of redo(), for one who draws the screen in between.
  /// The main screen's own modes, then what switches to the alternate one; empty if nothing does.
  [[nodiscard]] std::string redo_alternate_screen() const;
  /// Modes that change what cursor movements and text do; those that move the cursor themselves
  /// come first.
  [[nodiscard]] std::string redo_geometry() const;
  [[nodiscard]] std::string redo_text_modes() const;
  /// The rest: what is typed, the mouse, how the cursor looks, colours of the terminal.
  [[nodiscard]] std::string redo_other_modes() const;
  /// 47, 1047 or 1049; 0 on the main screen.
  [[nodiscard]] unsigned alternate_mode() const { return alternate_; }
  [[nodiscard]] bool origin_mode() const;
  [[nodiscard]] bool left_right_margins() const;
  /// What OSC 0 or 2 said last. undo() leaves it: shells set their own.
  [[nodiscard]] const std::string& title() const { return title_; }

  static constexpr std::size_t kMaxUnfinished = 4096;

 private:
  enum class State : std::uint8_t { kText, kEscape, kEscapeRest, kControl, kString, kStringEscape };

  void sequence_byte(unsigned char byte);
  void control_character(unsigned char byte);
  void escape_byte(unsigned char byte);
  void finish_escape(unsigned char byte);
  void control_byte(unsigned char byte);
  void finish_control(char final);
  void finish_string();
  void finish_osc(std::string_view content);
  void follow_shifts(std::string_view text);
  void set_ansi_mode(unsigned mode, bool on);
  void set_private_mode(unsigned mode, bool on);
  void save_private_mode(unsigned mode, bool save);
  void set_bit(std::size_t mode, bool changed);
  void set_keyboard_flags();
  void soft_reset();
  void full_reset();
  [[nodiscard]] bool is_changed(unsigned mode) const;
  [[nodiscard]] bool is_plain_sequence() const { return prefix_ == 0 && intermediate_ == 0; }
  [[nodiscard]] std::string charsets() const;
  KeyboardFlags& keyboard() { return keyboards_[alternate_ != 0 ? 1 : 0]; }
  [[nodiscard]] const KeyboardFlags& keyboard() const {
    return keyboards_[alternate_ != 0 ? 1 : 0];
  }

  static constexpr std::size_t kMaxParameters = 16;  // what xterm and VTE take at least
  static constexpr std::size_t kMaxTitle = 1024;     // far more than fits into a title bar

  State state_ = State::kText;
  bool line_start_ = true;
  char string_kind_ = 0;  // the byte behind ESC: ] for OSC, P for DCS ...

  // The control sequence that is being read.
  char prefix_ = 0;
  char intermediate_ = 0;
  std::array<unsigned, kMaxParameters> parameters_{};
  std::size_t parameter_ = 0;  // index of the one being read

  std::uint64_t followed_ = 0;
  std::string pending_;  // what is unfinished, from its first byte on; bounded by kMaxUnfinished
  std::uint64_t pending_begin_ = 0;
  std::vector<Span> queries_;

  // What differs from a terminal that a shell expects.
  std::uint32_t changed_modes_ = 0;  // bit i: kModes[i] of tracker.cc
  std::uint32_t saved_modes_ = 0;    // the same, of XTSAVE
  unsigned alternate_ = 0;           // 47, 1047, 1049; 0 on the main screen
  unsigned modified_keys_ = 0;       // xterm's modifyOtherKeys
  unsigned cursor_shape_ = 0;        // DECSCUSR
  bool keypad_ = false;
  bool attributes_ = false;
  bool saved_attributes_ = false;  // those that leaving the alternate screen (1049) restores
  bool margins_ = false;
  bool tab_stops_ = false;
  bool insert_ = false;
  bool newline_mode_ = false;
  bool link_ = false;                                    // an OSC 8 is open
  std::array<char, 4> charsets_ = {'B', 'B', 'B', 'B'};  // the final byte of G0 to G3
  unsigned shift_ = 0;                                   // which of them is in use
  unsigned single_shift_ = 0;                            // which the next character is of; 0: none
  std::array<KeyboardFlags, 2> keyboards_;               // of the main and the alternate screen
  std::array<std::string, 3> colours_;                   // OSC 10, 11, 12, where they were set
  std::string title_;
};

}  // namespace grab::relay
