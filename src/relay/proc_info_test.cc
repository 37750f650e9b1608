// SPDX-License-Identifier: MIT
#include "relay/proc_info.h"

#include <unistd.h>

#include <csignal>

#include <gtest/gtest.h>

namespace grab::relay {
namespace {

// proc_pid_stat(5), with the fields that are read marked by their values.
std::string stat_line(std::string_view comm, std::string_view exit_code) {
  std::string line = "42 (" + std::string(comm) + ") Z 1 2 3";  // up to field 6
  for (int field = 7; field < 22; ++field)
    line += " 7";
  line += " 123456789012";  // 22
  for (int field = 23; field < 52; ++field)
    line += " 18446744073709551615";
  return line + " " + std::string(exit_code) + "\n";
}

TEST(ProcInfo, ReadsStatWhateverTheNameIs) {
  for (const std::string_view comm : {"sh", "a) S 1 (b", "", "two\nlines) R 9 9"}) {
    const auto stat = parse_stat(stat_line(comm, "768"));
    ASSERT_TRUE(stat) << comm;
    EXPECT_EQ(stat->state, 'Z');
    EXPECT_EQ(stat->start_time, 123456789012U);
    EXPECT_EQ(stat->exit_code, 3 << 8);
  }
}

TEST(ProcInfo, RefusesTextThatIsNoStat) {
  EXPECT_FALSE(parse_stat(""));
  EXPECT_FALSE(parse_stat("42 (sh"));
  EXPECT_FALSE(parse_stat("42 (sh) "));
  EXPECT_FALSE(parse_stat("42 (sh) S 1 2 3"));
  EXPECT_FALSE(parse_stat(stat_line("sh", "x")));
}

TEST(ProcInfo, ReadsPendingAndIgnoredSignals) {
  const auto signals = parse_signals(
      "Name:\tsh\nSigPnd:\t0000000000000001\nShdPnd:\t0000000008000000\nSigBlk:\t0000000000000000\n"
      "SigIgn:\t0000000000080000\nSigCgt:\t0000000000000000\n");
  ASSERT_TRUE(signals);
  EXPECT_TRUE(ProcSignals::has(signals->pending, SIGHUP));
  EXPECT_TRUE(ProcSignals::has(signals->pending, SIGWINCH));
  EXPECT_FALSE(ProcSignals::has(signals->pending, SIGTSTP));
  EXPECT_TRUE(ProcSignals::has(signals->ignored, SIGTSTP));
  EXPECT_FALSE(parse_signals("Name:\tsh\n"));
}

TEST(ProcInfo, APidfdIsOnlyOfTheProcessThatWasMeant) {
  const auto stat = read_stat(::getpid());
  ASSERT_TRUE(stat);
  const auto own = open_pidfd({::getpid(), stat->start_time});
  ASSERT_TRUE(own && own->valid());
  EXPECT_FALSE(has_ended(own->get()));
  const auto later = open_pidfd({::getpid(), stat->start_time - 1});
  ASSERT_TRUE(later);
  EXPECT_FALSE(later->valid());
}

}  // namespace
}  // namespace grab::relay
