// SPDX-License-Identifier: MIT
// Which part of a run of plain text need not be parsed, since it will have scrolled away. A line
// costs libvterm a hundred times what it costs to be skipped here.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace grab::relay {

/// Parse [0, head), see that nothing is unfinished there (InputFilter::empty) and that a newline
/// scrolls (Emulator::newline_scrolls), then parse [tail, size).
struct TextCut {
  std::size_t head = 0, tail = 0;
};

/// Where to cut a run of text without ESC, given the rows of the screen and how many of them are
/// below the cursor; none if it is not worth it.
///
/// Why what is between head and tail does not matter: behind the head the cursor is in the last row
/// of a scrolling region as wide as the screen, so every line from there on begins on a blank row.
/// - The tail begins with CR LF, so it does not depend on the column or on a pending wrap.
/// - It has as many newlines as the screen has rows, so every row that was there before it has left
///   the region; rows outside of the region are touched by neither.
/// - The first character that it draws is ASCII: no combining character joins what was before.
/// - Modes, margins, tab stops, pen and saved cursor are changed by sequences only, and those begin
///   with ESC (C1 in UTF-8 are dropped by InputFilter). SO and SI, which change the character set,
///   are not skipped.
[[nodiscard]] std::optional<TextCut> plan_cut(std::string_view run, int rows, int rows_below);

}  // namespace grab::relay
