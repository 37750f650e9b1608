// SPDX-License-Identifier: MIT
#include "table.h"

#include <algorithm>
#include <functional>
#include <iomanip>
#include <sstream>
#include <string>

namespace grab::bench {
namespace {

struct Spread {
  double median = 0;
  double least = 0;
  double most = 0;
};

// Of one field over the rounds, in microseconds.
Spread spread_of(const std::vector<Sample>& samples, Nanoseconds Sample::*field) {
  std::vector<double> values;
  values.reserve(samples.size());
  for (const Sample& sample : samples)
    values.push_back(static_cast<double>(sample.*field) / 1000);
  if (values.empty())
    return {};
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return {(values[(n - 1) / 2] + values[n / 2]) / 2, values.front(), values.back()};
}

std::string number(double value) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(value < 9.95 ? 2 : value < 99.5 ? 1 : 0) << value;
  return text.str();
}

std::string cell(const Spread& s, double unit) {
  return number(s.median / unit) + " (" + number(s.least / unit) + "-" + number(s.most / unit) +
         ")";
}

const std::vector<Sample>* find(const Samples& samples, int count, Kind kind) {
  const auto found = samples.find({count, kind});
  return found == samples.end() || found->second.empty() ? nullptr : &found->second;
}

double median_of(const Samples& samples, int count, Kind kind, Nanoseconds Sample::*field) {
  const auto* found = find(samples, count, kind);
  return found == nullptr ? 0 : spread_of(*found, field).median;
}

// A ratio of two medians, or "-" where one is missing.
std::string times(double value, double of) {
  return of > 0 ? number(value / of) : "-";
}

class Targets {
 public:
  explicit Targets(std::ostream& out) : out_(out) {}
  void at_most(const std::string& what, double value, double limit) {
    const bool reached = value <= limit;
    out_ << (reached ? "  reached  " : "  MISSED   ") << what << ": " << number(value)
         << ", at most " << number(limit) << "\n";
    missed_ += reached ? 0 : 1;
  }
  [[nodiscard]] int missed() const { return missed_; }

 private:
  std::ostream& out_;
  int missed_ = 0;
};

}  // namespace

void print_table(const Samples& samples, std::ostream& out) {
  out << std::right << std::setw(9) << "processes"
      << "  " << std::left << std::setw(9) << "program" << std::setw(22) << "moved, ms"
      << std::setw(26) << "frozen, us" << std::right << std::setw(12) << "us a process"
      << std::setw(9) << "x floor" << std::setw(11) << "median" << std::setw(11) << "at most"
      << std::setw(9) << "quiet"
      << "\n";
  for (const auto& [key, rounds] : samples) {
    if (rounds.empty())
      continue;
    const auto [count, kind] = key;
    const Spread frozen = spread_of(rounds, &Sample::frozen);
    const double floor = median_of(samples, count, Kind::kFloor, &Sample::frozen);
    const double middle = spread_of(rounds, &Sample::frozen_median).median;
    out << std::right << std::setw(9) << count << "  " << std::left << std::setw(9) << name_of(kind)
        << std::setw(22) << cell(spread_of(rounds, &Sample::done), 1000) << std::setw(26)
        << cell(frozen, 1) << std::right << std::setw(12) << number(frozen.median / count)
        << std::setw(9) << times(frozen.median, floor) << std::setw(11)
        << (middle > 0 ? number(middle) : "-") << std::setw(11)
        << number(spread_of(rounds, &Sample::longest_gap).median) << std::setw(9)
        << number(spread_of(rounds, &Sample::quiet).median) << "\n";
  }
}

int print_targets(const Samples& samples, std::ostream& out) {
  Targets targets(out);
  const auto frozen = [&](int count, Kind kind) {
    return median_of(samples, count, kind, &Sample::frozen);
  };
  if (find(samples, 1000, Kind::kGrab) != nullptr) {
    targets.at_most("frozen at 1000 processes, us a process", frozen(1000, Kind::kGrab) / 1000,
                    100);
    // The same, with the sleeps of the processes counted against grab.
    targets.at_most("the same by the longest gap between two readings",
                    median_of(samples, 1000, Kind::kGrab, &Sample::longest_gap) / 1000, 100);
    if (find(samples, 1000, Kind::kFloor) != nullptr)
      targets.at_most("frozen at 1000 processes, times the floor",
                      frozen(1000, Kind::kGrab) / frozen(1000, Kind::kFloor), 9);
    // Linear: ten times the processes, ten times the window; a quarter is for the machine.
    if (find(samples, 100, Kind::kGrab) != nullptr)
      targets.at_most("frozen at 1000 processes, times that at 100",
                      frozen(1000, Kind::kGrab) / frozen(100, Kind::kGrab), 12.5);
  }
  if (find(samples, 1, Kind::kGrab) != nullptr && find(samples, 1, Kind::kReptyr) != nullptr) {
    targets.at_most("one process frozen, times reptyr",
                    frozen(1, Kind::kGrab) / frozen(1, Kind::kReptyr), 0.5);
    targets.at_most("one process moved, times reptyr",
                    median_of(samples, 1, Kind::kGrab, &Sample::done) /
                        median_of(samples, 1, Kind::kReptyr, &Sample::done),
                    0.5);
  }
  return targets.missed();
}

}  // namespace grab::bench
