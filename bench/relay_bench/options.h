// SPDX-License-Identifier: MIT
// The command line of the relay's benchmark.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "relay_bench/measure.h"

namespace grab::bench {

/// What --help prints.
[[nodiscard]] const char* help_text();

struct Options {
  std::string grab = "build/release/grab";
  std::string least = "build/release/bench/least_relay";
  std::string grab_way = "auto";  ///< run, tree, or auto: run if this grab knows it
  int rounds = 9;
  double seconds = 0.2;  ///< that one run of output shall take
  double idle = 10;
  int echoes = 1000;
  int loaded_echoes = 400;
  std::size_t lines = 20'000;           ///< of the numbered output
  std::vector<std::string> contenders;  ///< empty: all
  std::vector<std::string> measures;    ///< empty: all
  std::string json;                     ///< a file; "-" is the standard output, without tables
  bool check = false;
  Flaw flaw = Flaw::kNone;

  [[nodiscard]] bool wants(const std::string& measure) const;
};

/// Nothing when the command line is wrong.
[[nodiscard]] std::optional<Options> parse(const std::vector<std::string>& words);

}  // namespace grab::bench
