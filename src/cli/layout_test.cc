// SPDX-License-Identifier: MIT
#include "cli/layout.h"

#include <gtest/gtest.h>

namespace grab::cli {
namespace {

TEST(DisplayWidth, CountsColumnsAndNotBytes) {
  EXPECT_EQ(display_width(""), 0U);
  EXPECT_EQ(display_width("make"), 4U);
  EXPECT_EQ(display_width("m\u00e4ke"), 4U);
  EXPECT_EQ(display_width("e\u0301"), 1U);                // a combining accent
  EXPECT_EQ(display_width("\u65e5\u672c"), 4U);           // wide
  EXPECT_EQ(display_width("\U0001F600"), 2U);             // an emoji
  EXPECT_EQ(display_width(std::string("a\xe6", 2)), 2U);  // cut off: never past the end
}

TEST(Fit, CutsAtACharacter) {
  EXPECT_EQ(fit("make", 4), "make");
  EXPECT_EQ(fit("make -j4", 6), "mak...");
  EXPECT_EQ(fit("\u65e5\u672c\u65e5\u672c", 6), "\u65e5...");
  EXPECT_EQ(fit("make", 3), "...");
}

TEST(Pad, FillsUpByColumns) {
  EXPECT_EQ(pad("ab", 4), "ab  ");
  EXPECT_EQ(pad("ab", 4, true), "  ab");
  EXPECT_EQ(pad("\u65e5", 4), "\u65e5  ");
  EXPECT_EQ(pad("abcde", 4), "abcde");
}

TEST(Wrap, BreaksAtSpacesAndIndents) {
  EXPECT_EQ(wrap("- ", "aaa bbb ccc", 9), "- aaa bbb\n  ccc\n");
  EXPECT_EQ(wrap("", "", 9), "\n");
  EXPECT_EQ(wrap("", "  a   b ", 9), "a b\n");
  EXPECT_EQ(wrap("- ", "aaaaaaaaaaaa b", 6), "- aaaaaaaaaaaa\n  b\n");
}

TEST(JoinWords, ReadsLikeASentence) {
  EXPECT_EQ(join_words({}), "");
  EXPECT_EQ(join_words({"a"}), "a");
  EXPECT_EQ(join_words({"a", "b"}), "a and b");
  EXPECT_EQ(join_words({"a", "b", "c"}), "a, b and c");
}

TEST(JoinRanges, PutsNeighboursTogether) {
  EXPECT_EQ(join_ranges({}), "");
  EXPECT_EQ(join_ranges({7}), "7");
  EXPECT_EQ(join_ranges({0, 1}), "0, 1");
  EXPECT_EQ(join_ranges({0, 1, 2, 5, 7, 8, 9, 10}), "0-2, 5, 7-10");
}

}  // namespace
}  // namespace grab::cli
