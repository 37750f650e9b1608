// SPDX-License-Identifier: MIT
#include "relay_bench/statistics.h"

#include <gtest/gtest.h>

#include "relay_bench/contenders.h"

namespace grab::bench {
namespace {

Report report_with(const std::vector<Reading>& grab, const std::vector<Reading>& least) {
  Report report;
  report.readings["text"][kGrab] = grab;
  report.readings["text"][kLeast] = least;
  return report;
}

TEST(Statistics, TheMedianOfAnEvenNumberLiesBetweenTheTwoInTheMiddle) {
  const auto spread = spread_of({4, 1, 3, 2});
  ASSERT_TRUE(spread);
  EXPECT_DOUBLE_EQ(spread->median, 2.5);
  EXPECT_DOUBLE_EQ(spread->low, 1.75);
  EXPECT_DOUBLE_EQ(spread->high, 3.25);
}

TEST(Statistics, NoValuesHaveNoSpread) {
  EXPECT_FALSE(spread_of({}));
}

TEST(Statistics, ARoundIsComparedWithWhatWasMeasuredBesideIt) {
  // The machine was twice as fast in the second round; both relays are what they were.
  const Report report = report_with(
      {{.round = 1, .value = 40, .beside = 100}, {.round = 2, .value = 80, .beside = 200}},
      {{.round = 1, .value = 50, .beside = 100}, {.round = 2, .value = 100, .beside = 200}});
  EXPECT_DOUBLE_EQ(ratios_of(report, "text", kGrab)->median, 0.4);
  EXPECT_DOUBLE_EQ(against(report, "text", kGrab, kLeast)->median, 0.8);
  EXPECT_DOUBLE_EQ(against(report, "text", kGrab, kLeast)->high, 0.8);
}

TEST(Statistics, ARoundWithoutTheOtherDoesNotCount) {
  const Report report = report_with({{.round = 1, .value = 40, .beside = 100}},
                                    {{.round = 2, .value = 50, .beside = 100}});
  EXPECT_FALSE(against(report, "text", kGrab, kLeast));
}

TEST(Statistics, WhatWasNotMeasuredMeetsNoTarget) {
  for (const Target& target : targets_of({}))
    EXPECT_FALSE(target.met()) << target.what;
}

TEST(Statistics, TargetsAreMetOrMissedByWhatWasMeasured) {
  const auto text_is_met = [](double grab) {
    const Report report = report_with({{.round = 1, .value = grab, .beside = 100}},
                                      {{.round = 1, .value = 100, .beside = 100}});
    return targets_of(report).front().met();
  };
  EXPECT_TRUE(text_is_met(96));
  EXPECT_FALSE(text_is_met(94));
}

}  // namespace
}  // namespace grab::bench
