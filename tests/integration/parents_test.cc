// SPDX-License-Identifier: MIT
// Jobs whose parent is no shell, and shells in terminals that are not simply closed: who keeps a
// terminal for somebody else (script, sudo, tmux, screen, sshd, xterm) goes, and what was moved is
// harmed by none of them.
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"
#include "support/moving.h"

namespace grab::test {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kJob = "tracee_zoo catch HUP TERM INT QUIT CONT";

class Parents : public GrabTest {
 protected:
  /// Every one of them is needed.
  static std::string missing(const std::vector<std::string>& programs) {
    for (const std::string& program : programs) {
      if (!installed(program))
        return program + " is not installed";
    }
    return {};
  }
  static void expect_unharmed(Moving& moving) {
    EXPECT_TRUE(moving.echoes("still here"));
    EXPECT_THAT(moving.transcript(), Not(HasSubstr("caught")));
  }
};

TEST_F(Parents, ScriptThatIsMovedWithItsShellGoesOnWriting) {
  Shell first("bash");
  const pid_t pid = first.start("script -qc '" + std::string(kJob) + "' " + scratch("typescript"));
  const pid_t outer = first.wait_for_program("script");
  Moving moving(outer);
  first.skip_shown();
  ASSERT_TRUE(moving.is_moved_from(first));
  ASSERT_TRUE(first.answers());
  first.close_window();
  ASSERT_TRUE(wait_until([&] { return !is_alive(first.pid()); }));
  expect_unharmed(moving);
  EXPECT_TRUE(is_alive(pid));
}

// As after ^C, the rest of the line is not run: what was moved has not ended.
TEST_F(Parents, ScriptOfWhichTheJobIsTakenIsDoneAndTheShellHasItsPrompt) {
  for (const char* const shell : {"bash", "zsh", "fish", "dash"}) {
    SCOPED_TRACE(shell);
    if (!installed(shell))
      continue;
    Shell first(shell);
    const pid_t pid = first.start("script -c 'exec " + std::string(kJob) + "' " +
                                  scratch("typescript") + "; echo not' 'yet");
    first.skip_shown();
    Moving moving(pid);
    ASSERT_TRUE(first.expect("Script done."));
    ASSERT_TRUE(first.expect_prompt());
    ASSERT_TRUE(first.answers());
    EXPECT_THAT(first.transcript(), Not(HasSubstr("not yet")));
    EXPECT_THAT(read_file(scratch("typescript")), HasSubstr("Script done on "));
    expect_unharmed(moving);
    first.close_window();
    ASSERT_TRUE(wait_until([&] { return !is_alive(first.pid()); }));
    EXPECT_TRUE(moving.echoes("here still"));
    expect_unharmed(moving);
    ASSERT_TRUE(wait_until([] { return !grab_is_busy(); }));
    ASSERT_TRUE(end_all_descendants());
  }
}

TEST_F(Parents, ScriptOfWhichTheShellIsTakenIsDone) {
  Shell first("bash");
  first.run("ENV= PS1='inner> ' SHELL=/bin/dash script " + scratch("typescript"));
  ASSERT_TRUE(first.expect("inner> "));
  const pid_t pid = first.start(kJob);
  const pid_t shell = read_stat(pid)->ppid;
  ASSERT_EQ(read_stat(shell)->sid, shell);
  first.skip_shown();
  Moving moving(shell);
  ASSERT_TRUE(first.expect("Script done."));
  ASSERT_TRUE(first.expect_prompt());
  ASSERT_TRUE(first.answers());
  first.run("exit");
  ASSERT_TRUE(wait_until([&] { return !is_alive(first.pid()); }));
  expect_unharmed(moving);
  EXPECT_TRUE(is_alive(shell));
  EXPECT_THAT(read_file(scratch("typescript")),
              testing::AllOf(HasSubstr("ready "), HasSubstr("Script done on ")));
}

// What it had not copied yet when the tree left is in its file: not a line is missing between that
// and what is shown afterwards.
TEST_F(Parents, ScriptHasCopiedAllThatWasWrittenBeforeTheJobWasTaken) {
  Shell first("bash");
  first.run("script -qc 'exec tracee_zoo count 1000000' " + scratch("typescript"));
  const pid_t pid = first.wait_for_program("tracee_zoo");
  ASSERT_TRUE(first.expect("n00010000"));
  Moving moving(pid, {"--log", scratch("log")});
  ASSERT_TRUE(
      wait_until([] { return exists(scratch("log")) && !read_file(scratch("log")).empty(); }));
  ASSERT_TRUE(wait_until([] {
    return read_file(scratch("typescript")).find("Script done on ") != std::string::npos;
  })) << all_transcripts();
  const std::string typescript = read_file(scratch("typescript"));
  const std::string log = read_file(scratch("log"));
  // A line may have been cut in two.
  std::string all = typescript.substr(typescript.find("n00000001"));
  all = all.substr(0, all.find("\nScript done on "));
  const std::size_t seam = all.size();
  all += log.substr(0, 1000);
  for (std::size_t at = 0, n = 1; at + 20 < all.size(); at += 11, ++n) {
    char line[32];
    std::snprintf(line, sizeof line, "n%08zu\r\n", n);
    ASSERT_EQ(all.substr(at, 11), line) << "at byte " << at << ", the seam is at " << seam;
  }
  ::kill(pid, SIGKILL);
}

// The shell script would go on with what stands behind it.
TEST_F(Parents, ScriptThatAShellScriptHasStartedGoesOnWaitingForTheJob) {
  Shell first("bash");
  write_file(scratch("job"), "script -c 'exec " + std::string(kJob) + "' " + scratch("typescript") +
                                 "\necho after\n");
  const pid_t pid = first.start("sh " + scratch("job"));
  const pid_t script = first.wait_for_program("script");
  const auto before = read_stat(pid)->tty;
  Moving moving(pid);
  ASSERT_TRUE(wait_until([&] { return read_stat(pid)->tty != before && !grab_is_busy(); }));
  ASSERT_TRUE(moving.echoes("still here"));
  EXPECT_TRUE(is_alive(script));
  EXPECT_THAT(first.transcript(), Not(HasSubstr("after")));
  first.close_window();
  ASSERT_TRUE(wait_until([&] { return !is_alive(first.pid()); }));
  expect_unharmed(moving);
}

TEST_F(Parents, TimeoutGoesAlongAndStillEndsItsJobInTime) {
  Shell first("bash");
  const pid_t pid = first.start("timeout 600 " + std::string(kJob));
  const pid_t timeout = first.wait_for_program("timeout");
  first.skip_shown();
  Moving moving(timeout);
  ASSERT_TRUE(moving.is_moved_from(first));
  ASSERT_TRUE(first.expect_prompt());
  first.close_window();
  ASSERT_TRUE(wait_until([&] { return !is_alive(first.pid()); }));
  expect_unharmed(moving);
  ::kill(timeout, SIGALRM);  // as if the time was over
  EXPECT_TRUE(moving.expect("caught TERM"));
  EXPECT_TRUE(is_alive(pid));
}

// The script waits on in the old terminal; when that goes, so does the script, but not the job.
TEST_F(Parents, AScriptUnderSetMWhoseWindowIsClosedTakesNothingAlong) {
  Shell first("bash");
  write_file(scratch("job"), std::string("set -m\n") + kJob + "\necho after\n");
  const pid_t pid = first.start("bash " + scratch("job"));
  first.skip_shown();
  Moving moving(pid);
  ASSERT_TRUE(moving.is_moved_from(first));
  first.close_window();
  ASSERT_TRUE(wait_until([&] { return !is_alive(first.pid()); }));
  expect_unharmed(moving);
}

// The old terminal's keys must not reach it either: the kernel goes by the terminal's foreground.
TEST_F(Parents, AScriptUnderSetMGetsWhatIsTypedInItsTerminalAndTheJobDoesNot) {
  Shell first("bash");
  write_file(scratch("job"), std::string("set -m\n") + kJob + "\necho after\n");
  const pid_t pid = first.start("bash " + scratch("job"));
  Moving moving(pid);
  ASSERT_TRUE(moving.is_moved_from(first));
  const pid_t script = read_stat(pid)->ppid;
  EXPECT_EQ(first.foreground_pgid(), read_stat(script)->pgid);
  first.type("\x03");
  // Kernel: the signal is sent before the character is echoed. Source: n_tty_receive_signal_char().
  ASSERT_TRUE(first.expect("^C"));
  expect_unharmed(moving);
}

TEST_F(Parents, SudoOfWhichTheShellIsLeftBehindTakesNothingAlong) {
  if (const auto why = missing({"sudo"}); !why.empty())
    GTEST_SKIP() << why;
  if (::geteuid() != 0)
    GTEST_SKIP() << "only root may use sudo without a password here";
  Shell first("bash");
  (void)first.run("exec sudo -E -u root PATH=$PATH PS1='inner> ' bash --norc -i"), (void)0;
  ASSERT_TRUE(first.expect("inner> "));
  first.run(kJob);
  const auto pid = static_cast<pid_t>(first.expect_number("ready "));
  first.skip_shown();
  Moving moving(pid);
  ASSERT_TRUE(wait_until([&] { return (moving.modes().c_lflag & ISIG) == 0; }));
  ASSERT_TRUE(first.expect("inner> ")) << all_transcripts();
  first.run("exit");
  ASSERT_TRUE(wait_until([&] { return !is_alive(first.pid()); })) << all_transcripts();
  expect_unharmed(moving);
}

// tmux and screen: the job of a shell in a window; then the window, and the server, are ended.
void move_out_of(Shell& first, const std::string& start, const std::string& end_window) {
  first.run(start);
  const auto pid = static_cast<pid_t>(first.expect_number("ready "));
  const auto before = read_stat(pid)->tty;
  Moving moving(pid);
  ASSERT_TRUE(wait_until([&] { return read_stat(pid)->tty != before; })) << all_transcripts();
  ASSERT_TRUE(wait_until([&] { return (moving.modes().c_lflag & ISIG) == 0; }));
  ASSERT_TRUE(wait_until([&] {
    const auto shell = read_stat(read_stat(pid)->ppid);
    return !shell || shell->tty == 0 || shell->tpgid == shell->pgid;
  })) << all_transcripts();
  const pid_t shell = read_stat(pid)->ppid;
  Shell other("bash", {.name = "terminal 3"});
  other.run(end_window);
  ASSERT_TRUE(wait_until([&] { return !is_alive(shell) || read_stat(pid)->ppid != shell; }))
      << all_transcripts();
  EXPECT_TRUE(moving.echoes("still here"));
  EXPECT_THAT(moving.transcript(), Not(HasSubstr("caught")));
}

TEST_F(Parents, TmuxThatIsEndedTakesNothingAlong) {
  if (const auto why = missing({"tmux"}); !why.empty())
    GTEST_SKIP() << why;
  Shell first("bash");
  const std::string tmux = "tmux -f /dev/null -S " + scratch("tmux") + " ";
  first.run(tmux + "new-session bash --norc -i");
  ASSERT_TRUE(wait_until([&] { return exists(scratch("tmux")); }));
  ASSERT_TRUE(first.expect("bash"));
  move_out_of(first, kJob, tmux + "kill-server");
}

TEST_F(Parents, ScreenThatIsEndedTakesNothingAlong) {
  if (const auto why = missing({"screen"}); !why.empty())
    GTEST_SKIP() << why;
  Shell first("bash");
  ::mkdir(scratch("screens").c_str(), 0700);
  const std::string screen =
      "SCREENDIR=" + scratch("screens") + " screen -c /dev/null -S grabtest ";
  first.run(screen + "bash --norc -i");
  ASSERT_TRUE(wait_until([&] { return descendant_named(::getpid(), "screen").has_value(); }));
  ASSERT_TRUE(first.expect("bash"));
  move_out_of(first, kJob, screen + "-X quit");
}

}  // namespace
}  // namespace grab::test
