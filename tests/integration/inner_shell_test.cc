// SPDX-License-Identifier: MIT
// Interactive shells inside the tree, with jobs from before the move: `fg`, `bg`, ^Z and ^C do what
// they did, though the kernel has those jobs in another session than their shell, or the shell
// without a controlling terminal.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include "support/grab_test.h"
#include "support/viewing.h"

namespace grab::test {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string start_line(const std::string& kind) {
  if (kind == "bash")
    return "bash --norc -i";
  if (kind == "zsh")
    return "zsh -f -i +o PROMPT_SP";
  // Without that folder it starts a program that runs for long, and is of the tree.
  return "mkdir -p ~/.local/share/fish/generated_completions; "
         "fish -i -C \"function fish_prompt; printf 'shell> '; end; function fish_greeting; end\"";
}

class InnerShell : public EveryShell {
 protected:
  // Of its own input; 3 is the number in 32-bit programs.
  static bool waits_in_read(pid_t pid) {
    const std::string call = read_file("/proc/" + std::to_string(pid) + "/syscall");
    return call.rfind("0 0x0 ", 0) == 0 || call.rfind("3 0x0 ", 0) == 0;
  }
  // Starts the inner shell as the job of the outer one.
  static pid_t start_inner(Shell& first, const std::string& line, const std::string& comm) {
    first.run(line);
    EXPECT_TRUE(first.expect_prompt());
    EXPECT_TRUE(first.answers());
    return first.wait_for_program(comm);
  }
  static pid_t start_inner(Shell& first) {
    return start_inner(first, start_line(GetParam()), GetParam());
  }
  // A job of the shell in `terminal` that ^Z has stopped.
  static pid_t start_stopped(Shell& terminal, const std::string& line) {
    const pid_t pid = terminal.start(line);
    terminal.type("\x1a");
    EXPECT_TRUE(wait_until([&] { return is_stopped(pid); }));
    EXPECT_TRUE(terminal.answers());
    return pid;
  }
  static testing::AssertionResult is_stopped_by_key(SecondTerminal& second, pid_t pid) {
    second.skip_shown();
    second.type("\x1a");
    if (!wait_until([&] { return is_stopped(pid); }))
      return testing::AssertionFailure() << pid << " is not stopped\n" << all_transcripts();
    if (const auto prompt = second.expect_prompt(); !prompt)
      return prompt;
    return second.answers();
  }
  /// Its terminal takes whole lines, and not keys for the shell's editor.
  static bool has_a_line(pid_t pid) {
    const std::string path = "/proc/" + std::to_string(pid) + "/fd/0";
    const int terminal = ::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
    termios modes{};
    const bool known = ::tcgetattr(terminal, &modes) == 0;
    ::close(terminal);
    return known && (modes.c_lflag & ICANON) != 0;
  }
  // While it is handed from one guard to the next a stopped job looks for an instant as if it ran.
  static testing::AssertionResult goes_on_in_front(SecondTerminal& second, pid_t pid) {
    second.run("fg");
    if (!wait_until([&] { return !is_stopped(pid) && has_a_line(pid); }))
      return testing::AssertionFailure() << pid << " is stopped\n" << all_transcripts();
    return second.echoes("in front");
  }
  static pid_t guard_of(pid_t shell) {
    return std::atoi(status_field(shell, shell, "TracerPid").c_str());
  }
  static bool waits_for_a_key(pid_t pid) {
    const std::string call = read_file("/proc/" + std::to_string(pid) + "/syscall");
    const auto stat = read_stat(pid);
    // By number, also of 32-bit programs: read, poll, pselect6, pselect6_time64. What these numbers
    // are in the other kind does not wait, or no shell calls it.
    constexpr std::array kCalls{SYS_read, SYS_poll, SYS_pselect6, 3, 168, 308, 413};
    return stat && stat->state == 'S' &&
           std::find(kCalls.begin(), kCalls.end(), std::atoi(call.c_str())) != kCalls.end();
  }
  // At the prompt. Not before it waits there: zsh and fish act upon a SIGINT that comes just before
  // they wait at the next key only. fish shows nothing for an empty line; the others could take
  // what is typed before the next prompt as a part of the line that they give up.
  static void interrupt_prompt(SecondTerminal& second, pid_t shell) {
    ASSERT_TRUE(wait_until([&] { return waits_for_a_key(shell); }));
    second.skip_shown();
    second.type("\x03");
    if (GetParam() != "fish") {
      ASSERT_TRUE(second.expect_prompt());
    }
    ASSERT_TRUE(second.answers());
  }
  // The job that is last in the shell's list, which catches INT and CONT, can be brought to the
  // front, stopped, continued in the background, and is interrupted alone.
  static void use_job(SecondTerminal& second, pid_t job) {
    ASSERT_TRUE(goes_on_in_front(second, job));
    ASSERT_TRUE(is_stopped_by_key(second, job));
    ASSERT_TRUE(goes_on_in_front(second, job));
    second.type("\x03");
    ASSERT_TRUE(second.expect("caught INT " + std::to_string(job)));
    ASSERT_TRUE(second.echoes("in front still"));
    ASSERT_TRUE(is_stopped_by_key(second, job));
    second.run("bg");
    ASSERT_TRUE(second.expect_prompt());
    ASSERT_TRUE(wait_until([&] { return is_stopped(job) || waits_in_read(job); }));
    ASSERT_TRUE(second.answers()) << "the job reads, and is stopped for it";
    ASSERT_TRUE(wait_until([&] { return is_stopped(job); }));
  }
};

INSTANTIATE_TEST_SUITE_P(Of, InnerShell, testing::Values("bash", "zsh", "fish"),
                         [](const auto& shell) { return shell.param; });

TEST_P(InnerShell, HasTheJobsOfBeforeInFrontAndInTheBackgroundAsBefore) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t inner = start_inner(first);
  const pid_t background = first.start("tracee_zoo catch-and-wait INT TSTP HUP &");
  const pid_t stopped = start_stopped(first, "tracee_zoo catch INT CONT HUP");
  ASSERT_TRUE(grabs_tree(second, first, inner));
  ASSERT_TRUE(second.answers());
  use_job(second, stopped);
  interrupt_prompt(second, inner);
  EXPECT_TRUE(is_alive(background));
  EXPECT_THAT(second.transcript(), Not(HasSubstr(" " + std::to_string(background) + ";")));
  EXPECT_THAT(second.transcript(), Not(HasSubstr("caught HUP")));
  // What the shell starts from now on is the kernel's business.
  const pid_t later = start_stopped(second, "tracee_zoo catch INT CONT");
  use_job(second, later);
  EXPECT_EQ(terminal_of(later), terminal_of(inner));
  EXPECT_NE(guard_of(inner), 0);
  EXPECT_EQ(guard_of(later), 0) << "what it starts is not traced";
}

