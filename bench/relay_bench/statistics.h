// SPDX-License-Identifier: MIT
// Medians, and the ratios of readings that were taken beside each other. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "relay_bench/report.h"

namespace grab::bench {

struct Spread {
  double median = 0;
  double low = 0;   ///< a quarter of the values is below
  double high = 0;  ///< a quarter is above
  std::size_t count = 0;
};
[[nodiscard]] std::optional<Spread> spread_of(std::vector<double> values);

/// The values of a contender; their ratios to the program directly on a terminal. Nothing where
/// there are none.
[[nodiscard]] std::optional<Spread> values_of(const Report& report, const std::string& measure,
                                              const std::string& contender);
[[nodiscard]] std::optional<Spread> ratios_of(const Report& report, const std::string& measure,
                                              const std::string& contender);

/// Of each round in which both were measured: the value of the one over that of the other, each
/// divided by what was measured beside it, if anything was.
[[nodiscard]] std::optional<Spread> against(const Report& report, const std::string& measure,
                                            const std::string& contender, const std::string& other);

/// A target of grab's: what was measured, and the bound.
struct Target {
  std::string what;
  std::optional<Spread> measured;
  double bound = 0;
  bool at_least = false;  ///< else at most
  [[nodiscard]] bool met() const {
    return measured && (at_least ? measured->median >= bound : measured->median <= bound);
  }
};
[[nodiscard]] std::vector<Target> targets_of(const Report& report);

}  // namespace grab::bench
