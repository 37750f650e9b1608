// SPDX-License-Identifier: MIT
// The control characters that more than one reader of a terminal's bytes looks for (ECMA-48).
#pragma once

namespace grab::relay {

inline constexpr char kEsc = '\x1b';
inline constexpr char kShiftOut = '\x0e', kShiftIn = '\x0f';

}  // namespace grab::relay