// Typed before the job goes on: the kernel would stop it where it begins to read.
TEST_P(InnerShell, GetsWhatIsTypedBehindTheBgOfAJobThatReadsOrPolls) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t inner = start_inner(first);
  const pid_t polls = start_stopped(first, "tracee_zoo epoll-lines");
  const pid_t reads = start_stopped(first, "tracee_zoo catch INT CONT");
  ASSERT_TRUE(grabs_tree(second, first, inner));
  ASSERT_TRUE(second.answers());
  for (const std::string job : {"%2", "%1", "%2", "%1"}) {
    const pid_t pid = job == "%2" ? reads : polls;
    const std::string line = "bg " + job + "\recho typed be\"\"hind\r";
    second.skip_shown();
    second.type(line);
    ASSERT_TRUE(second.expect("typed behind")) << job;
    // One that polls begins to read at a key that it sees before the shell has taken it.
    ASSERT_TRUE(wait_until([&] { return !second.answers() || is_stopped(pid); }));
    ASSERT_TRUE(is_stopped(pid)) << job << all_transcripts();
  }
  second.run("fg %1");
  ASSERT_TRUE(wait_until([&] { return !is_stopped(polls); }));
  ASSERT_TRUE(second.echoes("in front"));
}

TEST_P(InnerShell, GetsItsPromptBackFromAJobThatWasInFrontAtTheMove) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t inner = start_inner(first);
  const pid_t job = first.start("tracee_zoo catch INT CONT");
  ASSERT_TRUE(grabs_tree(second, first, inner));
  ASSERT_TRUE(second.echoes("hello"));
  ASSERT_TRUE(is_stopped_by_key(second, job));
  use_job(second, job);
  EXPECT_TRUE(wait_until([&] { return guard_of(job) == 0; })) << "watched until it is stopped";
  ASSERT_TRUE(goes_on_in_front(second, job));
  second.type("exit 0\r");
  ASSERT_TRUE(second.expect_prompt());
  ASSERT_TRUE(second.answers());
}

