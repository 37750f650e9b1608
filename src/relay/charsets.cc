// SPDX-License-Identifier: MIT
#include "relay/charsets.h"

#include <utility>

#include "relay/utf8.h"

namespace grab::relay {
namespace {

// From 0x5f to 0x7e. Source: VT220 Programmer Reference, table 2-4.
constexpr std::u32string_view kLineDrawing =
    U" \u25c6\u2592\u2409\u240c\u240d\u240a\u00b0\u00b1\u2424\u240b\u2518\u2510\u250c\u2514\u253c"
    U"\u23ba\u23bb\u2500\u23bc\u23bd\u251c\u2524\u2534\u252c\u2502\u2264\u2265\u03c0\u2260\u00a3"
    U"\u00b7";
static_assert(kLineDrawing.size() == 0x7f - 0x5f);

char32_t meaning(char set, char byte) {
  if (set == '0' && byte >= 0x5f && byte < 0x7f)
    return kLineDrawing[static_cast<std::size_t>(byte - 0x5f)];
  if (set == 'A' && byte == '#')
    return U'\u00a3';
  return static_cast<unsigned char>(byte);
}

}  // namespace

std::string Charsets::translate(std::string_view text) {
  std::string out;
  for (const char byte : text) {
    const std::size_t set = single_ != 0 ? std::exchange(single_, 0) : shift_;
    append_utf8(out, meaning(sets_[set], byte));
  }
  return out;
}

}  // namespace grab::relay
