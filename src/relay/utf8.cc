// SPDX-License-Identifier: MIT
#include "relay/utf8.h"

#include <algorithm>

namespace grab::relay {
namespace {

// How long a character is that begins with this byte; 0 if none does.
std::size_t size_of(unsigned char first) {
  if (first < 0x80)
    return 1;
  if (first >= 0xc2 && first < 0xe0)
    return 2;
  if (first >= 0xe0 && first < 0xf0)
    return 3;
  return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

bool continues(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

}  // namespace

Utf8Character utf8_character(std::string_view bytes) {
  const auto first = static_cast<unsigned char>(bytes[0]);
  const std::size_t size = size_of(first);
  if (size == 1)
    return {first, 1, true};
  std::size_t have = 1;
  char32_t code = first & (0x7fU >> size);
  while (have < size && have < bytes.size() && continues(bytes[have])) {
    code = code << 6 | (static_cast<unsigned char>(bytes[have]) & 0x3fU);
    ++have;
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (have != size || size == 0)
    return {0, have, false};
  const bool is_surrogate = code >= 0xd800 && code < 0xe000;
  return {code, size, code >= kLeast[size] && code <= 0x10ffff && !is_surrogate};
}

std::size_t unfinished_utf8(std::string_view bytes) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, bytes.size()); ++back) {
    const char byte = bytes[bytes.size() - back];
    if (!continues(byte))
      return size_of(static_cast<unsigned char>(byte)) > back ? back : 0;
  }
  return 0;
}

void append_utf8(std::string& out, char32_t code) {
  const auto rest = [&](int shift) { out += static_cast<char>(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    rest(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12);
    rest(6);
    rest(0);
  } else {
    out += static_cast<char>(0xf0 | code >> 18);
    rest(12);
    rest(6);
    rest(0);
  }
}

}  // namespace grab::relay
