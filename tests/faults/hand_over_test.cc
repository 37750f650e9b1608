// SPDX-License-Identifier: MIT
// The instants in which a guarded shell goes from the tracer of the move to its guard: whoever of
// grab's processes is killed there, nobody stays stopped, and the shell works.
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include "faults/faulty_grab.h"
#include "support/viewing.h"

namespace grab::test {
namespace {

// A bash typed in a bash, with a job that ^Z has stopped.
struct InnerShell {
  InnerShell() {
    outer.run("bash --norc -i");
    EXPECT_TRUE(outer.expect_prompt());
    EXPECT_TRUE(outer.answers());
    inner = outer.wait_for_program("bash");
    job = outer.start("tracee_zoo catch INT CONT");
    outer.type("\x1a");
    EXPECT_TRUE(wait_until([this] { return is_stopped(job); }));
    EXPECT_TRUE(outer.answers());
  }
  ~InnerShell() { ::kill(job, SIGKILL); }
  [[nodiscard]] std::vector<std::string> grab_arguments() const {
    return {"--tree", std::to_string(inner)};
  }
  [[nodiscard]] testing::AssertionResult works_on(TerminalSession& terminal) const {
    terminal.type("echo go''t: it\r");
    return terminal.expect("got: it");
  }
  [[nodiscard]] bool is_guarded() const {
    const auto tracer = read_stat(std::atoi(status_field(inner, inner, "TracerPid").c_str()));
    return tracer && tracer->comm == "grab-jobs";
  }
  Shell outer{"bash"};
  pid_t inner = 0, job = 0;
};

class HandOver : public GrabTest {};

// Each step that is done to the shell behind the commit, its calls not counted in.
std::vector<std::string> steps_done_to_the_shell() {
  InnerShell shell;
  FaultyGrab grab("", shell.grab_arguments());
  grab.wait();
  EXPECT_TRUE(grab.shows_the_tree()) << grab.said();
  EXPECT_TRUE(shell.works_on(grab.terminal()));
  const std::string of_shell = "@" + std::to_string(shell.inner) + "#";
  std::vector<std::string> steps;
  int calls = 0;
  bool behind = false;
  for (const std::string& step : grab.steps()) {
    behind = behind || step == "commit@#1";
    const auto at = step.find(of_shell);
    if (!behind || step.rfind("PTRACE", 0) != 0 || at == std::string::npos)
      continue;
    if (step.rfind("PTRACE_SYSCALL", 0) == 0 && ++calls > 4)
      break;
    steps.push_back(step.substr(0, at + 1) + "%" + step.substr(at + of_shell.size() - 1));
  }
  return steps;
}

// To stop at a step that names the shell by %.
std::string stop_at(std::string step, pid_t shell) {
  return step.replace(step.find('%'), 1, std::to_string(shell)) + "=stop";
}

// Kills grab's processes that have stopped at their step, and, since each guard would stop there,
// whoever would start another one.
void kill_stopped() {
  std::vector<pid_t> pids = processes_named("grab-tracer");
  for (const pid_t guard : processes_named("grab-jobs"))
    pids.push_back(guard);
  bool guard_has_stopped = false;
  for (const pid_t pid : pids) {
    const auto stat = read_stat(pid);
    guard_has_stopped =
        guard_has_stopped || (stat && stat->state == 'T' && stat->comm == "grab-jobs");
  }
  for (const pid_t pid : pids) {
    const auto stat = read_stat(pid);
    if (stat && (stat->state == 'T' || (guard_has_stopped && stat->comm == "grab-jobs")))
      ::kill(pid, SIGKILL);
  }
}

void continue_stopped() {
  for (const char* who : {"grab-tracer", "grab-jobs"}) {
    for (const pid_t pid : processes_named(who)) {
      if (is_stopped(pid))
        ::kill(pid, SIGCONT);
    }
  }
}

// While it lives: others come to the same step, a guard perhaps when the tree is shown already.
class Meanwhile {
 public:
  explicit Meanwhile(void (*what)())
      : thread_([this, what] {
          while (!over_) {
            what();
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
          }
        }) {}
  ~Meanwhile() {
    over_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

// At the first of these steps the shell has not begun its commit: where each tracer is killed there
// it stays on its old terminal.
TEST_F(HandOver, LeavesAShellThatWorksWhoeverIsKilledInIt) {
  const std::vector<std::string> steps = steps_done_to_the_shell();
  ASSERT_GT(steps.size(), 4U);
  ASSERT_THAT(steps.front(), testing::StartsWith("PTRACE_SETREGS"));
  for (const std::string& step : steps) {
    SCOPED_TRACE(step);
    InnerShell shell;
    FaultyGrab grab(stop_at(step, shell.inner), shell.grab_arguments());
    grab.wait_for_stop();
    const Meanwhile killing(kill_stopped);
    // Ten tracers may have to be killed, each after a wait for what the one before has held.
    EXPECT_TRUE(
        wait_until([&] { return (grab.terminal().modes().c_lflag & ISIG) == 0; }, 3 * kDeadline))
        << grab.said();
    EXPECT_TRUE(wait_until([&] { return read_stat(shell.inner)->state == 'S'; })) << grab.said();
    EXPECT_TRUE(wait_until([&] { return is_stopped(shell.job); })) << grab.said();
    TerminalSession& its_terminal = step == steps.front() ? shell.outer : grab.terminal();
    EXPECT_TRUE(shell.works_on(its_terminal)) << grab.said();
    EXPECT_TRUE(shell.outer.answers());
  }
  std::cout << steps.size() << " steps of handing over\n";
}

// The tracer that takes over completes the work.
TEST_F(HandOver, LeavesAShellWithItsJobsWhereOneTracerIsKilledInIt) {
  int tried = 0;
  for (const std::string& step : steps_done_to_the_shell()) {
    if (step.rfind("PTRACE_SEIZE", 0) == 0)
      break;  // from here on they are the guard's
    SCOPED_TRACE(step);
    InnerShell shell;
    FaultyGrab grab(stop_at(step, shell.inner), shell.grab_arguments());
    grab.wait_for_stop();
    ASSERT_TRUE(wait_until([] { return stopped_tracer().has_value(); })) << grab.said();
    ::kill(*stopped_tracer(), SIGKILL);
    const Meanwhile continuing(continue_stopped);
    ASSERT_TRUE(wait_until([&] { return shell.is_guarded(); })) << grab.said();
    EXPECT_TRUE(shell.works_on(grab.terminal()));
    grab.terminal().type("fg\r");
    ASSERT_TRUE(wait_until([&] { return !is_stopped(shell.job); })) << grab.said();
    grab.terminal().type("\x1a");
    EXPECT_TRUE(wait_until([&] { return is_stopped(shell.job); })) << grab.said();
    EXPECT_TRUE(shell.works_on(grab.terminal())) << grab.said();
    tried++;
  }
  EXPECT_GT(tried, 2);
}

}  // namespace
}  // namespace grab::test
