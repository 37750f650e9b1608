// SPDX-License-Identifier: MIT
#include "relay/plain_text.h"

#include <algorithm>
#include <cstring>

#include "relay/controls.h"
#include "relay/utf8.h"

namespace grab::relay {
namespace {

constexpr std::size_t kBlock = 512;

// The size of the SGR or EL sequence at the front; 0 if there is none, or not all of it.
std::size_t sequence_size(std::string_view bytes) {
  if (!bytes.starts_with("\x1b["))
    return 0;
  std::size_t at = 2;
  while (at < bytes.size() && bytes[at] >= '0' && bytes[at] <= ';')
    ++at;
  return at < bytes.size() && (bytes[at] == 'm' || bytes[at] == 'K') ? at + 1 : 0;
}

// It begins by taking all styles away.
bool resets(std::string_view sgr) {
  const std::string_view parameters = sgr.substr(2, sgr.size() - 3);
  return parameters.empty() || parameters == "0" || parameters.starts_with("0;");
}

// The next character of a run that is drawn, or does something else, is ASCII and is drawn.
bool draws_ascii(std::string_view run) {
  while (const std::size_t size = sequence_size(run))
    run.remove_prefix(size);
  return !run.empty() && is_printable(run.front());
}

}  // namespace

// In blocks, so that a search for what does not come is not made again and again.
std::size_t run_size(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    std::string_view block = bytes.substr(at, kBlock);
    for (const char end : {kEsc, kShiftOut, kShiftIn})
      block = block.substr(0, block.find(end));
    at += block.size();
    if (block.size() == kBlock || at == bytes.size())
      continue;
    const std::size_t size = sequence_size(bytes.substr(at));
    if (size == 0)
      break;
    at += size;
  }
  return at;
}

std::size_t head_size(std::string_view run, int rows_below) {
  std::size_t at = 0;
  do {
    const std::size_t newline = run.find('\n', at);
    if (newline == std::string_view::npos)
      return run.size();
    at = newline + 1;
  } while (--rows_below >= 0);
  return at;
}

std::size_t tail_begin(std::string_view run, int rows) {
  const char* const begin = run.data();
  const char* end = begin + run.size();
  while (end > begin) {
    const auto* newline =
        static_cast<const char*>(memrchr(begin, '\n', static_cast<std::size_t>(end - begin)));
    if (newline == nullptr)
      break;
    end = newline;
    const auto at = static_cast<std::size_t>(newline - begin);
    if (--rows <= 0 && at > 0 && run[at - 1] == '\r' && draws_ascii(run.substr(at + 1)))
      return at - 1;
  }
  return 0;
}

std::string styles_of(std::string_view run) {
  std::string styles;
  for (std::size_t at = 0; (at = run.find(kEsc, at)) != std::string_view::npos;) {
    const std::string_view sequence = run.substr(at, sequence_size(run.substr(at)));
    at += sequence.size();
    if (sequence.back() != 'm')
      continue;
    if (resets(sequence))
      styles.clear();
    styles += sequence;
  }
  return styles;
}

}  // namespace grab::relay
