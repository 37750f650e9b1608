// SPDX-License-Identifier: MIT
#include "cli/words.h"

#include <signal.h>

#include <array>
#include <string>

#include <gtest/gtest.h>

namespace grab::cli {
namespace {

TEST(Key, IsReadInCaretNotation) {
  EXPECT_EQ(parse_key("^\\"), 0x1C);
  EXPECT_EQ(parse_key("^a"), 0x01);
  EXPECT_EQ(parse_key("^A"), 0x01);
  EXPECT_EQ(parse_key("^z"), 0x1A);
  EXPECT_EQ(parse_key("^]"), 0x1D);
  EXPECT_EQ(parse_key("^^"), 0x1E);
  EXPECT_EQ(parse_key("^_"), 0x1F);
  EXPECT_EQ(parse_key("^@"), 0x00);
  EXPECT_EQ(parse_key("^?"), 0x7F);
  EXPECT_EQ(parse_key("\x1c"), 0x1C);  // as $'\x1c' and ^V ^\ give it
  EXPECT_EQ(parse_key("none"), std::nullopt);
}

TEST(Key, ThatIsNoControlCharacterIsRefused) {
  for (const char* bad : {"", "a", "^", "^aa", "^1", "^~", "C-a", "None", "^[", "\x1b", "^\xc3"}) {
    const auto key = parse_key(bad);
    ASSERT_FALSE(key) << bad;
    EXPECT_EQ(key.error().kind, ErrorKind::kUsage);
    EXPECT_FALSE(key.error().hint.empty());
  }
}

TEST(Key, HasTheNameThatItIsReadBy) {
  EXPECT_EQ(key_name(0x1C), "^\\");
  for (int key = 0; key < 0x20; ++key) {
    if (key != 0x1B) {
      EXPECT_EQ(parse_key(key_name(static_cast<unsigned char>(key))), key);
    }
  }
  EXPECT_EQ(parse_key(key_name(0x7F)), 0x7F);
}

TEST(Signal, IsReadByNameAndNumber) {
  for (const char* word : {"TERM", "SIGTERM", "sigterm", "Term", "15", "015"})
    EXPECT_EQ(parse_signal(word), SIGTERM) << word;
  EXPECT_EQ(parse_signal("KILL"), SIGKILL);
  EXPECT_EQ(parse_signal("USR1"), SIGUSR1);
  EXPECT_EQ(parse_signal("1"), SIGHUP);
  EXPECT_EQ(parse_signal("64"), 64);
}

TEST(Signal, CanBeARealTimeOne) {
  EXPECT_EQ(parse_signal("RTMIN"), SIGRTMIN);
  EXPECT_EQ(parse_signal("SIGRTMIN+3"), SIGRTMIN + 3);
  EXPECT_EQ(parse_signal("rtmin+0"), SIGRTMIN);
  EXPECT_EQ(parse_signal("RTMAX"), SIGRTMAX);
  EXPECT_EQ(parse_signal("RTMAX-1"), SIGRTMAX - 1);
  EXPECT_EQ(parse_signal("RTMIN+30"), SIGRTMAX);
}

TEST(Signal, ThatDoesNotExistIsRefused) {
  for (const char* bad : {"", "0", "000", "65", "99999999999", "-9", "TREM", "SIG", "SIGSIGTERM",
                          "RTMIN+31", "RTMIN+", "RTMIN-1", "RTMAX+1", "RTMAX-31", "RTMINI", "9 "}) {
    const auto signo = parse_signal(bad);
    ASSERT_FALSE(signo) << bad;
    EXPECT_EQ(signo.error().kind, ErrorKind::kUsage);
    EXPECT_FALSE(signo.error().hint.empty());
  }
}

TEST(Escapes, MeanTheirBytes) {
  EXPECT_EQ(unescape("yes\\r"), "yes\r");
  EXPECT_EQ(unescape("\\a\\b\\e\\f\\n\\r\\t\\v"), "\a\b\x1b\f\n\r\t\v");
  EXPECT_EQ(unescape("\\x03\\x1bOA"), "\x03\x1bOA");
  EXPECT_EQ(unescape("\\x3g"), "\x03g");
  EXPECT_EQ(unescape("\\x031"), std::string("\x03") + "1");
  EXPECT_EQ(unescape("\\3\\033\\0"), std::string("\x03\x1b\0", 3));
  EXPECT_EQ(unescape("\\0333"),
            "\x1b"
            "3");
  EXPECT_EQ(unescape("\\xC3\\xa9"), "é");
  EXPECT_EQ(unescape("a\\\\b\\\"\\'"), "a\\b\"'");
  EXPECT_EQ(unescape(""), "");
  EXPECT_EQ(unescape("no escape, 100% ^C"), "no escape, 100% ^C");
}

TEST(Escapes, ThatMeanNothingAreRefusedAndNotTyped) {
  for (const char* bad : {"\\", "a\\", "\\q", "\\x", "\\xg", "\\8", "\\777", "\\u20ac", "\\ "}) {
    const auto text = unescape(bad);
    ASSERT_FALSE(text) << bad;
    EXPECT_EQ(text.error().kind, ErrorKind::kUsage);
    EXPECT_NE(text.error().hint.find("--literal"), std::string::npos);
  }
}

TEST(NearestWord, IsOneSlipAway) {
  constexpr std::array<std::string_view, 3> kWords = {"attach", "detach", "list"};
  EXPECT_EQ(nearest_word("attahc", kWords), "attach");
  EXPECT_EQ(nearest_word("atach", kWords), "attach");
  EXPECT_EQ(nearest_word("lits", kWords), "list");
  EXPECT_EQ(nearest_word("lis", kWords), "list");
  EXPECT_EQ(nearest_word("make", kWords), "");
  EXPECT_EQ(nearest_word("", kWords), "");
}

TEST(Name, IsWhatAFileAndAShellTakeWithoutQuoting) {
  for (const std::string good : {"make.4711", "a", "Build_2", "c++@home:1", "x-y%", "4711a"})
    EXPECT_EQ(parse_name(good), good);
  for (const std::string& bad :
       {std::string(), std::string("4711"), std::string("."), std::string(".."), std::string("-a"),
        std::string("a/b"), std::string("a b"), std::string("é"), std::string("a\n"),
        std::string(65, 'a')})
    EXPECT_FALSE(parse_name(bad)) << bad;
}

}  // namespace
}  // namespace grab::cli
