// SPDX-License-Identifier: MIT
// UTF-8 one character at a time.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace grab::relay {

struct Utf8Character {
  char32_t code = 0;
  std::size_t size = 1;  ///< of what is not valid: the bytes to replace by one U+FFFD
  bool valid = false;
};

/// The character at the front of `bytes`, which is not empty.
[[nodiscard]] Utf8Character utf8_character(std::string_view bytes);
/// How many bytes at the end are the beginning of a character.
[[nodiscard]] std::size_t unfinished_utf8(std::string_view bytes);
void append_utf8(std::string& out, char32_t code);
/// ASCII that is drawn.
[[nodiscard]] constexpr bool is_printable(char byte) {
  return byte >= 0x20 && byte < 0x7f;
}

}  // namespace grab::relay
