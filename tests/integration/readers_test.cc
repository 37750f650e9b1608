// SPDX-License-Identifier: MIT
// Programs that wait for what is typed while they are moved: the right call returns the right thing
// at the right time, and what was typed before it was read goes along.
#include <signal.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "support/grab_test.h"

namespace grab::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class Readers : public GrabTest {
 protected:
  /// Each of these has given `result`; how long it took, in ms.
  long took(SecondTerminal& second, const std::string& call, const std::string& result) {
    const std::string said = "\n" + call + " gave " + result + " after ";
    EXPECT_TRUE(wait_until([&] { return second.transcript().find(said) != std::string::npos; }))
        << call << "\n"
        << all_transcripts();
    const std::string shown = second.transcript();
    const auto at = shown.find(said);
    return at == std::string::npos ? -1 : std::stol(shown.substr(at + said.size()));
  }
};

TEST_F(Readers, OfEveryKindWaitOnAndAreWokenByWhatIsTypedOnTheNewTerminal) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo readers -1 poll ppoll select pselect epoll");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_THAT(first.transcript() + second.transcript(), Not(HasSubstr(" gave ")));
  second.type("hello\r");
  for (const char* call : {"poll", "ppoll", "select", "pselect", "epoll"})
    EXPECT_GE(took(second, call, "1"), 0);
  EXPECT_TRUE(second.expect("got: hello"));
}

TEST_F(Readers, WithATimeoutAreWokenBeforeItByWhatIsTyped) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo readers 60000 poll ppoll select pselect");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_THAT(first.transcript() + second.transcript(), Not(HasSubstr(" gave ")));
  second.type("hello\r");
  for (const char* call : {"poll", "ppoll", "select", "pselect"})
    EXPECT_LT(took(second, call, "1"), 50'000);
  EXPECT_TRUE(second.expect("got: hello"));
}

// The time that a call is stopped counts, and no time counts twice.
TEST_F(Readers, WithATimeoutWaitAsLongAsTheyWouldHaveWithoutAMove) {
  constexpr long kTimeoutMs = 4000;
  constexpr long kLateMs = 2000;  // on a busy machine
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo readers " + std::to_string(kTimeoutMs) +
                                " poll ppoll select pselect");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_THAT(first.transcript(), Not(HasSubstr(" gave "))) << "the move took too long";
  for (const char* call : {"poll", "ppoll", "select", "pselect"}) {
    const long ms = took(second, call, "0");
    EXPECT_GE(ms, kTimeoutMs - 1) << call;
    EXPECT_LT(ms, kTimeoutMs + kLateMs) << call;
  }
  EXPECT_TRUE(second.echoes("hello"));
}

// Kernel: the time of VTIME begins again where read(2) is made again, as after ^Z and fg.
TEST_F(Readers, WithATimeoutOfTheTerminalItselfAreToldThatNothingCame) {
  constexpr long kVtimeMs = 3000;
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid =
      first.start("bash -c 'stty -icanon min 0 time 30; exec tracee_zoo readers -1 read'");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_THAT(first.transcript(), Not(HasSubstr(" gave "))) << "the move took too long";
  EXPECT_GE(took(second, "read", "0"), kVtimeMs - 100);
}

TEST_F(Readers, InRawModeGetWhatWasTypedAheadByteForByte) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("bash -c 'stty raw echo; exec tracee_zoo read-late'");
  first.type("ab\x03\x1a\x04z");
  ASSERT_TRUE(first.expect("z"));  // echoed, so it is in the queue
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_EQ(::kill(pid, SIGUSR1), 0);
  second.type("end\n");
  EXPECT_TRUE(second.expect("got: ab\x03\x1a\x04zend\n"));
  EXPECT_TRUE(first.answers());
}

}  // namespace
}  // namespace grab::test
