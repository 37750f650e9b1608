// SPDX-License-Identifier: MIT
// What a grab that was killed with all its processes leaves behind is mended by the next one; and
// what is said of a job that had to be stopped before the move.
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include "faults/faulty_grab.h"
#include "faults/trees.h"
#include "support/other_user.h"
#include "support/viewing.h"

namespace grab::test {
namespace {

class LeftBehind : public GrabTest {};

// Kills grab's processes, the tracer first; none of them has a moment to do anything.
void kill_all(const FaultyGrab& grab, pid_t session) {
  std::vector<pid_t> pids = descendants_of(session);
  pids.push_back(session);
  for (const pid_t pid : descendants_of(::getpid())) {
    const auto stat = read_stat(pid);
    if (stat && stat->comm.rfind("grab", 0) == 0)
      pids.push_back(pid);
  }
  for (const pid_t pid : pids)
    ::kill(pid, SIGSTOP);
  for (const pid_t pid : pids)
    ::kill(pid, SIGKILL);
  EXPECT_TRUE(wait_until([&] {
    return std::none_of(pids.begin(), pids.end(), [](pid_t pid) { return is_alive(pid); });
  })) << grab.said();
}

TEST_F(LeftBehind, ATreeWhoseGrabWasKilledWithAllItsProcessesIsMendedByTheNext) {
  const Kind kind{"Pipeline", "tracee_zoo echo-lines | cat | cat"};
  Tree tree(kind);
  // Where root is about to prepare, one of the others has come to its stop and was not seen to.
  FaultyGrab first("PTRACE_SETREGS@" + std::to_string(tree.root()) + "#1=stop",
                   tree.grab_arguments());
  first.wait_for_stop();
  ASSERT_TRUE(wait_until([&] {
    return std::all_of(tree.pids().begin(), tree.pids().end(),
                       [](pid_t pid) { return read_stat(pid)->state == 't'; });
  }));
  kill_all(first, first.terminal().pid());
  ASSERT_TRUE(
      wait_until([&] { return std::any_of(tree.pids().begin(), tree.pids().end(), is_stopped); }));
  FaultyGrab second("", tree.grab_arguments());
  second.wait();
  ASSERT_TRUE(second.shows_the_tree()) << second.said();
  EXPECT_TRUE(tree.has_left());
  EXPECT_TRUE(tree.works_on(second.terminal()));
}

// Where it is about to send the last of the others into its commit; the one before it is there
// already, and commits by itself.
std::string commit_of_last(const Tree& tree) {
  return "PTRACE_SETREGS@" + std::to_string(last_but_root(tree)) + "#2=stop";
}

const Kind kParted{"Pipeline", "tracee_zoo echo-lines | cat | cat"};

TEST_F(LeftBehind, AMoveWhoseCommandIsKilledBeforeTheCommitIsUndone) {
  Tree tree(kParted);
  const TreeState before = tree.state();
  FaultyGrab grab("PTRACE_SETREGS@" + std::to_string(tree.root()) + "#1=stop",
                  tree.grab_arguments());
  grab.wait_for_stop();
  ASSERT_TRUE(wait_until([] { return stopped_tracer().has_value(); }));
  ::kill(grab.terminal().pid(), SIGKILL);
  grab.wait();
  ::kill(*stopped_tracer(), SIGCONT);
  EXPECT_TRUE(tree.is_as(before));
  EXPECT_TRUE(tree.works());
  EXPECT_TRUE(wait_until([] { return !descendant_named(::getpid(), "grab"); }));
}

TEST_F(LeftBehind, AMoveWhoseTracerIsKilledInTheCommitIsCompleted) {
  Tree tree(kParted);
  FaultyGrab grab(commit_of_last(tree), tree.grab_arguments());
  ASSERT_TRUE(wait_until([] { return stopped_tracer().has_value(); })) << grab.said();
  const pid_t first = *stopped_tracer();
  ::kill(first, SIGKILL);
  // The one that takes over comes to the same step.
  ASSERT_TRUE(wait_until([&] { return stopped_tracer().value_or(first) != first; })) << grab.said();
  ::kill(*stopped_tracer(), SIGCONT);
  grab.wait();
  ASSERT_TRUE(grab.shows_the_tree()) << grab.said();
  EXPECT_TRUE(tree.has_left());
  EXPECT_TRUE(tree.works_on(grab.terminal()));
  EXPECT_TRUE(tree.shell().answers());
  EXPECT_THAT(grab.said(), testing::Not(testing::HasSubstr("warning: ")));
}

// Where others always go before it: it gets there late, wherever it is to go.
class Starved {
 public:
  explicit Starved(pid_t pid) {
    cpu_set_t first{};
    EXPECT_EQ(::sched_getaffinity(0, sizeof allowed_, &allowed_), 0);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &allowed_))
      ++cpu;
    CPU_SET(cpu, &first);
    EXPECT_EQ(::sched_setaffinity(pid, sizeof first, &first), 0);
    const sched_param none{};
    EXPECT_EQ(::sched_setscheduler(pid, SCHED_IDLE, &none), 0);
    busy_ = std::thread([this, first] {
      EXPECT_EQ(::sched_setaffinity(0, sizeof first, &first), 0);
      const sched_param least{1};
      (void)::sched_setscheduler(0, SCHED_FIFO,
                                 &least);  // root alone may: others go before it less
      while (!over_) {
      }
    });
  }
  ~Starved() {
    over_ = true;
    busy_.join();
  }
  Starved(const Starved&) = delete;
  Starved& operator=(const Starved&) = delete;

