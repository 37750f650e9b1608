// SPDX-License-Identifier: MIT
// Jobs whose parent is no shell, and shells in terminals that are not simply closed: who keeps a
// terminal for somebody else (script, sudo, tmux, screen, sshd, xterm) goes, and what was moved is
// harmed by none of them.
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

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

TEST_F(Parents, ScriptOfWhichTheJobIsTakenTakesNothingAlong) {
  Shell first("bash");
  const pid_t pid =
      first.start("script -qc 'exec " + std::string(kJob) + "' " + scratch("typescript"));
  const auto before = read_stat(pid)->tty;
  Moving moving(pid);
  ASSERT_TRUE(wait_until([&] { return read_stat(pid)->tty != before; }));
  ASSERT_TRUE(wait_until([&] { return (moving.modes().c_lflag & ISIG) == 0; }));
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
