// SPDX-License-Identifier: MIT
#include "relay_bench/statistics.h"

#include <algorithm>
#include <cmath>

#include "relay_bench/contenders.h"

namespace grab::bench {
namespace {

const std::vector<Reading>& readings_of(const Report& report, const std::string& measure,
                                        const std::string& contender) {
  static const std::vector<Reading> none;
  const auto all = report.readings.find(measure);
  if (all == report.readings.end())
    return none;
  const auto own = all->second.find(contender);
  return own == all->second.end() ? none : own->second;
}

double relative(const Reading& reading) {
  return reading.value / reading.beside.value_or(1);
}

// Between the two values next to the place.
double quantile(const std::vector<double>& sorted, double part) {
  const double place = part * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], place - static_cast<double>(below));
}

}  // namespace

std::optional<Spread> spread_of(std::vector<double> values) {
  if (values.empty())
    return std::nullopt;
  std::sort(values.begin(), values.end());
  return Spread{quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75),
                values.size()};
}

std::optional<Spread> values_of(const Report& report, const std::string& measure,
                                const std::string& contender) {
  std::vector<double> values;
  for (const Reading& reading : readings_of(report, measure, contender))
    values.push_back(reading.value);
  return spread_of(std::move(values));
}

std::optional<Spread> ratios_of(const Report& report, const std::string& measure,
                                const std::string& contender) {
  std::vector<double> ratios;
  for (const Reading& reading : readings_of(report, measure, contender))
    if (reading.beside)
      ratios.push_back(relative(reading));
  return spread_of(std::move(ratios));
}

std::optional<Spread> against(const Report& report, const std::string& measure,
                              const std::string& contender, const std::string& other) {
  std::vector<double> ratios;
  for (const Reading& mine : readings_of(report, measure, contender))
    for (const Reading& theirs : readings_of(report, measure, other))
      if (mine.round == theirs.round && theirs.value > 0)
        ratios.push_back(relative(mine) / relative(theirs));
  return spread_of(std::move(ratios));
}

std::vector<Target> targets_of(const Report& report) {
  return {
      {"80-column text, throughput against least", against(report, "text", kGrab, kLeast), 0.95,
       true},
      {"echo alone, p50 against least", against(report, "echo.p50", kGrab, kLeast), 1.05},
      {"CPU a GiB of text against least", against(report, "cpu.text", kGrab, kLeast), 1.2},
      {"wakeups while idle", values_of(report, "wakeups", kGrab), 0},
      {"VmRSS of the largest process, MiB", values_of(report, "rss.largest", kGrab), 6},
      {"Pss of all processes, MiB", values_of(report, "pss", kGrab), 6},
  };
}

}  // namespace grab::bench