 private:
  cpu_set_t allowed_{};
  std::atomic<bool> over_ = false;
  std::thread busy_;
};

TEST_F(LeftBehind, AMoveIsCompletedThoughOneOfItsProcessesGetsNoProcessorForASecond) {
  Tree tree(kParted);
  FaultyGrab grab(commit_of_last(tree), tree.grab_arguments());
  const pid_t first = stopped_after(0, grab);
  const Starved root(tree.root());
  ::kill(first, SIGKILL);
  ::kill(stopped_after(first, grab), SIGCONT);
  grab.wait();
  ASSERT_TRUE(grab.shows_the_tree()) << grab.said();
  EXPECT_TRUE(tree.has_left());
  EXPECT_TRUE(tree.works_on(grab.terminal()));
}

// Kills the tracer that has stopped at its step, and each that follows it, until grab gives up and
// shows what it has.
testing::AssertionResult moves_a_part(FaultyGrab& grab) {
  const auto shows = [&] { return (grab.terminal().modes().c_lflag & ISIG) == 0; };
  for (int killed = 0; !shows() && killed < 20; ++killed) {
    if (!wait_until([&] { return shows() || stopped_tracer(); }))
      return testing::AssertionFailure() << grab.said();
    if (const auto tracer = stopped_tracer()) {
      ::kill(*tracer, SIGKILL);
      if (!wait_until([&] { return !is_alive(*tracer); }))
        return testing::AssertionFailure() << *tracer << " does not end\n" << grab.said();
    }
  }
  if (!shows())
    return testing::AssertionFailure() << "it does not give up\n" << grab.said();
  return grab.terminal().expect("may be left on");
}

std::vector<std::string> once_more(const Tree& tree) {
  std::vector<std::string> arguments = tree.grab_arguments();
  arguments.emplace_back("--force");
  return arguments;
}

TEST_F(LeftBehind, ATreeThatIsMovedInPartWorksFromBothHalvesAndASecondGrabMovesTheRest) {
  Tree tree(kParted);
  FaultyGrab first(commit_of_last(tree), tree.grab_arguments());
  ASSERT_TRUE(moves_a_part(first));
  ASSERT_TRUE(std::any_of(tree.pids().begin(), tree.pids().end(),
                          [&](pid_t pid) { return !fds_on(pid, tree.shell().path()).empty(); }));
  ASSERT_TRUE(std::any_of(tree.pids().begin(), tree.pids().end(),
                          [&](pid_t pid) { return fds_on(pid, tree.shell().path()).empty(); }));
  EXPECT_TRUE(tree.works()) << "root is where it was, and so is its shell";
  FaultyGrab second("", once_more(tree));
  second.wait();
  ASSERT_TRUE(second.shows_the_tree()) << second.said();
  EXPECT_TRUE(tree.has_left());
  EXPECT_TRUE(tree.works_on(second.terminal()));
  EXPECT_TRUE(tree.shell().answers());
}

