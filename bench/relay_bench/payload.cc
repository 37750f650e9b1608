// SPDX-License-Identifier: MIT
#include "relay_bench/payload.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace grab::bench {
namespace {

constexpr std::size_t kBlock = std::size_t{64} * 1024;
constexpr std::size_t kBlocks = 5;  // 320 KiB: 4096 lines of 80 bytes, and in the cache of any CPU
constexpr std::size_t kColumns = 79;
constexpr int kRows = 24;

std::string number(std::size_t value, int digits) {
  std::array<char, 32> text{};
  (void)std::snprintf(text.data(), text.size(), "%0*zu", digits, value);
  return text.data();
}

std::string text_line(std::size_t n) {
  static constexpr std::string_view kWords =
      "the quick brown fox jumps over the lazy dog and runs away from the hunters of the old wood ";
  std::string line = number(n, 8) + " ";
  while (line.size() < kColumns)
    line += kWords[(n * 7 + line.size()) % kWords.size()];
  return line;
}

// What gcc writes with -fdiagnostics-color=always.
std::string log_line(std::size_t n) {
  const std::string file = "src/part" + number(n % 97, 2) + "/file" + number(n, 6) + ".cc";
  switch (n % 4) {
    case 0:
      return "\033[01m\033[K" + file + ":\033[m\033[K In function '\033[01m\033[Kint f(int)\033[m" +
             "\033[K':";
    case 1:
      return "\033[01m\033[K" + file + ":" + number(n % 900 + 100, 3) +
             ":12:\033[m\033[K \033[01;35m\033[Kwarning: \033[m\033[Kunused variable '\033[01m" +
             "\033[Kvalue\033[m\033[K' [\033[01;35m\033[K-Wunused-variable\033[m\033[K]";
    case 2:
      return "  " + number(n % 900 + 100, 3) + " |   const int \033[01;35m\033[Kvalue\033[m\033[K" +
             " = compute(first, second);";
    default:
      return "      |             \033[01;35m\033[K^~~~~\033[m\033[K";
  }
}

// A screen as htop draws it: meters, and a table with a colour a column.
std::string screen_frame(std::size_t n) {
  std::string frame = "\033[H";
  for (int row = 1; row <= kRows; ++row) {
    const std::size_t seed = n * 31 + static_cast<std::size_t>(row);
    frame += "\033[" + std::to_string(row) + ";1H";
    if (row <= 3) {
      const std::size_t bars = seed % 40;
      frame += "\033[36m  " + std::to_string(row) + "\033[39m\033[1m[\033[m\033[32m" +
               std::string(bars, '|') + "\033[31m" + std::string(40 - bars, '|') + "\033[90m" +
               number(seed % 100, 2) + ".0%\033[39m\033[1m]\033[m\033[K";
    } else if (row == 5) {
      frame +=
          "\033[30m\033[42m  PID USER      PRI  NI  VIRT   RES S CPU%   TIME+  Command\033[K"
          "\033[39;49m\033[m";
    } else {
      frame += number(seed % 100000, 5) +
               " \033[90mroot     \033[39m\033[32m 20\033[39m   0 \033[36m" +
               number(seed % 9000, 4) + "\033[39mM \033[36m" + number(seed % 800, 3) +
               "\033[39mM S " + number(seed % 100, 2) + ".\033[1m" + number(seed % 10, 1) +
               "\033[m 0:" + number(seed % 60, 2) + " \033[32m/usr/bin/\033[1mprogram\033[m" +
               number(n, 6) + "\033[K";
    }
  }
  return frame;
}

void in_blocks(Payload& payload) {
  for (std::size_t left = payload.bytes.size(); left > 0;) {
    payload.writes.push_back(std::min(left, kBlock));
    left -= payload.writes.back();
  }
}

// Lines or frames, a write each, until the payload is as large as the others.
template <class Piece>
void in_pieces(Payload& payload, Piece piece) {
  for (std::size_t n = 0; payload.bytes.size() < kBlocks * kBlock; ++n) {
    const std::string bytes = piece(n);
    payload.bytes += bytes;
    payload.writes.push_back(bytes.size());
  }
}

// What a terminal makes of output that is not in raw mode: ONLCR.
std::string with_carriage_returns(std::string_view bytes) {
  std::string shown;
  for (const char byte : bytes) {
    if (byte == '\n')
      shown += '\r';
    shown += byte;
  }
  return shown;
}

}  // namespace

const char* name_of(Output output) {
  switch (output) {
    case Output::kText:
      return "text";
    case Output::kLines:
      return "lines";
    case Output::kBlocks:
      return "blocks";
    case Output::kLog:
      return "log";
    case Output::kScreen:
      return "screen";
  }
  return "?";
}

std::optional<Output> output_named(std::string_view name) {
  for (const Output output : kOutputs)
    if (name == name_of(output))
      return output;
  return std::nullopt;
}

Payload make_payload(Output output) {
  Payload payload;
  switch (output) {
    case Output::kText:
      in_pieces(payload, [](std::size_t n) { return text_line(n) + "\n"; });
      payload.writes.clear();
      in_blocks(payload);
      break;
    case Output::kLines:
      in_pieces(payload, [](std::size_t n) { return text_line(n) + "\n"; });
      break;
    case Output::kBlocks:
      payload.raw = true;
      in_pieces(payload, [](std::size_t n) { return text_line(n).substr(1) + "\r\n"; });
      payload.writes.clear();
      in_blocks(payload);
      break;
    case Output::kLog:
      in_pieces(payload, [](std::size_t n) { return log_line(n) + "\n"; });
      break;
    case Output::kScreen:
      in_pieces(payload, screen_frame);
      break;
  }
  payload.shown = payload.raw ? payload.bytes : with_carriage_returns(payload.bytes);
  return payload;
}

std::string numbered_output(std::size_t lines) {
  std::string all;
  for (std::size_t n = 0; n < lines; ++n) {
    all += "out " + number(n, 8) + " \033[3" + std::to_string(n % 8) + "m";
    for (std::size_t i = 0; i < 16; ++i)
      all += static_cast<char>(0xa0 + (n + i) % 0x60);
    all += "\033[m " + text_line(n * 3).substr(0, n % 40) + "\r\n";
  }
  return all;
}

std::string numbered_input(std::size_t lines) {
  std::string all;
  for (std::size_t n = 0; n < lines; ++n) {
    all += "in " + number(n, 8) + " ";
    for (std::size_t i = 0; i < 8; ++i)
      all += static_cast<char>(0xa0 + (n + i) % 0x60);
    all += text_line(n * 5).substr(0, n % 60) + "\n";
  }
  return all;
}

std::string begin_mark(std::uint64_t run) {
  return "<<begin " + number(run, 6) + ">>";
}

std::string end_mark(std::uint64_t run) {
  return "<<end " + number(run, 6) + ">>";
}

}  // namespace grab::bench
