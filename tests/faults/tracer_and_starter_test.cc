// SPDX-License-Identifier: MIT
// Tracer and starter are killed together, neither with a moment to see the other go: the command,
// which has the new terminal too, starts another starter.
#include <signal.h>
#include <sys/resource.h>

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

TEST_F(TracerAndStarter, WhenKilledBeforeTheCommitLeaveTheTreeAsItWas) {
  Tree tree(kPipeline);
  FaultyGrab grab(change(tree.root(), 1), tree.grab_arguments());
  kill_with_starter(grab);
  grab.wait();
  EXPECT_FALSE(grab.shows_the_tree());
  EXPECT_EQ(grab.exit_status(), 125);
  EXPECT_TRUE(grab.said_one_sentence()) << grab.said();
  EXPECT_THAT(grab.said(), testing::HasSubstr("before anything was moved"));
  EXPECT_TRUE(tree.works());
}

TEST_F(TracerAndStarter, WhenKilledInTheCommitAreFollowedByOthersWhichMoveTheRest) {
  Tree tree(kPipeline);
  FaultyGrab grab(change(last_but_root(tree), 2), tree.grab_arguments());
  pid_t killed = 0;
  for (int i = 0; i < 3; i++)
    killed = kill_with_starter(grab, killed);
  ::kill(stopped_after(killed, grab), SIGCONT);
  grab.wait();
  ASSERT_TRUE(grab.shows_the_tree()) << grab.said();
  EXPECT_TRUE(tree.has_left());
  EXPECT_TRUE(tree.works_on(grab.terminal()));
  EXPECT_TRUE(tree.shell().answers());
  EXPECT_THAT(grab.said(), testing::Not(testing::HasSubstr("warning: ")));
}

// The command has no room for another starter at first, and the only ptmx.
TEST_F(TracerAndStarter, WhenKilledInTheCommitAreFollowedByOthersAsSoonAsThereIsRoomForThem) {
  Tree tree(kPipeline);
  FaultyGrab grab(change(last_but_root(tree), 2), tree.grab_arguments());
  const pid_t tracer = stopped_after(0, grab), command = grab.terminal().pid();
  rlimit before{};
  ASSERT_EQ(::prlimit(command, RLIMIT_NOFILE, nullptr, &before), 0);
  const rlimit no_room{0, before.rlim_max};
  ASSERT_EQ(::prlimit(command, RLIMIT_NOFILE, &no_room, nullptr), 0);
  ASSERT_EQ(kill_with_starter(grab), tracer);
  EXPECT_TRUE(wait_until([&] {  // it pauses: poll(2) of nothing, for 100 ms
    const std::string call = read_file("/proc/" + std::to_string(command) + "/syscall");
    return call.rfind("7 0x0 0x0 0x64 ", 0) == 0;
  })) << grab.said();
  ASSERT_EQ(::prlimit(command, RLIMIT_NOFILE, &before, nullptr), 0);
  ::kill(stopped_after(tracer, grab), SIGCONT);
  grab.wait();
  ASSERT_TRUE(grab.shows_the_tree()) << grab.said();
  EXPECT_TRUE(tree.has_left());
  EXPECT_TRUE(tree.works_on(grab.terminal()));
}

// All have been committed, and are let go one by one.
TEST_F(TracerAndStarter,
       WhenKilledBehindTheCommitAreFollowedByOthersWhichShowTheTreeAndTellItsShell) {
  Tree tree(kPipeline);
  FaultyGrab grab("PTRACE_DETACH@" + std::to_string(tree.root()) + "#1=stop",
                  tree.grab_arguments());
  ::kill(stopped_after(kill_with_starter(grab), grab), SIGCONT);
  grab.wait();
  ASSERT_TRUE(grab.shows_the_tree()) << grab.said();
  EXPECT_TRUE(tree.has_left());
  EXPECT_TRUE(tree.works_on(grab.terminal()));
  EXPECT_TRUE(tree.shell().answers());
}

/// A move of which the tracer has said that it is done, and which its starter has not heard of.
class UnheardMove {
 public:
  UnheardMove(pid_t root, const std::vector<std::string>& arguments)
      : grab_("PTRACE_DETACH@" + std::to_string(root) + "#1=stop", arguments),
        tracer_(stopped_after(0, grab_)),
        starter_(read_stat(tracer_)->ppid) {
    ::kill(starter_, SIGSTOP);
    ::kill(tracer_, SIGCONT);
    const std::string call = "/proc/" + std::to_string(tracer_) + "/syscall";
    // read(2), of the pipe in which somebody is to say that the tree is shown.
    EXPECT_TRUE(wait_until([&] { return read_file(call).rfind("0 ", 0) == 0; }));
  }
  FaultyGrab& kill_both() {
    for (const pid_t pid : {starter_, tracer_})
      ::kill(pid, SIGKILL);
    grab_.wait();
    return grab_;
  }

 private:
  FaultyGrab grab_;
  pid_t tracer_, starter_;
};

TEST_F(TracerAndStarter, WhenKilledBehindTheMoveLoseNoLastWordsOfATreeThatHasEndedMeanwhile) {
  Shell shell("bash");
  const pid_t root = shell.start(
      "bash -c 'trap \"echo last words; exit 7\" USR1; echo ready $$; while :; do read; done'");
  UnheardMove move(root, {"--tree", std::to_string(root)});
  ::kill(root, SIGUSR1);
  ASSERT_TRUE(wait_until([&] { return !is_alive(root); }));
  const FaultyGrab& grab = move.kill_both();
  EXPECT_TRUE(grab.terminal().expect("last words"));
  EXPECT_THAT(grab.said(), testing::Not(testing::HasSubstr("before anything was moved")));
  EXPECT_TRUE(shell.answers());
}

TEST_F(TracerAndStarter, WhenKilledBehindTheMoveLeaveWhoWasStoppedSince) {
  const Kind kind{"Line", "tracee_zoo echo-lines"};
  Tree tree(kind);
  UnheardMove move(tree.root(), tree.grab_arguments());
  ::kill(tree.root(), SIGSTOP);
  ASSERT_TRUE(wait_until([&] { return is_stopped(tree.root()); }));
  FaultyGrab& grab = move.kill_both();
  ASSERT_TRUE(grab.shows_the_tree()) << grab.said();
  EXPECT_TRUE(tree.shell().answers());
  EXPECT_TRUE(is_stopped(tree.root()));
  ::kill(tree.root(), SIGCONT);
  EXPECT_TRUE(tree.works_on(grab.terminal()));
}

}  // namespace
}  // namespace grab::test
