// SPDX-License-Identifier: MIT
// Whoever is killed while the old shell is told: the shell goes on, and is told all the same.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "support/grab_test.h"
#include "support/moving.h"
#include "support/viewing.h"

namespace grab::test {
namespace {

using testing::HasSubstr;
using testing::Not;

bool kill_one_of(const std::vector<pid_t>& pids, unsigned which) {
  return !pids.empty() && ::kill(pids[which % pids.size()], SIGKILL) == 0;
}

/// What traces the shell, when it does.
bool is_told_just_now(const Shell& shell) {
  return is_traced(shell.pid());
}

// The one that traces the shell, or the one that would start it again, at an instant of its own.
TEST_P(EveryShell, IsToldThoughThoseWhoTellAreKilled) {
  std::mt19937 random(::testing::UnitTest::GetInstance()->random_seed());
  int killed = 0;
  for (int round = 0; round < 20; ++round) {
    Shell first(GetParam());
    const pid_t pid = first.start("tracee_zoo catch HUP TERM INT QUIT CONT");
    first.skip_shown();
    Moving second(pid);
    ASSERT_TRUE(wait_until([&] {
      return is_told_just_now(first) || is_zombie(second.pid()) ||
             first.unread().find("shell> ") != std::string::npos;
    }));
    const auto until = std::chrono::steady_clock::now() +
                       std::chrono::microseconds(std::uniform_int_distribution<>(0, 600)(random));
    const auto pids = processes_named("grab-tracer");
    while (std::chrono::steady_clock::now() < until) {
    }
    killed += kill_one_of(pids, static_cast<unsigned>(random())) ? 1 : 0;
    ASSERT_TRUE(second.is_moved_from(first)) << all_transcripts();
    ASSERT_TRUE(first.expect_prompt());
    ASSERT_TRUE(first.answers());
    ASSERT_TRUE(second.echoes("still here"));
    first.close_window();
    ASSERT_TRUE(wait_until([&] { return !is_alive(first.pid()); }));
    ASSERT_TRUE(second.echoes("here still"));
    EXPECT_THAT(second.transcript(), Not(HasSubstr("caught")));
    ASSERT_TRUE(end_all_descendants());
  }
  RecordProperty("killed", killed);
}

/// Starts such jobs in the background; `line` is one of them.
std::vector<pid_t> start_jobs(Shell& shell, const std::string& line, int count) {
  std::vector<pid_t> jobs;
  for (int i = 0; i < count; ++i)
    jobs.push_back(shell.start(line + " &"));
  return jobs;
}

/// They live, none got a signal, and grab said of none that the shell is to be told by hand.
void expect_none_harmed(const std::vector<pid_t>& jobs, const std::list<Moving>& moving) {
  for (const pid_t pid : jobs)
    EXPECT_TRUE(is_alive(pid));
  for (const Moving& one : moving) {
    EXPECT_THAT(one.transcript(), Not(HasSubstr("caught")));
    EXPECT_THAT(one.transcript(), Not(HasSubstr("disown")));
  }
}

// bash is followed until its next command since the first.
TEST_P(EveryShell, IsToldOfJobsThatAreMovedOneAfterTheOther) {
  for (const char* end : {"window", "exit", "HUP"}) {
    SCOPED_TRACE(end);
    Shell first(GetParam());
    const auto jobs = start_jobs(first, "tracee_zoo catch-and-wait HUP TERM CONT", 3);
    std::list<Moving> moving;
    for (const pid_t pid : jobs) {
      moving.emplace_back(pid);
      ASSERT_TRUE(moving.back().is_moved_from(first)) << all_transcripts();
    }
    if (end == std::string("window"))
      first.close_window();
    else if (end == std::string("exit"))
      first.run("exit");
    else
      ::kill(first.pid(), SIGHUP);
    ASSERT_TRUE(wait_until([&] { return !is_alive(first.pid()); }));
    ASSERT_TRUE(wait_until([&] { return processes_named("grab-guard").empty(); }));
    expect_none_harmed(jobs, moving);
    ASSERT_TRUE(end_all_descendants());
  }
}

INSTANTIATE_TEST_SUITE_P(Telling, EveryShell,
                         testing::Values("bash", "zsh", "fish", "dash", "mksh"),
                         [](const auto& shell) { return shell.param; });

class Telling : public GrabTest {};

TEST_F(Telling, AGuardThatIsKilledIsStartedAgain) {
  Shell first("bash");
  const pid_t pid = first.start("tracee_zoo catch-and-wait HUP TERM CONT &");
  Moving second(pid);
  ASSERT_TRUE(second.is_moved_from(first));
  for (unsigned which = 0; which < 2; ++which) {
    // First the one that traces, then the one that has started it: what is left goes on.
    const auto guards = processes_named("grab-guard");
    ASSERT_FALSE(guards.empty());
    const auto tracer = std::atoi(status_field(first.pid(), first.pid(), "TracerPid").c_str());
    ASSERT_NE(tracer, 0);
    const auto other =
        std::find_if(guards.begin(), guards.end(), [&](pid_t guard) { return guard != tracer; });
    const pid_t victim = which == 0 ? tracer : other == guards.end() ? 0 : *other;
    ASSERT_NE(victim, 0);
    ::kill(victim, SIGKILL);
    ASSERT_TRUE(wait_until([&] { return !is_alive(victim) && is_traced(first.pid()); }));
  }
  first.close_window();
  ASSERT_TRUE(wait_until([&] { return !is_alive(first.pid()); }));
  ASSERT_TRUE(wait_until([&] { return processes_named("grab-guard").empty(); }));
  EXPECT_TRUE(is_alive(pid));
  EXPECT_THAT(second.transcript(), Not(HasSubstr("caught")));
}

TEST_F(Telling, AShellIsToldOfJobsThatAreMovedAtTheSameTime) {
  for (int round = 0; round < 10; ++round) {
    Shell first("bash");
    const auto jobs = start_jobs(first, "tracee_zoo catch-and-wait HUP TERM", 3);
    std::list<Moving> moving;
    for (const pid_t pid : jobs)
      moving.emplace_back(pid);
    for (Moving& one : moving)
      ASSERT_TRUE(one.is_moved_from(first)) << all_transcripts();
    ASSERT_TRUE(wait_until([&] { return processes_named("grab-guard").size() == 2; }));
    first.close_window();
    ASSERT_TRUE(wait_until([&] { return !is_alive(first.pid()); }));
    expect_none_harmed(jobs, moving);
    ASSERT_TRUE(end_all_descendants());
  }
}

// Each of those who guard it for the first job, and of those who tell it of the second.
TEST_F(Telling, AShellThatIsGuardedIsToldThoughOneWhoTellsOrGuardsIsKilled) {
  std::mt19937 random(::testing::UnitTest::GetInstance()->random_seed());
  int killed = 0;
  for (int round = 0; round < 20; ++round) {
    Shell first("bash");
    const auto jobs = start_jobs(first, "tracee_zoo catch-and-wait HUP TERM", 2);
    std::list<Moving> moving;
    moving.emplace_back(jobs[0]);
    ASSERT_TRUE(moving.back().is_moved_from(first)) << all_transcripts();
    moving.emplace_back(jobs[1]);
    // It has other descriptors before that, when a killed tracer leaves it where it was.
    ASSERT_TRUE(wait_until([&] { return read_stat(jobs[1])->tty != first.device(); }));
    auto victims = processes_named("grab-tracer");
    for (const pid_t guard : processes_named("grab-guard"))
      victims.push_back(guard);
    const auto until = std::chrono::steady_clock::now() +
                       std::chrono::microseconds(std::uniform_int_distribution<>(0, 3000)(random));
    while (std::chrono::steady_clock::now() < until) {
    }
    killed += kill_one_of(victims, static_cast<unsigned>(random())) ? 1 : 0;
    ASSERT_TRUE(moving.back().is_moved_from(first)) << all_transcripts();
    ASSERT_TRUE(wait_until([&] {  // those who guard it for one job, for both
      return processes_named("grab-tracer").empty() && processes_named("grab-guard").size() <= 2 &&
             is_traced(first.pid());
    }));
    first.close_window();
    ASSERT_TRUE(wait_until([&] { return !is_alive(first.pid()); }));
    expect_none_harmed(jobs, moving);
    ASSERT_TRUE(end_all_descendants());
  }
  RecordProperty("killed", killed);
}

TEST_F(Telling, AShellThatIsGuardedCanBeMovedItselfAndIsGuardedAgain) {
  Shell first("bash");
  SecondTerminal third("terminal 3");
  first.run("bash --norc -i");
  ASSERT_TRUE(first.expect_prompt());
  ASSERT_TRUE(first.answers());
  const pid_t inner = first.wait_for_program("bash");
  const pid_t job = start_jobs(first, "tracee_zoo catch-and-wait HUP TERM", 1).front();
  Moving second(job);
  ASSERT_TRUE(second.is_moved_from(first)) << all_transcripts();
  ASSERT_TRUE(grabs_tree(third, first, inner));
  ASSERT_TRUE(wait_until([&] { return is_traced(inner); })) << "by its guard";
  ::kill(inner, SIGHUP);
  ASSERT_TRUE(wait_until([&] { return !is_alive(inner); }));
  EXPECT_TRUE(is_alive(job));
  EXPECT_THAT(second.transcript(), Not(HasSubstr("caught")));
}

TEST_F(Telling, AGuardEndsWithTheJob) {
  Shell first("bash");
  const pid_t pid = first.start("tracee_zoo catch-and-wait HUP &");
  Moving second(pid);
  ASSERT_TRUE(second.is_moved_from(first));
  ASSERT_FALSE(processes_named("grab-guard").empty());
  ::kill(pid, SIGKILL);
  ASSERT_TRUE(wait_until([&] { return processes_named("grab-guard").empty(); }));
  EXPECT_TRUE(first.answers());
}

TEST_F(Telling, AShellThatNobodyHasToldIsToldByTheNextGrab) {
  Shell first("bash");
  const pid_t pid = first.start("tracee_zoo catch HUP TERM INT");
  first.skip_shown();
  Moving second(pid);
  // All who could tell are gone: the shell still waits for its job.
  bool told = false;
  for (int round = 0; round < 50 && !told; ++round) {
    ASSERT_TRUE(wait_until([&] { return read_stat(pid)->tty != first.device(); }));
    // Looked for once: one that has told is called otherwise from then on.
    const auto tracers = processes_named("grab-tracer");
    for (const int signo : {SIGSTOP, SIGKILL}) {
      for (const pid_t tracer : tracers)
        ::kill(tracer, signo);
    }
    told = true;
  }
  ASSERT_TRUE(wait_until([&] {  // shown, by whoever has completed the move
    return processes_named("grab-tracer").empty() && (second.modes().c_lflag & ISIG) == 0;
  })) << all_transcripts();
  const std::string middle = terminal_of(pid);
  Moving third(pid, {"--force"});  // the relay of the first shows it already
  ASSERT_TRUE(third.is_moved_off(middle)) << all_transcripts();
  ASSERT_TRUE(first.expect_prompt()) << all_transcripts();
  ASSERT_TRUE(first.answers());
  first.run("exit");
  ASSERT_TRUE(wait_until([&] { return !is_alive(first.pid()); }));
  EXPECT_TRUE(third.echoes("still here"));
  EXPECT_THAT(third.transcript(), Not(HasSubstr("caught")));
}

// `vim`, ^Z, `grab --tree PID` in one and the same shell.
TEST_F(Telling, TheShellThatGrabWasTypedInForgetsItsJobToo) {
  Shell first("bash");
  const pid_t pid = first.start("tracee_zoo echo-lines");
  first.type("\x1a");
  ASSERT_TRUE(wait_until([&] { return is_stopped(pid); }));
  ASSERT_TRUE(first.answers());
  first.run("grab --tree " + std::to_string(pid) + "; echo \"[status $?]\"");
  ASSERT_TRUE(first.expect("grab: moved"));
  ASSERT_TRUE(wait_until([&] { return (first.modes().c_lflag & ISIG) == 0; }));
  first.type("hello\r");
  ASSERT_TRUE(first.expect("got: hello"));
  EXPECT_THAT(first.transcript(), Not(HasSubstr("disown")));
  first.type("exit 3\r");
  ASSERT_TRUE(first.expect("[status 3]"));
  ASSERT_TRUE(first.expect_prompt());
  EXPECT_THAT(first.output_of("jobs"), Not(HasSubstr("Stopped")));
}

}  // namespace
}  // namespace grab::test
