// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <random>

namespace grab::soak {

/// The same seed, the same intentions.
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : random_(seed) {}

  [[nodiscard]] unsigned below_n(unsigned n) {
    return std::uniform_int_distribution<unsigned>(0, n - 1)(random_);
  }
  [[nodiscard]] bool one_in(unsigned n) { return below_n(n) == 0; }
  /// Short times are as likely as long ones.
  [[nodiscard]] std::chrono::microseconds instant(double least_ms, double most_ms) {
    const double log =
        std::uniform_real_distribution<double>(std::log(least_ms), std::log(most_ms))(random_);
    return std::chrono::microseconds(static_cast<long>(std::exp(log) * 1000));
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace grab::soak
