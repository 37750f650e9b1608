// SPDX-License-Identifier: MIT
// Which part of a run of text need not be parsed, since it will have scrolled away. A line costs
// libvterm a hundred times what it costs to be skipped here.
//
// Where a newline scrolls (Emulator::newline_scrolls) and nothing is unfinished before it
// (InputFilter::empty), everything up to tail_begin() can be left out but for its styles. Why it
// does not matter: the cursor is in the last row of a scrolling region as wide as the screen, so
// every line from there on begins on a blank row.
// - The tail begins with CR LF, so it does not depend on the column or on a pending wrap.
// - It has as many newlines as the screen has rows, so every row that was there before it has left
//   the region; rows outside of the region are touched by neither.
// - The first character that it draws is ASCII: no combining character joins what was before.
// - Modes, margins, tab stops and the saved cursor are changed by sequences only (C1 in UTF-8 are
//   dropped by InputFilter), and of those a run has SGR, which changes the style of what follows,
//   and EL, which changes the row that the cursor is in. SO and SI, which change the character set,
//   are in no run.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace grab::relay {

/// How many of the first bytes are text and whole SGR and EL sequences, and nothing else. O(n).
[[nodiscard]] std::size_t run_size(std::string_view bytes);

/// The size of the first part of a run that brings the cursor into the last row, with `rows_below`
/// below it now; all of it if that is not known.
[[nodiscard]] std::size_t head_size(std::string_view run, int rows_below);

/// Where the part of a run begins that a screen of `rows` still shows at the end of it; 0 if all of
/// it may be seen.
[[nodiscard]] std::size_t tail_begin(std::string_view run, int rows);

/// The SGR sequences of a run that make the style that it ends with.
[[nodiscard]] std::string styles_of(std::string_view run);

}  // namespace grab::relay
