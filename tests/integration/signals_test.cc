// SPDX-License-Identifier: MIT
// Signals: none is lost or made up by the move, no call comes back with EINTR, masks and
// dispositions stay; and afterwards ^C, ^\, ^Z and a new window size reach root and its followers.
#include <signal.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "support/grab_test.h"
#include "support/moving.h"

namespace grab::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class Signals : public GrabTest {};

// A job of two: root reads, the follower waits for ever; both say what they catch.
std::string pair_catching(const std::string& signals) {
  return "bash -c 'tracee_zoo catch-and-wait " + signals + " & exec tracee_zoo catch " + signals +
         "'";
}

testing::AssertionResult both_caught(SecondTerminal& second, const std::string& name,
                                     const std::vector<pid_t>& pids) {
  const auto line = [&](pid_t pid) { return "caught " + name + " " + std::to_string(pid) + ";"; };
  const auto shown = [&](pid_t pid) {
    return second.transcript().find(line(pid)) != std::string::npos;
  };
  if (wait_until([&] { return std::all_of(pids.begin(), pids.end(), shown); }))
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << "not all have caught " << name << "\n" << all_transcripts();
}

TEST_F(Signals, ControlCReachesRootAndItsFollowersOnce) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t root = first.start_job(pair_catching("INT QUIT"), 2);
  const auto tree = tree_of(root);
  ASSERT_EQ(tree.size(), 2U);
  ASSERT_TRUE(grabs_tree(second, first, root));
  second.type("\x03");
  EXPECT_TRUE(both_caught(second, "INT", tree));
  second.type("\x1c\x1c");  // once would detach
  EXPECT_TRUE(both_caught(second, "QUIT", tree));
  ASSERT_TRUE(second.echoes("goes on"));
  const std::string shown = second.transcript();
  for (const pid_t pid : tree) {
    const std::string line = "caught INT " + std::to_string(pid);
    EXPECT_EQ(shown.find(line), shown.rfind(line)) << "^C came twice";
  }
}

TEST_F(Signals, ControlCIsOnlyAByteWhereTheProgramWantsIt) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t root = first.start_job(
      "bash -c 'tracee_zoo catch-and-wait INT & stty -isig; exec tracee_zoo catch INT'", 2);
  ASSERT_TRUE(grabs_tree(second, first, root));
  second.type("a\x03z\r");
  EXPECT_TRUE(second.expect("got: a\x03z"));
  EXPECT_THAT(second.transcript(), Not(HasSubstr("caught INT")));
}

TEST_F(Signals, ControlCEndsAScriptWithItsChildren) {
  Shell first("bash");
  SecondTerminal second;
  write_file(scratch("script"), "echo ready $$\nsleep 1002\necho not reached\n");
  const pid_t root = first.start("bash " + scratch("script"));
  const pid_t sleep = first.wait_for_program("sleep");
  ASSERT_TRUE(grabs_tree(second, first, root));
  second.type("\x03");
  EXPECT_TRUE(second.expect_grab_ended(128 + SIGINT));
  EXPECT_FALSE(is_alive(sleep));
  EXPECT_THAT(second.transcript(), Not(HasSubstr("not reached\r\n")));
}

TEST_F(Signals, ANewWindowSizeReachesRootAndItsFollowers) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t root = first.start_job(pair_catching("WINCH"), 2);
  const auto tree = tree_of(root);
  ASSERT_TRUE(grabs_tree(second, first, root));
  second.resize({41, 101});
  const auto both = [&] {
    const std::string shown = second.transcript();
    const auto at = shown.find("caught WINCH 41x101");
    return at != std::string::npos &&
           shown.find("caught WINCH 41x101", at + 1) != std::string::npos;
  };
  EXPECT_TRUE(wait_until(both)) << all_transcripts();
  EXPECT_TRUE(second.echoes("goes on"));
}

TEST_F(Signals, ControlZStopsAllAndGivesTheShellItsPromptAndFgGoesOn) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t root = first.start_job(pair_catching("INT"), 2);
  const auto tree = tree_of(root);
  ASSERT_TRUE(grabs_tree(second, first, root));
  for (const char* round : {"first", "second"}) {
    second.skip_shown();
    second.type("\x1a");
    ASSERT_TRUE(second.expect_prompt()) << round;
    for (const pid_t pid : tree)
      EXPECT_TRUE(wait_until([&] { return is_stopped(pid); })) << round;
    ASSERT_TRUE(second.answers()) << round;
    second.run("fg");
    for (const pid_t pid : tree)
      EXPECT_TRUE(wait_until([&] { return is_alive(pid) && !is_stopped(pid); })) << round;
    ASSERT_TRUE(wait_until([&] { return (second.modes().c_lflag & ISIG) == 0; }));
    ASSERT_TRUE(second.echoes(std::string("after ") + round));
  }
}

TEST_F(Signals, ControlZStopsAProgramThatIgnoresItNot) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t root = first.start("tracee_zoo ignore TSTP");
  first.type("\x1a");  // as on the old terminal: it goes on
  ASSERT_FALSE(is_stopped(root));
  ASSERT_TRUE(grabs_tree(second, first, root));
  EXPECT_TRUE(second.echoes("hello"));
}

