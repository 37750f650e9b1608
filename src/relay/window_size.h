// SPDX-License-Identifier: MIT
// The size of a terminal, as struct winsize has it.
#pragma once

namespace grab::relay {

struct WindowSize {
  unsigned short rows = 0, columns = 0, x_pixels = 0, y_pixels = 0;
  friend bool operator==(const WindowSize&, const WindowSize&) = default;
};

}  // namespace grab::relay
