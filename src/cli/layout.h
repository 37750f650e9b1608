// SPDX-License-Identifier: MIT
// Text in columns of a terminal. It expects text that is safe to print, as printable() makes it,
// and asks no locale.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace grab::cli {

/// The columns that valid UTF-8 takes on a terminal: 2 for a wide character, 0 for a combining one.
[[nodiscard]] std::size_t display_width(std::string_view text);

/// The text in at most `columns` (at least 3) columns; what is cut off ends in "...".
[[nodiscard]] std::string fit(std::string_view text, std::size_t columns);

/// The text, filled up with spaces to `columns` columns; `right`: on its left.
[[nodiscard]] std::string pad(std::string_view text, std::size_t columns, bool right = false);

/// The text broken at its spaces into lines of at most `columns` columns where it has any there;
/// the first begins with `first`, each other one with as many spaces. Ends with a newline.
[[nodiscard]] std::string wrap(std::string_view first, std::string_view text, std::size_t columns);

/// "a, b and c"
[[nodiscard]] std::string join_words(const std::vector<std::string>& words);

/// "0-2, 5" of 0 1 2 5; the numbers are ascending.
[[nodiscard]] std::string join_ranges(const std::vector<int>& numbers);

}  // namespace grab::cli
