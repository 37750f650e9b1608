// SPDX-License-Identifier: MIT
#include "cli/layout.h"

#include <algorithm>
#include <array>

namespace grab::cli {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

// The blocks that matter; a character of another one counts as one column, and at worst a column
// is shifted. Source: Unicode 15 EastAsianWidth.txt (W, F) and DerivedGeneralCategory.txt (Mn, Cf).
constexpr std::array kWide = {
    Range{0x1100, 0x115F},   Range{0x2E80, 0x303E},   Range{0x3041, 0xA4CF},
    Range{0xAC00, 0xD7A3},   Range{0xF900, 0xFAFF},   Range{0xFE30, 0xFE6F},
    Range{0xFF00, 0xFF60},   Range{0xFFE0, 0xFFE6},   Range{0x1F300, 0x1F64F},
    Range{0x1F680, 0x1F6FF}, Range{0x1F900, 0x1F9FF}, Range{0x20000, 0x3FFFD},
};
constexpr std::array kNoWidth = {
    Range{0x0300, 0x036F}, Range{0x200B, 0x200F}, Range{0x202A, 0x202E}, Range{0x2060, 0x2064},
    Range{0x20D0, 0x20F0}, Range{0xFE00, 0xFE0F}, Range{0xFEFF, 0xFEFF}, Range{0xE0100, 0xE01EF},
};

template <std::size_t N>
bool within(const std::array<Range, N>& ranges, char32_t c) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [c](Range range) { return range.first <= c && c <= range.last; });
}

// The bytes and the columns of the character that `text` begins with.
struct Character {
  std::size_t bytes;
  std::size_t columns;
};
Character first_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0xC0)
    return {1, 1};
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  const std::size_t bytes = std::min(length, text.size());
  char32_t c = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < bytes; ++i)
    c = (c << 6U) | (static_cast<unsigned char>(text[i]) & 0x3FU);
  return {bytes, within(kNoWidth, c) ? 0U : within(kWide, c) ? 2U : 1U};
}

// The longest beginning of `text` that fits into `columns`.
std::string_view head(std::string_view text, std::size_t columns) {
  std::size_t bytes = 0;
  while (bytes < text.size()) {
    const Character next = first_character(text.substr(bytes));
    if (next.columns > columns)
      break;
    columns -= next.columns;
    bytes += next.bytes;
  }
  return text.substr(0, bytes);
}

}  // namespace

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const Character next = first_character(text);
    width += next.columns;
    text.remove_prefix(next.bytes);
  }
  return width;
}

std::string fit(std::string_view text, std::size_t columns) {
  if (display_width(text) <= columns)
    return std::string(text);
  return std::string(head(text, columns - std::min<std::size_t>(columns, 3))) + "...";
}

std::string pad(std::string_view text, std::size_t columns, bool right) {
  const std::size_t width = display_width(text);
  const std::string space(columns - std::min(columns, width), ' ');
  return right ? space + std::string(text) : std::string(text) + space;
}

std::string wrap(std::string_view first, std::string_view text, std::size_t columns) {
  std::string out(first);
  const std::size_t indent = display_width(first);
  std::size_t column = indent;
  bool line_empty = true;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (word.empty())
      continue;
    const std::size_t width = display_width(word);
    if (!line_empty && column + 1 + width > columns) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
      line_empty = true;
    }
    if (!line_empty) {
      out += ' ';
      ++column;
    }
    out += word;
    column += width;
    line_empty = false;
  }
  return out + "\n";
}

std::string join_words(const std::vector<std::string>& words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0)
      out += i + 1 == words.size() ? " and " : ", ";
    out += words[i];
  }
  return out;
}

std::string join_ranges(const std::vector<int>& numbers) {
  std::string out;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1)
      ++last;
    out += (out.empty() ? "" : ", ") + std::to_string(numbers[i]);
    if (last > i)
      out += (last == i + 1 ? ", " : "-") + std::to_string(numbers[last]);
    i = last + 1;
  }
  return out;
}

}  // namespace grab::cli
