// SPDX-License-Identifier: MIT
#include "relay/style.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

namespace grab::relay {
namespace {

constexpr std::array<std::pair<std::uint16_t, char>, 7> kFlags = {{{kBold, '1'},
                                                                   {kFaint, '2'},
                                                                   {kItalic, '3'},
                                                                   {kBlink, '5'},
                                                                   {kReverse, '7'},
                                                                   {kConceal, '8'},
                                                                   {kStrike, '9'}}};
constexpr std::array<std::string_view, 4> kUnderlines = {"24;", "4;", "21;", "4:3;"};

constexpr std::ptrdiff_t kMostBeforeBackground = 8;

std::string colour_parameters(Colour colour, int base) {
  const unsigned value = colour & ~kColourKind;
  if (colour == 0)
    return std::to_string(base + 9) + ';';
  if ((colour & kColourKind) == kRgbColour) {
    return std::to_string(base + 8) + ";2;" + std::to_string(value >> 16) + ';' +
           std::to_string(value >> 8 & 255) + ';' + std::to_string(value & 255) + ';';
  }
  const auto index = static_cast<int>(value);
  if (index < 8)
    return std::to_string(base + index) + ';';
  if (index < 16)
    return std::to_string(base + 60 + index - 8) + ';';
  return std::to_string(base + 8) + ";5;" + std::to_string(index) + ';';
}

}  // namespace

std::string change_style(const Style& from, const Style& to) {
  if (from == to)
    return {};
  if (to == Style{})
    return "\x1b[m";
  std::string parameters;
  Style now = from;
  // Bold and faint have one end in common, and not every terminal knows every end: start anew.
  const unsigned gone = now.flags & ~unsigned{to.flags} & ~unsigned{kUnderlineMask};
  if (gone != 0) {
    parameters = "0;";
    now = {};
  }
  for (const auto& [flag, digit] : kFlags) {
    if ((to.flags & flag) != 0 && (now.flags & flag) == 0)
      parameters += {digit, ';'};
  }
  if (((now.flags ^ to.flags) & kUnderlineMask) != 0)
    parameters +=
        kUnderlines[static_cast<std::size_t>(to.flags & kUnderlineMask) >> kUnderlineShift];
  if (now.foreground != to.foreground)
    parameters += colour_parameters(to.foreground, 30);
  if (now.background != to.background) {
    // Linux and libvterm take 16 parameters, and libvterm writes the rest behind its array.
    if (std::count(parameters.begin(), parameters.end(), ';') > kMostBeforeBackground) {
      parameters.back() = 'm';
      parameters += "\x1b[";
    }
    parameters += colour_parameters(to.background, 40);
  }
  parameters.back() = 'm';
  return "\x1b[" + parameters;
}

}  // namespace grab::relay
