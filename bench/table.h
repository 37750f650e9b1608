// SPDX-License-Identifier: MIT
// Samples of many rounds, and the table and the targets that are read off them.
#pragma once

#include <map>
#include <ostream>
#include <utility>
#include <vector>

#include "contender.h"

namespace grab::bench {

/// The samples of each contender on each size of tree.
using Samples = std::map<std::pair<int, Kind>, std::vector<Sample>>;

void print_table(const Samples& samples, std::ostream& out);

/// Prints each target with what was measured. Returns how many were missed.
[[nodiscard]] int print_targets(const Samples& samples, std::ostream& out);

}  // namespace grab::bench
