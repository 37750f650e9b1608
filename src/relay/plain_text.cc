// SPDX-License-Identifier: MIT
#include "relay/plain_text.h"

#include <cstring>

namespace grab::relay {
namespace {

constexpr char kShiftOut = '\x0e', kShiftIn = '\x0f';

// Seeing that a newline scrolls costs as much as parsing about this many bytes.
constexpr std::size_t kWorthSkipping = 512;

bool is_printable(char byte) {
  return byte >= 0x20 && byte < 0x7f;
}

// Behind as many newlines, and one more.
std::size_t find_head(std::string_view run, int newlines) {
  std::size_t at = 0;
  do {
    const std::size_t newline = run.find('\n', at);
    if (newline == std::string_view::npos)
      return run.size();
    at = newline + 1;
  } while (--newlines >= 0);
  return at;
}

// The last CR LF that has enough newlines from there on and is followed by an ASCII character.
std::size_t find_tail(std::string_view run, std::size_t head, int newlines) {
  const char* const begin = run.data() + head;
  const char* end = run.data() + run.size();
  while (end > begin) {
    const auto* newline =
        static_cast<const char*>(memrchr(begin, '\n', static_cast<std::size_t>(end - begin)));
    if (newline == nullptr)
      break;
    end = newline;
    if (--newlines <= 0 && newline > begin && newline[-1] == '\r' &&
        newline + 1 < run.data() + run.size() && is_printable(newline[1]))
      return static_cast<std::size_t>(newline - 1 - run.data());
  }
  return head;
}

}  // namespace

std::optional<TextCut> plan_cut(std::string_view run, int rows, int rows_below) {
  const std::size_t head = find_head(run, rows_below);
  if (head + kWorthSkipping > run.size())
    return std::nullopt;
  const std::size_t tail = find_tail(run, head, rows);
  if (head + kWorthSkipping > tail)
    return std::nullopt;
  const std::string_view skipped = run.substr(head, tail - head);
  for (const char shift : {kShiftOut, kShiftIn}) {
    if (skipped.find(shift) != std::string_view::npos)
      return std::nullopt;
  }
  return TextCut{head, tail};
}

}  // namespace grab::relay