TEST_F(LeftBehind, ATreeThatIsMovedOnceMoreInPartIsMovedWholeByTheNext) {
  Tree tree(kParted);
  FaultyGrab first("", tree.grab_arguments());
  first.wait();
  ASSERT_TRUE(tree.works_on(first.terminal()));
  FaultyGrab second(commit_of_last(tree), once_more(tree));
  ASSERT_TRUE(moves_a_part(second));
  second.terminal().type("from here\r");
  EXPECT_TRUE(first.terminal().expect("got: from here"));
  FaultyGrab third("", once_more(tree));
  third.wait();
  ASSERT_TRUE(third.shows_the_tree()) << third.said();
  EXPECT_TRUE(tree.works_on(third.terminal()));
  EXPECT_TRUE(tree.shell().answers());
}

const Kind kStopped{"StoppedJob", "tracee_zoo echo-lines", "--keep-stopped", kShellLine, "\x1a"};

// The job makes the calls of its batch while it is stopped, and has made none yet.
std::string batch_begins(const Tree& tree) {
  return "PTRACE_CONT@" + std::to_string(tree.root()) + "#1=stop";
}

TEST_F(LeftBehind, AStoppedJobWhoseTracerIsKilledIsStoppedAsBeforeAndGoesOnWithFg) {
  Tree tree(kStopped);
  FaultyGrab grab(batch_begins(tree), tree.grab_arguments());
  ASSERT_TRUE(wait_until([] { return stopped_tracer().has_value(); })) << grab.said();
  ::kill(*stopped_tracer(), SIGKILL);
  grab.wait();
  EXPECT_TRUE(grab.said_one_sentence()) << grab.said();
  EXPECT_TRUE(wait_until([&] { return is_stopped(tree.root()); }));
  tree.shell().run("fg");
  ASSERT_TRUE(tree.shell().expect("tracee_zoo echo-lines"));
  tree.shell().run("hello");
  EXPECT_TRUE(tree.shell().expect("got: hello"));
}

TEST_F(LeftBehind, AStoppedJobThatGetsNoProcessorForASecondIsBroughtOutOfItsBatchAndStopped) {
  Tree tree(kStopped);
  FaultyGrab grab(batch_begins(tree), tree.grab_arguments());
  const pid_t tracer = stopped_after(0, grab);
  ASSERT_NE(tracer, 0);
  {
    const Starved root(tree.root());
    ::kill(tracer, SIGKILL);
    grab.wait();
  }
  EXPECT_TRUE(grab.said_one_sentence()) << grab.said();
  EXPECT_TRUE(wait_until([&] { return is_stopped(tree.root()); }));
  tree.shell().run("fg");
  ASSERT_TRUE(tree.shell().expect("tracee_zoo echo-lines"));
  tree.shell().run("hello");
  EXPECT_TRUE(tree.shell().expect("got: hello"));
}

TEST_F(LeftBehind, AStoppedJobWhoseGrabWasKilledWithAllItsProcessesIsMovedStoppedByTheNext) {
  Tree tree(kStopped);
  FaultyGrab first(batch_begins(tree), tree.grab_arguments());
  ASSERT_TRUE(wait_until([] { return stopped_tracer().has_value(); })) << first.said();
  kill_all(first, first.terminal().pid());
  FaultyGrab second("", tree.grab_arguments());
  second.wait();
  ASSERT_TRUE(second.shows_the_tree()) << second.said();
  EXPECT_TRUE(tree.has_left());
  EXPECT_TRUE(is_stopped(tree.root()));
  EXPECT_TRUE(tree.works_on(second.terminal()));
}

TEST_F(LeftBehind, ASignalThatATracerWhichIsKilledWasToldOfIsDelivered) {
  Shell shell("bash");
  const pid_t pid = shell.start("tracee_zoo catch TSTP");
  // It gets a SIGTSTP, to leave its screen, which the tracer has not passed on yet.
  FaultyGrab grab("PTRACE_CONT@" + std::to_string(pid) + "#1=stop",
                  {"--tree", std::to_string(pid)});
  ASSERT_TRUE(wait_until([] { return stopped_tracer().has_value(); })) << grab.said();
  ::kill(*stopped_tracer(), SIGKILL);
  EXPECT_TRUE(shell.expect("caught"));
}

// Kills the tracer that has stopped at its step. One that takes over, and comes to the same step,
// goes on from there.
testing::AssertionResult is_completed_by_another_tracer(FaultyGrab& grab) {
  if (!wait_until([] { return stopped_tracer().has_value(); }))
    return testing::AssertionFailure() << "no tracer stops\n" << grab.said();
  const pid_t first = *stopped_tracer();
  ::kill(first, SIGKILL);
  const bool shown = wait_until([&] {
    if (const auto next = stopped_tracer(); next.value_or(first) != first)
      ::kill(*next, SIGCONT);
    return (grab.terminal().modes().c_lflag & ISIG) == 0;
  });
  return shown ? testing::AssertionSuccess() : testing::AssertionFailure() << grab.said();
}

