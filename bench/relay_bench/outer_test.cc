// SPDX-License-Identifier: MIT
#include "relay_bench/outer.h"

#include <fcntl.h>
#include <pty.h>
#include <termios.h>
#include <unistd.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "relay_bench/payload.h"

namespace grab::bench {
namespace {

constexpr Nanoseconds kLong = 10'000'000'000;
constexpr std::size_t kFullRead = 4095;
constexpr Nanoseconds kShort = 20'000'000;

// A terminal in raw mode on which the test writes what a program would.
class OuterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int ptmx = -1;
    int pts = -1;
    termios raw{};
    ::cfmakeraw(&raw);
    ASSERT_EQ(::openpty(&ptmx, &pts, nullptr, &raw, nullptr), 0);
    ASSERT_EQ(::fcntl(ptmx, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    outer_ = Outer(UniqueFd(ptmx));
    pts_.reset(pts);
  }
  void write(const std::string& bytes) {
    ASSERT_EQ(::write(pts_.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  Outer outer_;
  UniqueFd pts_;
};

TEST_F(OuterTest, TakesTheExpectedBytesAgainAndAgain) {
  write("abcabcabcmore");
  EXPECT_TRUE(outer_.expect("abc", 3, clock_now() + kLong));
  EXPECT_TRUE(outer_.expect("more", 1, clock_now() + kLong));
}

TEST_F(OuterTest, SaysAtWhichByteTheOutputDiffers) {
  write("abcabXabc");
  const Status status = outer_.expect("abc", 3, clock_now() + kLong);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().what, "the output differs at byte 5 of 9: 88 instead of 99");
}

TEST_F(OuterTest, AByteTooFewIsNotTakenForTheEnd) {
  write("abcab");
  const Status status = outer_.expect("abc", 2, clock_now() + kShort);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, ErrorKind::kTimeout);
  EXPECT_THAT(status.error().what, ::testing::HasSubstr("after 5 of 6 bytes"));
}

TEST_F(OuterTest, FindsAMarkThatComesInTwoReads) {
  const std::string mark = begin_mark(7);
  for (std::size_t cut = 0; cut <= mark.size(); ++cut) {
    write(std::string(kFullRead - cut, '<') + mark + "rest");
    ASSERT_TRUE(outer_.skip_to(mark, clock_now() + kLong)) << cut;
    ASSERT_TRUE(outer_.expect("rest", 1, clock_now() + kLong)) << cut;
  }
}

TEST_F(OuterTest, GivesUpOnAMarkThatDoesNotCome) {
  write("something else");
  const Status status = outer_.skip_to(begin_mark(1), clock_now() + kShort);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, ErrorKind::kTimeout);
  EXPECT_EQ(outer_.dropped(), "something else");
}

TEST_F(OuterTest, SaysThatTheTerminalWasLeft) {
  pts_.reset();
  const Status status = outer_.skip_to(begin_mark(1), clock_now() + kLong);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, ErrorKind::kGone);
}

TEST_F(OuterTest, AnEchoThatDoesNotComeBackIsATimeout) {
  write("other output");
  const auto time = outer_.echo('~', clock_now() + kShort);
  ASSERT_FALSE(time);
  EXPECT_EQ(time.error().kind, ErrorKind::kTimeout);
}

TEST(Payload, EveryPayloadIsWrittenInFull) {
  for (const Output output : kOutputs) {
    const Payload payload = make_payload(output);
    std::size_t sum = 0;
    for (const std::size_t size : payload.writes)
      sum += size;
    EXPECT_EQ(sum, payload.bytes.size()) << name_of(output);
    EXPECT_EQ(payload.bytes.find('!'), std::string::npos) << "the flaw has to differ";
    EXPECT_EQ(payload.bytes.find("<<"), std::string::npos) << "so do the marks";
  }
}

TEST(Payload, TextHasEightyBytesALine) {
  const Payload payload = make_payload(Output::kText);
  EXPECT_EQ(payload.bytes.find('\n'), 79U);
  EXPECT_EQ(payload.bytes.size() % 80, 0U);
  EXPECT_EQ(payload.shown.size(), payload.bytes.size() / 80 * 81) << "a carriage return a line";
}

}  // namespace
}  // namespace grab::bench
