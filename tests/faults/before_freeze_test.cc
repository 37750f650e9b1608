// SPDX-License-Identifier: MIT
// What a tree does between grab's first look at it and the moment from which it stands still.
#include <signal.h>

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "faults/faulty_grab.h"
#include "support/served_folder.h"

namespace grab::test {
namespace {

class BeforeTheFreeze : public GrabTest {};

std::vector<std::string> tree(pid_t pid) {
  return {"--tree", std::to_string(pid)};
}

TEST_F(BeforeTheFreeze, AJobInTheBackgroundThatIsStoppedByItsReadGoesOnAfterTheMove) {
  Shell first("bash");
  const pid_t pid = first.start("tracee_zoo read-late &");
  FaultyGrab grab("PTRACE_SEIZE@" + std::to_string(pid) + "#1=stop", tree(pid));
  const pid_t tracer = stopped_after(0, grab);
  ::kill(pid, SIGUSR1);
  ASSERT_TRUE(wait_until([&] { return is_stopped(pid); }));
  ::kill(tracer, SIGCONT);
  grab.wait();
  ASSERT_TRUE(grab.shows_the_tree()) << grab.said();
  grab.terminal().type("hello\r");
  EXPECT_TRUE(grab.terminal().expect("got: hello")) << grab.said();
}

// The child, of which the first look knows nothing, has more descriptors than its vDSO has room
// for, so that it is made to map a page before the batches are run.
TEST_F(BeforeTheFreeze, AProcessThatWasBornGoesOnWhenTheTracerIsKilledInItsFirstCall) {
  Shell first("bash");
  const pid_t child = first.start(
      "bash -c 'trap \"tracee_zoo many-descriptors 400 <&0 &\" TSTP; tracee_zoo catch-and-wait &"
      " while :; do wait; done'");
  const pid_t pid = read_stat(child)->ppid;
  FaultyGrab grab("PTRACE_SETSIGMASK@*#1=stop", tree(pid));
  const pid_t tracer = stopped_after(0, grab);
  const std::vector<pid_t> processes = tree_of(pid);
  ASSERT_EQ(processes.size(), 3U);
  ::kill(tracer, SIGKILL);
  grab.wait();
  EXPECT_FALSE(grab.shows_the_tree()) << grab.said();
  for (const pid_t process : processes)
    EXPECT_TRUE(wait_until([&] { return read_stat(process)->state == 'S'; })) << process;
  first.run("hello");
  EXPECT_TRUE(first.expect("got: hello"));
}

// The program is one that grab has not looked at, and to look at it is to ask a server that stands.
TEST_F(BeforeTheFreeze, AProgramThatIsBegunFromAFileSystemOfTheTreeLetsGrabGiveUpInTime) {
  if (!ServedFolder::can_be())
    GTEST_SKIP() << "no folder can be served here";
  const ServedFolder folder;
  Shell first("bash");
  const pid_t pid = first.start("sh -c '" + folder.begin() + "echo ready $$; read go; exec " +
                                folder.path() + "/tracee_zoo echo-lines'");
  FaultyGrab grab("PTRACE_SEIZE@" + std::to_string(pid) + "#1=stop", tree(pid));
  const pid_t tracer = stopped_after(0, grab);
  first.type("\r");
  ASSERT_TRUE(first.expect("ready " + std::to_string(pid)));
  ::kill(tracer, SIGCONT);
  grab.wait();
  EXPECT_FALSE(grab.shows_the_tree());
  EXPECT_EQ(grab.exit_status(), 124);
  EXPECT_TRUE(grab.said_one_sentence()) << grab.said();
  EXPECT_THAT(grab.said(), testing::HasSubstr("did not come back for 3 s"));
  first.run("hello");
  EXPECT_TRUE(first.expect("got: hello"));
  FaultyGrab again("", tree(pid));
  again.wait();
  EXPECT_TRUE(again.shows_the_tree()) << again.said();
}

}  // namespace
}  // namespace grab::test