// One that was in front at the move, and one that was stopped.
TEST_P(InnerShell, HasVimInFrontAndStopsItAndGoesBackToIt) {
  if (!installed("vim"))
    GTEST_SKIP() << "vim is not installed";
  Shell first("bash");
  SecondTerminal second;
  write_file(scratch("text"), "first line\nsecond line\nthird line\n");
  write_file(scratch("other"), "another text\n");
  const pid_t inner = start_inner(first);
  const std::string vim_of = "vim -u NONE -i NONE -n ";
  first.run(vim_of + scratch("other"));
  ASSERT_TRUE(first.expect("another text"));
  const pid_t stopped = first.wait_for_program("vim");
  first.type("\x1a");
  ASSERT_TRUE(wait_until([&] { return is_stopped(stopped); }));
  ASSERT_TRUE(first.answers());
  first.run(vim_of + scratch("text"));
  ASSERT_TRUE(first.expect("third line"));
  std::vector<pid_t> vims = processes_named("vim");
  std::erase(vims, stopped);
  ASSERT_EQ(vims.size(), 1U);
  const pid_t vim = vims.front();
  ASSERT_TRUE(grabs_tree(second, first, inner));
  ASSERT_TRUE(second.expect("third line"));
  ASSERT_TRUE(is_stopped_by_key(second, vim));
  second.run("fg");
  ASSERT_TRUE(second.expect("third line"));
  second.type("xj:wq\r");
  ASSERT_TRUE(second.expect_prompt());
  ASSERT_TRUE(second.answers());
  EXPECT_EQ(read_file(scratch("text")), "irst line\nsecond line\nthird line\n");
  second.run("fg");
  ASSERT_TRUE(second.expect("another text"));
  ASSERT_TRUE(is_stopped_by_key(second, stopped));
  second.run("fg");
  ASSERT_TRUE(second.expect("another text"));
  second.type("x:wq\r");
  ASSERT_TRUE(second.expect_prompt());
  ASSERT_TRUE(second.answers());
  EXPECT_EQ(read_file(scratch("other")), "nother text\n");
}

TEST_P(InnerShell, BelowAScriptHasItsJobsAndTheScriptGoesOnBehindIt) {
  Shell first("bash");
  SecondTerminal second;
  write_file(scratch("menu"), start_line(GetParam()) + "\necho the menu goes on\n");
  const pid_t inner = start_inner(first, "sh " + scratch("menu"), GetParam());
  const pid_t root = read_stat(inner)->ppid;
  const pid_t stopped = start_stopped(first, "tracee_zoo catch INT CONT");
  ASSERT_TRUE(grabs_tree(second, first, root));
  ASSERT_TRUE(second.answers());
  use_job(second, stopped);
  interrupt_prompt(second, inner);  // and the script is not interrupted
  const pid_t later = start_stopped(second, "tracee_zoo catch INT CONT");
  use_job(second, later);
  ASSERT_EQ(::kill(later, SIGKILL), 0);
  ASSERT_EQ(::kill(stopped, SIGKILL), 0);
  ASSERT_TRUE(wait_until([&] { return !is_alive(later) && !is_alive(stopped); }));
  ASSERT_TRUE(second.answers());
  second.run("exit");
  EXPECT_TRUE(second.expect("the menu goes on"));
  EXPECT_TRUE(second.expect_grab_ended(0));
}

