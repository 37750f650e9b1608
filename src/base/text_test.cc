// SPDX-License-Identifier: MIT
#include "base/text.h"

#include <string>

#include <gtest/gtest.h>

namespace grab {
namespace {

TEST(Printable, LeavesTextAlone) {
  EXPECT_EQ(printable(""), "");
  EXPECT_EQ(printable("make -j4 ~"), "make -j4 ~");
  EXPECT_EQ(printable("Zürich \u20ac \U0001F600"), "Zürich \u20ac \U0001F600");
}

TEST(Printable, ReplacesControlCharacters) {
  EXPECT_EQ(printable("a\x1b[31mb"), "a?[31mb");
  EXPECT_EQ(printable("a\nb\tc\x7f"), "a?b?c?");
  EXPECT_EQ(printable(std::string("a\0b", 3)), "a?b");
}

TEST(Printable, ReplacesC1InBothForms) {
  EXPECT_EQ(printable("\x9b"
                      "31m"),
            "?31m");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "??31m");
  EXPECT_EQ(printable("\xc2\xa0"), "\xc2\xa0");  // the first after C1 is a character
}

TEST(Printable, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(printable("\xff\xfe"), "??");
  EXPECT_EQ(printable("\xc0\xaf"), "??");            // overlong '/'
  EXPECT_EQ(printable("\xe0\x9f\xbf"), "???");       // overlong
  EXPECT_EQ(printable("\xf0\x8f\xbf\xbf"), "????");  // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "???");       // a surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "????");  // past U+10FFFF
  EXPECT_EQ(printable("a\x80z"), "a?z");             // a lone continuation
}

TEST(Printable, ReplacesWhatTurnsTheDirectionOfWriting) {
  for (const std::string hidden : {"\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066",
                                   "\u2067", "\u2068", "\u2069", "\u200e", "\u200f", "\u061c"}) {
    const std::string shown = std::string(hidden.size(), '?');
    EXPECT_EQ(printable("a" + hidden + "z"), "a" + shown + "z") << hidden;
  }
}

TEST(Printable, ReplacesWhatShowsNothing) {
  for (const std::string hidden : {"\u200b", "\u200d", "\u2060", "\u2028", "\u2029", "\ufeff",
                                   "\u00ad", "\u3164", "\U000E0041"}) {
    const std::string shown = std::string(hidden.size(), '?');
    EXPECT_EQ(printable("a" + hidden + "z"), "a" + shown + "z") << hidden;
  }
}

TEST(Printable, LeavesTheNeighboursOfThoseAlone) {
  for (const std::string seen : {"\u2010", "\u2027", "\u202f", "\u2030", "\u2070", "\u05d0",
                                 "\u0627", "e\u0301", "\ufefe", "\U0001F600"})
    EXPECT_EQ(printable(seen), seen) << seen;
}

TEST(Printable, ReplacesWhatIsCutOff) {
  const std::string smile = "\U0001F600";
  for (std::size_t n = 1; n < smile.size(); ++n)
    EXPECT_EQ(printable(smile.substr(0, n)), std::string(n, '?')) << n;
  EXPECT_EQ(printable("\xe2\x82z"), "??z");
}

}  // namespace
}  // namespace grab
