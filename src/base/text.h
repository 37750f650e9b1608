// SPDX-License-Identifier: MIT
// Text of foreign programs, made safe to print.
#pragma once

#include <string>
#include <string_view>

namespace grab {

/// The text with every control byte (C0, DEL, and bytes that are not valid UTF-8, C1 among them)
/// replaced by '?', so that a process's name can not drive the terminal it is printed on.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace grab