TEST_P(InnerShell, BelowALoginShellHasItsJobsAndTheLoginShellHasItsOwn) {
  Shell first("bash", {.login = true});
  SecondTerminal second;
  const pid_t inner = start_inner(first);
  const pid_t stopped = start_stopped(first, "tracee_zoo catch INT CONT");
  ASSERT_TRUE(grabs_tree(second, first, first.pid()));
  ASSERT_TRUE(second.answers());
  use_job(second, stopped);
  ASSERT_EQ(::kill(stopped, SIGKILL), 0);
  ASSERT_TRUE(wait_until([&] { return !is_alive(stopped); }));
  ASSERT_TRUE(second.answers());
  second.run("exit");
  ASSERT_TRUE(wait_until([&] { return !is_alive(inner); })) << all_transcripts();
  ASSERT_TRUE(second.answers());
  const pid_t later = start_stopped(second, "tracee_zoo catch INT CONT");
  use_job(second, later);
}

TEST_P(InnerShell, IsMovedASecondTimeWithItsJobs) {
  if (!installed("vim"))
    GTEST_SKIP() << "vim is not installed";
  Shell first("bash");
  SecondTerminal second, third;
  const pid_t inner = start_inner(first);
  write_file(scratch("text"), "some text\n");
  first.run("vim -u NONE -i NONE -n " + scratch("text"));
  ASSERT_TRUE(first.expect("some text"));
  const pid_t vim = first.wait_for_program("vim");
  first.type("\x1a");
  ASSERT_TRUE(wait_until([&] { return is_stopped(vim); }));
  ASSERT_TRUE(first.answers());
  const pid_t stopped = start_stopped(first, "tracee_zoo catch INT CONT");
  ASSERT_TRUE(grabs_tree(second, first, inner));
  ASSERT_TRUE(second.answers());
  const std::string before = terminal_of(inner);
  third.grab_tree(inner, "--force");
  ASSERT_TRUE(wait_until([&] { return terminal_of(inner) != before; })) << all_transcripts();
  ASSERT_TRUE(wait_until([&] { return (third.modes().c_lflag & ISIG) == 0 && !grab_is_busy(); }));
  third.type("\r");
  ASSERT_TRUE(third.answers());
  use_job(third, stopped);
  third.run("fg %1");
  ASSERT_TRUE(third.expect("some text"));
  ASSERT_TRUE(is_stopped_by_key(third, vim));
}

// What the shell writes to its terminal while a signal comes is shown, though the handlers of these
// shells let no call be made again.
TEST_P(InnerShell, LosesNothingOfWhatItWritesWhenSignalsCome) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t inner = start_inner(first);
  (void)first.start("tracee_zoo catch-and-wait INT TSTP HUP &");
  ASSERT_TRUE(grabs_tree(second, first, inner));
  ASSERT_TRUE(second.answers());
  ASSERT_TRUE(wait_until([&] { return guard_of(inner) != 0; }));
  std::atomic<bool> enough = false;
  std::thread signaller([&] {
    while (!enough) {
      for (int i = 0; i < 25; i++) {
        ::kill(inner, SIGCHLD);
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
      // On a busy machine a write would meet one each time that it is made.
      std::this_thread::sleep_for(std::chrono::milliseconds(15));
    }
  });
  bool answered = true;
  for (int i = 0; i < 20 && answered; i++)
    answered = second.answers();
  enough = true;
  signaller.join();
  EXPECT_TRUE(answered) << all_transcripts();
}

// ---------------------------------------------------------------- whoever ends

TEST_P(InnerShell, GoesOnWhoeverKillsItsGuardOrItsRelay) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t inner = start_inner(first);
  const pid_t stopped = start_stopped(first, "tracee_zoo catch INT CONT");
  ASSERT_TRUE(grabs_tree(second, first, inner));
  ASSERT_TRUE(second.answers());
  constexpr int kKills = 8;
  std::thread killer([inner] {
    std::minstd_rand random(testing::UnitTest::GetInstance()->random_seed() + 1);
    for (int i = 0; i < kKills; i++) {
      pid_t guard = 0;
      if (!wait_until([&] { return (guard = guard_of(inner)) != 0; }))
        return;
      for (auto turns = random() % 3000; turns > 0; turns--)  // at any instant
        ::sched_yield();
      ::kill(guard, SIGKILL);
      (void)wait_until([&] { return guard_of(inner) != guard; });
    }
  });
  bool answered = true;
  for (int i = 0; i < kKills && answered; i++)
    answered =
        second.answers() &&
        second.output_of("sh -c 'echo from a child'").find("from a child") != std::string::npos;
  killer.join();
  ASSERT_TRUE(answered) << all_transcripts();
  ASSERT_TRUE(wait_until([&] { return guard_of(inner) != 0; })) << "another one starts";
  use_job(second, stopped);
  const auto relay = descendant_named(::getpid(), "grab-relay");
  ASSERT_TRUE(relay);
  ::kill(*relay, SIGKILL);
  ASSERT_TRUE(wait_until([&] {
    const auto next = descendant_named(::getpid(), "grab-relay");
    return next && *next != *relay;
  }));
  ASSERT_TRUE(second.answers());
  use_job(second, stopped);
}

