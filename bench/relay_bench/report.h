// SPDX-License-Identifier: MIT
// The readings of many rounds, and the tables, the targets and the JSON that are read off them.
#pragma once

#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace grab::bench {

/// One value of one contender in one round.
struct Reading {
  int round = 0;
  double value = 0;
  /// The mean of the two values of the program directly on a terminal that were taken just before
  /// and just after; nothing where there is none.
  std::optional<double> beside;
};

struct Report {
  std::vector<std::string> contenders;  ///< in their order
  std::vector<std::string> missing;     ///< and why
  std::vector<std::string> failures;    ///< each once
  std::vector<std::string> notes;
  int rounds = 0;
  double idle_seconds = 0;
  /// By measure and contender.
  std::map<std::string, std::map<std::string, std::vector<Reading>>> readings;
  /// What became of the numbered streams: "byte-exact", "n/a (redraws)", or what was wrong.
  std::map<std::string, std::string> streams;
};

void print_tables(const Report& report, std::ostream& out);

/// Prints each target with what was measured. Returns how many were missed or not measured.
[[nodiscard]] int print_targets(const Report& report, std::ostream& out);

/// All of it: every reading, the figures of the tables, and the targets.
void print_json(const Report& report, std::ostream& out);

}  // namespace grab::bench
