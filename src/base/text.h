// SPDX-License-Identifier: MIT
// Text of foreign programs, made safe to print.
#pragma once

#include <string>
#include <string_view>

namespace grab {

/// The text with '?' for every byte of a control character (C0, DEL, C1), of what is not valid
/// UTF-8, and of a character that shows nothing (zero width, or of the direction of writing), so
/// that a process's name can neither drive the terminal it is printed on nor look like another.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace grab
