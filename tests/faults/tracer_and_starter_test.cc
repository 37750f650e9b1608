// SPDX-License-Identifier: MIT
// Tracer and starter are killed together, neither with a moment to see the other go: the command,
// which has the new terminal too, starts another starter.
#include <signal.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "faults/faulty_grab.h"
#include "faults/trees.h"

namespace grab::test {
namespace {

class TracerAndStarter : public GrabTest {};

const Kind kPipeline{"Pipeline", "tracee_zoo echo-lines | cat | cat"};

// Where it is about to change this process for the N-th time: 1 to prepare it, 2 to commit it.
std::string change(pid_t pid, int nth) {
  return "PTRACE_SETREGS@" + std::to_string(pid) + "#" + std::to_string(nth) + "=stop";
}

// Waits until a tracer, other than the one before, has come to its step.
pid_t stopped_after(pid_t before, const FaultyGrab& grab) {
  pid_t tracer = 0;
  EXPECT_TRUE(wait_until([&] { return (tracer = stopped_tracer().value_or(before)) != before; }))
      << grab.said();
  return tracer;
}

// Waits for a tracer that has come to its step, and kills it with the process that has started it.
pid_t kill_both(const FaultyGrab& grab, pid_t before = 0) {
  const pid_t tracer = stopped_after(before, grab);
  const pid_t starter = read_stat(tracer)->ppid;
  EXPECT_NE(starter, grab.terminal().pid());
  ::kill(starter, SIGSTOP);
  for (const pid_t pid : {starter, tracer})
    ::kill(pid, SIGKILL);
  return tracer;
}

TEST_F(TracerAndStarter, WhenKilledBeforeTheCommitLeaveTheTreeAsItWas) {
  Tree tree(kPipeline);
  FaultyGrab grab(change(tree.root(), 1), tree.grab_arguments());
  kill_both(grab);
  grab.wait();
  EXPECT_FALSE(grab.shows_the_tree());
  EXPECT_EQ(grab.exit_status(), 125);
  EXPECT_TRUE(grab.said_one_sentence()) << grab.said();
  EXPECT_THAT(grab.said(), testing::HasSubstr("before anything was moved"));
  EXPECT_TRUE(tree.works());
}

TEST_F(TracerAndStarter, WhenKilledInTheCommitAreFollowedByOthersWhichMoveTheRest) {
  Tree tree(kPipeline);
  pid_t last = 0;
  for (const pid_t pid : tree.pids())
    last = pid != tree.root() ? pid : last;
  FaultyGrab grab(change(last, 2), tree.grab_arguments());
  pid_t killed = 0;
  for (int i = 0; i < 3; i++)
    killed = kill_both(grab, killed);
  ::kill(stopped_after(killed, grab), SIGCONT);
  grab.wait();
  ASSERT_TRUE(grab.shows_the_tree()) << grab.said();
  EXPECT_TRUE(tree.has_left());
  EXPECT_TRUE(tree.works_on(grab.terminal()));
  EXPECT_TRUE(tree.shell().answers());
  EXPECT_THAT(grab.said(), testing::Not(testing::HasSubstr("warning: ")));
}

// All have been committed, and are let go one by one.
TEST_F(TracerAndStarter,
       WhenKilledBehindTheCommitAreFollowedByOthersWhichShowTheTreeAndTellItsShell) {
  Tree tree(kPipeline);
  FaultyGrab grab("PTRACE_DETACH@" + std::to_string(tree.root()) + "#1=stop",
                  tree.grab_arguments());
  ::kill(stopped_after(kill_both(grab), grab), SIGCONT);
  grab.wait();
  ASSERT_TRUE(grab.shows_the_tree()) << grab.said();
  EXPECT_TRUE(tree.has_left());
  EXPECT_TRUE(tree.works_on(grab.terminal()));
  EXPECT_TRUE(tree.shell().answers());
}

}  // namespace
}  // namespace grab::test
