// SPDX-License-Identifier: MIT
#include "base/text.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

namespace grab {
namespace {

bool is_continuation(unsigned char byte) {
  return (byte & 0xC0U) == 0x80U;
}

// Characters that show nothing, but change the order, the lines or the comparison of what is around
// them: a name that has them can look like another one.
// Source: Unicode 15 DerivedGeneralCategory.txt (Cf, Zl, Zp), PropList.txt (Bidi_Control) and
// DerivedCoreProperties.txt (Default_Ignorable_Code_Point).
bool hides_something(char32_t c) {
  constexpr struct {
    char32_t first, last;
  } kRanges[] = {
      {0x00AD, 0x00AD},    // soft hyphen
      {0x061C, 0x061C},    // Arabic letter mark
      {0x115F, 0x1160},    // Hangul fillers
      {0x180E, 0x180E},    // Mongolian vowel separator
      {0x200B, 0x200F},    // zero width, and direction marks
      {0x2028, 0x202E},    // separators, and direction overrides
      {0x2060, 0x206F},    // joiners, and direction isolates
      {0x3164, 0x3164},    // Hangul filler
      {0xFEFF, 0xFEFF},    // byte order mark
      {0xFFA0, 0xFFA0},    // half-width Hangul filler
      {0xFFF9, 0xFFFB},    // annotations
      {0xE0000, 0xE0FFF},  // tags
  };
  return std::any_of(std::begin(kRanges), std::end(kRanges),
                     [c](const auto& range) { return range.first <= c && c <= range.last; });
}

// What the well-formed UTF-8 sequence at the start of `text` stands for.
char32_t code_point(std::string_view sequence) {
  const auto lead = static_cast<unsigned char>(sequence[0]);
  char32_t c = lead & (0xFFU >> (sequence.size() + 1));
  for (const char byte : sequence.substr(1))
    c = (c << 6U) | (static_cast<unsigned char>(byte) & 0x3FU);
  return c;
}

// The length of the well-formed UTF-8 sequence at the start of `text` that is neither a control
// character nor hides something, 0 if there is none. Source: RFC 3629 section 4 (no overlong forms,
// no surrogates).
std::size_t harmless_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80)
    return lead >= 0x20 && lead != 0x7F ? 1 : 0;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length)
    return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if (!is_continuation(at(i)))
      return 0;
  }
  const unsigned char second = at(1);
  const bool c1 = lead == 0xC2 && second < 0xA0;
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool surrogate = lead == 0xED && second >= 0xA0;
  const bool too_large = lead == 0xF4 && second >= 0x90;
  if (c1 || overlong || surrogate || too_large)
    return 0;
  return hides_something(code_point(text.substr(0, length))) ? 0 : length;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = harmless_length(text);
    if (length == 0)
      out.push_back('?');
    else
      out.append(text.substr(0, length));
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

}  // namespace grab
