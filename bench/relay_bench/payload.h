// SPDX-License-Identifier: MIT
// What the program inside writes, and what is typed to it. Both sides of the benchmark make the
// same bytes from the same description, so that every byte that arrives can be compared with what
// it has to be.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace grab::bench {

/// The kinds of output.
enum class Output {
  kText,    ///< lines of 80 bytes, 64 KiB a write, as cat does
  kLines,   ///< the same lines, a write(2) each
  kBlocks,  ///< the same lines with a carriage return, 64 KiB a write, the terminal in raw mode
  kLog,     ///< a coloured compiler log, a write(2) a line
  kScreen,  ///< a full-screen program that draws all of its screen, a write(2) a screen
};
inline constexpr Output kOutputs[] = {Output::kText, Output::kLines, Output::kBlocks, Output::kLog,
                                      Output::kScreen};
[[nodiscard]] const char* name_of(Output output);
[[nodiscard]] std::optional<Output> output_named(std::string_view name);

/// A few hundred KiB that are written again and again.
struct Payload {
  std::string bytes;                ///< what is written
  std::vector<std::size_t> writes;  ///< in pieces of these sizes
  bool raw = false;                 ///< with the terminal in raw mode; else as a shell leaves it
  std::string shown;                ///< what the outer terminal has to get
};
[[nodiscard]] Payload make_payload(Output output);

/// Numbered lines for a terminal in raw mode, no two alike: with escape sequences and bytes of 8
/// bits in what a program writes, without escape sequences in what is typed.
[[nodiscard]] std::string numbered_output(std::size_t lines);
[[nodiscard]] std::string numbered_input(std::size_t lines);

/// What comes before and behind the bytes of run `run`. No payload contains it.
[[nodiscard]] std::string begin_mark(std::uint64_t run);
[[nodiscard]] std::string end_mark(std::uint64_t run);

}  // namespace grab::bench