// It waits for them alone, without a time limit: nothing else can wake it.
TEST_P(InnerShell, HasAGuardThatSleepsUntilItIsNeededAndEndsWithTheJobs) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t inner = start_inner(first);
  const pid_t stopped = start_stopped(first, "tracee_zoo catch INT CONT");
  ASSERT_TRUE(grabs_tree(second, first, inner));
  ASSERT_TRUE(second.answers());
  const std::vector<pid_t> guards = processes_named("grab-jobs");
  ASSERT_EQ(guards.size(), 2U);
  for (const pid_t guard : guards) {
    const std::string waits = guard == guard_of(inner) ? std::to_string(SYS_waitid) + " 0x0 0x0 "
                                                       : std::to_string(SYS_wait4) + " ";
    EXPECT_TRUE(wait_until([&] {
      return read_file("/proc/" + std::to_string(guard) + "/syscall").rfind(waits, 0) == 0;
    })) << read_file("/proc/" + std::to_string(guard) + "/syscall");
  }
  ASSERT_EQ(::kill(stopped, SIGKILL), 0);
  ASSERT_TRUE(second.answers());
  EXPECT_TRUE(wait_until([] { return processes_named("grab-jobs").empty(); }));
  EXPECT_EQ(guard_of(inner), 0);
  ASSERT_TRUE(second.answers());
}

TEST_P(InnerShell, BecomesAnotherProgramOrIsKilledAsWithoutAGuard) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t inner = start_inner(first);
  const pid_t background = first.start("tracee_zoo catch-and-wait INT TSTP HUP &");
  ASSERT_TRUE(grabs_tree(second, first, inner));
  ASSERT_TRUE(second.answers());
  ASSERT_TRUE(wait_until([&] { return guard_of(inner) != 0; }));
  const std::string line =
      "exec sh -c 'echo another\"\"-program; read line; echo got $line; kill -9 $$'";
  if (GetParam() == "fish") {  // it asks once, and then hangs up its jobs
    second.run(line);
    ASSERT_TRUE(second.expect("second attempt"));
    ASSERT_TRUE(second.expect_prompt());
  }
  second.run(line);
  ASSERT_TRUE(second.expect("another-program"));
  EXPECT_EQ(guard_of(inner), 0);
  second.type("a line\r");
  ASSERT_TRUE(second.expect("got a line"));
  EXPECT_TRUE(wait_until([&] { return !is_alive(inner); }));
  EXPECT_TRUE(wait_until([] { return processes_named("grab-jobs").empty(); }));
  EXPECT_TRUE(is_alive(background));
}

TEST_P(InnerShell, KeepsItsJobInFrontWhenItIsMovedASecondTime) {
  Shell first("bash");
  SecondTerminal second, third;
  const pid_t inner = start_inner(first);
  const pid_t stopped = start_stopped(first, "tracee_zoo catch INT CONT");
  ASSERT_TRUE(grabs_tree(second, first, inner));
  ASSERT_TRUE(second.answers());
  ASSERT_TRUE(goes_on_in_front(second, stopped));
  const std::string before = terminal_of(inner);
  third.grab_tree(inner, "--force");
  ASSERT_TRUE(wait_until([&] { return terminal_of(inner) != before; })) << all_transcripts();
  ASSERT_TRUE(wait_until([&] { return (third.modes().c_lflag & ISIG) == 0 && !grab_is_busy(); }));
  ASSERT_TRUE(third.echoes("in front still"));
  ASSERT_TRUE(is_stopped_by_key(third, stopped));
  use_job(third, stopped);
}

}  // namespace
}  // namespace grab::test