// A bash in a bash, with a job that ^Z has stopped.
TEST_F(LeftBehind, AStoppedJobOfAShellWhoseMoveIsCompletedByAnotherTracerIsStoppedAsBefore) {
  Shell outer("bash");
  outer.run("bash --norc -i");
  ASSERT_TRUE(outer.expect_prompt());
  ASSERT_TRUE(outer.answers());
  const pid_t inner = outer.wait_for_program("bash");
  const pid_t job = outer.start("tracee_zoo catch INT");
  outer.type("\x1a");
  ASSERT_TRUE(wait_until([&] { return is_stopped(job); }));
  ASSERT_TRUE(outer.answers());
  FaultyGrab grab("PTRACE_CONT@" + std::to_string(inner) + "#2=stop",
                  {"--tree", std::to_string(inner)});
  ASSERT_TRUE(is_completed_by_another_tracer(grab));
  EXPECT_TRUE(wait_until([&] { return is_stopped(job); })) << read_stat(job)->state;
  grab.terminal().type("echo go''t: it\r");
  EXPECT_TRUE(grab.terminal().expect("got: it"));
}

// Root has left its session, or its terminal; who reads the keyboard is its child.
TEST_F(LeftBehind, WhoReadsForRootGoesOnReadingWhereTheTracerWasKilledBehindRootsCommit) {
  for (const char* option : {"", "--keep-session"}) {
    SCOPED_TRACE(option);
    const Kind kind{"Script", "sh -c 'tracee_zoo echo-lines; true'", option};
    Tree tree(kind);
    FaultyGrab grab("PTRACE_CONT@" + std::to_string(tree.root()) + "#2=stop",
                    tree.grab_arguments());
    ASSERT_TRUE(is_completed_by_another_tracer(grab));
    EXPECT_TRUE(tree.has_left());
    EXPECT_TRUE(tree.works_on(grab.terminal()));
    EXPECT_TRUE(tree.shell().answers());
  }
}

// The main thread of the last is a zombie for ever; another one reads, and runs the batch. All
// lines pass through it.
const Kind kDeadMainThread{"DeadMainThread",
                           "tracee_zoo echo-lines | cat | tracee_zoo dead-leader"};

// A tracer that is about to change root; the last has come to its stop by then, and was not seen
// to.
pid_t stopped_before_root(const Tree& tree, const FaultyGrab& grab) {
  const pid_t tracer = stopped_after(0, grab);
  const pid_t last = last_but_root(tree);
  EXPECT_TRUE(wait_until([&] {
    return status_field(last, threads_of(last).back(), "State").starts_with("t");
  })) << grab.said();
  return tracer;
}

std::string change_of_root(const Tree& tree, int nth) {
  return "PTRACE_SETREGS@" + std::to_string(tree.root()) + "#" + std::to_string(nth) + "=stop";
}

TEST_F(LeftBehind, AProcessWhoseMainThreadHasEndedGoesOnWhenTheTracerIsKilledBeforeTheCommit) {
  Tree tree(kDeadMainThread);
  FaultyGrab grab(change_of_root(tree, 1), tree.grab_arguments());
  const pid_t tracer = stopped_before_root(tree, grab);
  ASSERT_NE(tracer, 0);
  ::kill(tracer, SIGKILL);
  grab.wait();
  EXPECT_TRUE(grab.said_one_sentence()) << grab.said();
  EXPECT_TRUE(tree.works());
}

TEST_F(LeftBehind, AProcessWhoseMainThreadHasEndedIsMovedByAnotherTracerWhenTheFirstIsKilled) {
  Tree tree(kDeadMainThread);
  FaultyGrab grab(change_of_root(tree, 2), tree.grab_arguments());
  const pid_t tracer = stopped_before_root(tree, grab);
  ASSERT_NE(tracer, 0);
  ::kill(tracer, SIGKILL);
  ::kill(stopped_after(tracer, grab), SIGCONT);
  grab.wait();
  ASSERT_TRUE(grab.shows_the_tree()) << grab.said();
  EXPECT_TRUE(tree.has_left());
  EXPECT_TRUE(tree.works_on(grab.terminal()));
  EXPECT_TRUE(tree.shell().answers());
}

