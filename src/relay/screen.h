// SPDX-License-Identifier: MIT
// What the tree's terminal shows, kept by libvterm, so that a viewer who comes later sees it too.
// Pure: bytes in, bytes out. The modes that libvterm does not keep are ScreenTracker's.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "relay/tracker.h"
#include "relay/window_size.h"

namespace grab::relay {

class Screen {
 public:
  /// A size without rows or columns (a pts that nobody has sized) is taken as 24 x 80; one beyond
  /// kMaxRows or kMaxColumns as that many.
  explicit Screen(WindowSize size);
  ~Screen();
  Screen(Screen&&) noexcept;
  Screen& operator=(Screen&&) noexcept;

  /// Takes the next output of the tree; it may be cut anywhere. Large pieces are cheaper: of plain
  /// text only what has not scrolled away at the end of the piece is parsed (plain_text.h).
  void feed(std::string_view bytes);
  void resize(WindowSize size);

  /// What draws this screen, modes and all, on a terminal that is as a shell leaves it
  /// (ScreenTracker::undo()): the main screen and, where it is on, the alternate one. `modes` has
  /// followed the same bytes. Rows and columns that `viewer` does not have are left out; a viewer
  /// without a size is taken to have this screen's. What the terminal showed is scrolled into its
  /// scrollback. If the stream is inside a sequence, send modes.unfinished() after it.
  [[nodiscard]] std::string paint(const ScreenTracker& modes, WindowSize viewer) const;
  /// The same for a viewer that has been shown this tree before: what it showed is erased.
  [[nodiscard]] std::string repaint(const ScreenTracker& modes, WindowSize viewer) const;

  /// The visible rows, each with "\n"; trailing blanks and trailing empty rows are left out.
  [[nodiscard]] std::string text() const;
  /// Answers to the queries that were fed since the last call (DA1, DA2, DSR 5 and 6, DECRQM,
  /// DECRQSS ...), to be typed to the tree while no terminal is there to answer. Bounded.
  [[nodiscard]] std::string take_answers();

  static constexpr int kMaxRows = 1024;
  static constexpr int kMaxColumns = 2048;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace grab::relay
