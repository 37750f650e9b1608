// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>

namespace grab {

/// Writes to a terminal with O_NONBLOCK what it has room for, for who cannot come back to it later.
/// Returns how many bytes that was. Waits for room, and for others who write there just now, 20 ms
/// at most.
std::size_t write_what_fits(int fd, std::string_view text);

}  // namespace grab