TEST_F(LeftBehind, AProcessWhoseMainThreadHasEndedIsMendedByTheNextGrabWhenAllWereKilled) {
  Tree tree(kDeadMainThread);
  FaultyGrab first(change_of_root(tree, 1), tree.grab_arguments());
  ASSERT_NE(stopped_before_root(tree, first), 0);
  kill_all(first, first.terminal().pid());
  FaultyGrab second("", tree.grab_arguments());
  second.wait();
  ASSERT_TRUE(second.shows_the_tree()) << second.said();
  EXPECT_TRUE(tree.has_left());
  EXPECT_TRUE(tree.works_on(second.terminal()));
}

// Root has prepared, which nobody has seen yet: when the tracer is killed it stops. The starter
// continues it when the shell has its prompt, which takes some luck otherwise.
TEST_F(LeftBehind, AShellThatHasSeenItsJobStopKeepsTheTerminalWhenTheTracerWasKilled) {
  const Kind kind{"Script", "sh -c 'tracee_zoo echo-lines | cat; true'"};
  Tree tree(kind);
  FaultyGrab grab("PTRACE_GETREGS@" + std::to_string(last_but_root(tree)) + "#3=stop",
                  tree.grab_arguments());
  ASSERT_TRUE(wait_until([] { return stopped_tracer().has_value(); })) << grab.said();
  const pid_t tracer = *stopped_tracer();
  const pid_t starter = read_stat(tracer).value().ppid;
  ::kill(starter, SIGSTOP);
  ASSERT_TRUE(wait_until([&] { return is_stopped(starter); }));
  ASSERT_TRUE(wait_until([&] { return read_stat(tree.root())->state == 't'; }));
  const pid_t job = read_stat(tree.root())->pgid;
  ::kill(tracer, SIGKILL);
  ASSERT_TRUE(tree.shell().expect_prompt()) << all_transcripts();
  ::kill(starter, SIGCONT);
  grab.wait();
  EXPECT_TRUE(grab.said_one_sentence()) << grab.said();
  EXPECT_EQ(tree.shell().foreground_pgid(), tree.shell().pid());
  ASSERT_TRUE(tree.shell().answers()) << all_transcripts();
  tree.shell().run("fg");
  ASSERT_TRUE(wait_until([&] { return tree.shell().foreground_pgid() == job; }));
  EXPECT_TRUE(tree.works()) << all_transcripts();
}

// bash reads its history, to shorten it, before it hangs up its jobs: that is no prompt.
TEST_F(LeftBehind, AShellWhoseWindowIsClosedInTheInstantInWhichItIsToldHangsNobodyUp) {
  Shell shell("bash");
  write_file(scratch("history"), "true 1\ntrue 2\n");
  shell.run("HISTFILESIZE=5 HISTFILE=" + scratch("history"));
  ASSERT_TRUE(shell.expect_prompt());
  const pid_t pid = shell.start("tracee_zoo catch HUP TERM CONT");
  FaultyGrab grab("PTRACE_SETREGS@" + std::to_string(shell.pid()) + "#1=stop",
                  {"--tree", std::to_string(pid)});
  ASSERT_TRUE(wait_until([] { return stopped_tracer().has_value(); })) << grab.said();
  shell.close_window();  // the signal waits until the answer has been given
  ::kill(*stopped_tracer(), SIGCONT);
  ASSERT_TRUE(wait_until([&] { return !is_alive(shell.pid()); }));
  grab.wait();
  ASSERT_TRUE(grab.shows_the_tree()) << grab.said();
  grab.terminal().type("hello\r");
  EXPECT_TRUE(grab.terminal().expect("got: hello"));
  EXPECT_THAT(grab.said(), testing::Not(testing::HasSubstr("caught")));
}

// A window of xterm with a session leader in it, on an X server without a screen. xterm hangs up
// the group of its child as soon as it sees that the terminal is closed.
class LeftWindow : public LeftBehind {
 protected:
  void SetUp() override {
    LeftBehind::SetUp();
    if (!installed("xterm") || !installed("Xvfb"))
      GTEST_SKIP() << "xterm or Xvfb is not installed";
    server_ = std::make_unique<Shell>("dash", Shell::Options{.name = "X server"});
    server_->run("Xvfb -displayfd 1 -screen 0 640x480x8 -nolisten tcp 2>/dev/null");
    const std::string display = ":" + std::to_string(server_->expect_number("2>/dev/null\r\n"));
    first_ = std::make_unique<Shell>("dash");
    first_->run("DISPLAY=" + display + " xterm -e tracee_zoo catch HUP TERM INT QUIT");
    xterm_ = first_->wait_for_program("xterm");
    leader_ = first_->wait_for_program("tracee_zoo");
    ASSERT_TRUE(wait_until([&] {
      return read_file("/proc/" + std::to_string(leader_) + "/syscall").rfind("0 0x0 ", 0) == 0;
    })) << "it does not wait for a line";
    ASSERT_EQ(read_stat(leader_)->sid, leader_);
  }
  void TearDown() override {
    first_.reset();
    server_.reset();
    LeftBehind::TearDown();
  }