TEST_F(Signals, TheTreeIsLeftStoppedWhereKeepStoppedAsksForIt) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo echo-lines");
  first.type("\x1a");
  ASSERT_TRUE(wait_until([&] { return is_stopped(pid); }));
  ASSERT_TRUE(first.answers());
  ASSERT_TRUE(grabs_tree(second, first, pid, "--keep-stopped"));
  EXPECT_TRUE(wait_until([&] { return is_stopped(pid); }, Duration{2'000}))
      << read_stat(pid)->state;
  ASSERT_EQ(::kill(pid, SIGCONT), 0);
  EXPECT_TRUE(second.echoes("goes on"));
}

TEST_F(Signals, MasksAndDispositionsStayAsTheyWere) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t root = first.start_job(
      "bash -c 'tracee_zoo ignore HUP TERM TSTP < /dev/tty & tracee_zoo pending USR1 HUP TERM < "
      "/dev/tty & exec tracee_zoo catch HUP INT QUIT TTOU TTIN CHLD'",
      3);
  const auto tree = tree_of(root);
  ASSERT_EQ(tree.size(), 3U);
  const auto before = signals_of(tree);
  ASSERT_TRUE(grabs_tree(second, first, root));
  EXPECT_EQ(signals_of(tree), before);
  EXPECT_THAT(second.transcript(), Not(HasSubstr("caught")));
  EXPECT_THAT(first.transcript(), Not(HasSubstr("caught")));
}

TEST_F(Signals, PendingSignalsStayPendingAndAreDeliveredLater) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo pending USR1 HUP TERM INT");
  const auto before = signals_of({pid});
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_EQ(signals_of({pid}), before);
  second.type("unblock\r");
  for (const char* name : {"USR1", "HUP", "TERM", "INT"})
    EXPECT_TRUE(both_caught(second, name, {pid}));
}

TEST_F(Signals, NoneOfAStreamOfSignalsIsLost) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo signal-stream");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type("check\r");
  ASSERT_TRUE(second.expect("signals: "));
  EXPECT_TRUE(second.expect(" seen, 0 lost"));
}

TEST_F(Signals, NoCallInWhichAProgramMayWaitSeesTheMove) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo blocked");
  const std::string shown = first.transcript();
  const auto at = shown.find("semaphores ");
  ASSERT_NE(at, std::string::npos);
  const int semaphores = std::stoi(shown.substr(at + 11));
  const int queue = std::stoi(shown.substr(shown.find("queue ", at) + 6));
  const auto moved = grabs_tree(second, first, pid);
  if (moved)
    second.type("release\r");
  const auto well = moved ? second.expect("blocked: all well") : moved;
  (void)::semctl(semaphores, 0, IPC_RMID);
  (void)::msgctl(queue, IPC_RMID, nullptr);
  EXPECT_TRUE(well);
}

TEST_F(Signals, CallsWithATimeoutEndAtTheirTimeThoughTheyWereMovedTwice) {
  Shell first("bash");
  const pid_t pid = first.start("tracee_zoo limited-calls");
  const std::string shown = first.transcript();
  const int semaphores = std::stoi(shown.substr(shown.find("semaphores ") + 11));
  Moving second(pid);
  EXPECT_TRUE(second.is_moved_from(first)) << all_transcripts();
  const std::string middle = terminal_of(pid);
  Moving third(pid, {"--force"});
  EXPECT_TRUE(third.is_moved_off(middle)) << all_transcripts();
  const auto time_of = [&](const std::string& said) {  // in ms; 0 if it was not said
    const auto at = [&] { return third.transcript().find(said); };
    if (!wait_until([&] { return at() != std::string::npos; }))
      return 0L;
    return std::stol(third.transcript().substr(at() + said.size()));
  };
  // A timeout of 8 s that begins again at the move, 2 s after its beginning, ends at 10 s.
  constexpr long kWholeMs = 8000, kBegunAgainMs = 9800;
  for (const std::string said : {"epoll_wait gave 0 after ", "epoll_pwait2 gave 0 after ",
                                 "semtimedop gave Resource temporarily unavailable after ",
                                 "sigtimedwait gave Resource temporarily unavailable after ",
                                 "io_getevents gave 0 after "}) {
    const long took = time_of(said);
    EXPECT_GE(took, kWholeMs) << said << "\n" << all_transcripts();
    EXPECT_LT(took, kBegunAgainMs) << said;
  }
  (void)::semctl(semaphores, 0, IPC_RMID);
  // One that is a property of the socket does.
  for (const std::string call : {"recv", "read", "accept"})
    EXPECT_GE(time_of(call + " gave Resource temporarily unavailable after "), kBegunAgainMs)
        << call << "\n"
        << all_transcripts();
}

TEST_F(Signals, AHandlerThatRunsDuringTheMoveInterruptsItsCallOrNotAsItAlwaysDoes) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo handlers");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type("check\r");
  const long handled = second.expect_number("handled ");
  const long interrupted = second.expect_number("interrupted ");
  EXPECT_GT(handled, 0);
  EXPECT_GT(interrupted, 0) << "read without SA_RESTART, and poll";
  EXPECT_TRUE(second.expect("wrong 0;"));
}

TEST_F(Signals, NoCallInAnyProcessOfATreeSeesTheMove) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo blocked-tree 3");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type("release\r");
  EXPECT_TRUE(second.expect("blocked tree: all well"));
}

TEST_F(Signals, ABackgroundJobOfAScriptWithJobControlIsNotInterrupted) {
  Shell first("bash");
  SecondTerminal second;
  // Under set -m the child has a group of its own, which ^C on the old terminal did not reach.
  write_file(scratch("script"),
             "set -m\ntracee_zoo catch-and-wait INT &\nset +m\nexec tracee_zoo catch INT\n");
  const pid_t root = first.start_job("bash " + scratch("script"), 2);
  const auto tree = tree_of(root);
  ASSERT_EQ(tree.size(), 2U);
  ASSERT_TRUE(grabs_tree(second, first, root));
  second.type("\x03");
  ASSERT_TRUE(both_caught(second, "INT", {root}));
  ASSERT_TRUE(second.echoes("hello"));
  EXPECT_THAT(second.transcript(), Not(HasSubstr("caught INT " + std::to_string(tree[1]))));
}

}  // namespace
}  // namespace grab::test
