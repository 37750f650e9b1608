// SPDX-License-Identifier: MIT
// Colours and attributes of text, as SGR sets them.
#pragma once

#include <cstdint>
#include <string>

namespace grab::relay {

/// 0: the default colour; kIndexedColour | 0-255; kRgbColour | 0xrrggbb.
using Colour = std::uint32_t;
constexpr Colour kIndexedColour = 0x01000000, kRgbColour = 0x02000000, kColourKind = 0xff000000;

enum StyleFlag : std::uint16_t {
  kBold = 1,
  kFaint = 2,
  kItalic = 4,
  kBlink = 8,
  kReverse = 16,
  kConceal = 32,
  kStrike = 64,
  kUnderlineShift = 8,  // two bits: none, single, double, curly
  kUnderlineMask = 3 << kUnderlineShift,
};

struct Style {
  Colour foreground = 0, background = 0;
  std::uint16_t flags = 0;
  friend bool operator==(const Style&, const Style&) = default;
};

/// The SGR sequence that makes a terminal that draws in style `from` draw in style `to`; empty if
/// they are the same.
[[nodiscard]] std::string change_style(const Style& from, const Style& to);

}  // namespace grab::relay