  [[nodiscard]] std::vector<std::string> arguments() const {
    return {"--force", "--tree", std::to_string(leader_)};
  }
  /// The window has closed, and what was in it is shown by `grab`, and has seen no signal.
  void expect_unharmed(FaultyGrab& grab) const {
    EXPECT_TRUE(wait_until([&] { return !is_alive(xterm_); })) << all_transcripts();
    grab.terminal().type("hello\r");
    EXPECT_TRUE(grab.terminal().expect("got: hello")) << all_transcripts();
    EXPECT_THAT(all_transcripts(), testing::Not(testing::HasSubstr("caught")));
  }

  std::unique_ptr<Shell> server_, first_;
  pid_t xterm_ = 0;
  pid_t leader_ = 0;
};

TEST_F(LeftWindow, HangsNobodyUpWhenTracersAreKilledBehindTheCommitAloneOrWithTheStarter) {
  FaultyGrab grab("PTRACE_DETACH@" + std::to_string(leader_) + "#1=stop", arguments());
  const pid_t first = stopped_after(0, grab);
  ::kill(first, SIGKILL);
  // Those that take over come to the same step.
  const pid_t second = kill_with_starter(grab, first);
  const pid_t third = stopped_after(second, grab);
  EXPECT_TRUE(is_alive(xterm_));
  ::kill(third, SIGCONT);
  grab.wait();
  ASSERT_TRUE(grab.shows_the_tree()) << grab.said();
  expect_unharmed(grab);
}

TEST_F(LeftWindow, IsToldByTheNextGrabWhenAllWereKilledWhoWouldTellIt) {
  FaultyGrab first("PTRACE_SEIZE@" + std::to_string(xterm_) + "#1=stop", arguments());
  first.wait();
  ASSERT_TRUE(wait_until([] { return stopped_tracer().has_value(); })) << first.said();
  const std::vector<pid_t> tellers = processes_named("grab-tracer");
  for (const pid_t pid : tellers)
    ::kill(pid, SIGSTOP);
  for (const pid_t pid : tellers)
    ::kill(pid, SIGKILL);
  ASSERT_TRUE(wait_until([] { return processes_named("grab-tracer").empty(); }));
  first.terminal().type("one\r");
  EXPECT_TRUE(first.terminal().expect("got: one")) << all_transcripts();
  EXPECT_TRUE(is_alive(xterm_));
  FaultyGrab second("", arguments());
  second.wait();
  ASSERT_TRUE(second.shows_the_tree()) << second.said();
  expect_unharmed(second);
}

TEST_F(LeftBehind, AJobThatHadToBeStoppedForItsShellGoesOnInTheBackground) {
  if (::geteuid() != 0)
    GTEST_SKIP() << "only root can start a job of another user than its shell";
  const std::string zoo = program_for_all("tracee_zoo");
  const std::string grab = program_for_all("grab");
  Shell shell("bash");
  const pid_t job = shell.start(as_nobody() + zoo + " echo-lines");
  FaultyGrab faulty("commit@#1", {"--tree", std::to_string(job)},
                    {"/usr/bin/env", "-u", "XDG_RUNTIME_DIR", "/usr/bin/setpriv", "--reuid=65534",
                     "--regid=65534", "--clear-groups", grab});
  faulty.wait();
  EXPECT_TRUE(faulty.said_one_sentence()) << faulty.said();
  EXPECT_EQ(read_stat(job).value().tty, shell.device());
  EXPECT_TRUE(wait_until([&] { return !is_traced(job); }));
  ASSERT_TRUE(shell.answers());
  shell.run("fg");
  ASSERT_TRUE(wait_until([&] { return shell.foreground_pgid() == read_stat(job)->pgid; }));
  shell.run("hello");
  EXPECT_TRUE(shell.expect("got: hello"));
}

}  // namespace
}  // namespace grab::test
