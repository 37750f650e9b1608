// SPDX-License-Identifier: MIT
// Terminals that a real program keeps for the shell: a window of xterm, on an X server without a
// screen, and a connection of ssh, to a server of the test's own. After a grab window, connection
// and program end, each way that they can, and nothing of what was moved gets a signal.
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "base/unique_fd.h"
#include "support/grab_test.h"
#include "support/moving.h"
#include "support/ssh_server.h"

namespace grab::test {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kCatcher = "tracee_zoo catch HUP TERM INT QUIT CONT";

std::string why_missing(const std::vector<std::string>& programs) {
  for (const std::string& program : programs) {
    if (!installed(program))
      return program + " is not installed";
  }
  return {};
}

bool waits_for_a_line(pid_t pid) {
  return read_file("/proc/" + std::to_string(pid) + "/syscall").rfind("0 0x0 ", 0) == 0;
}

/// What was moved is shown, answers, and has seen no signal.
void expect_unharmed(Moving& moving) {
  EXPECT_TRUE(moving.echoes("still here"));
  EXPECT_THAT(moving.transcript(), Not(HasSubstr("caught")));
}

/// `pid` is on another terminal than `device`, which grab shows, and nobody traces any more.
testing::AssertionResult has_moved_off(dev_t device, pid_t pid, Moving& moving) {
  if (!wait_until([&] { return read_stat(pid)->tty != device && !is_traced(pid); }) ||
      !wait_until([&] { return (moving.modes().c_lflag & ISIG) == 0; }) ||
      !wait_until([] { return !grab_is_busy(); }))
    return testing::AssertionFailure() << "was not moved\n" << all_transcripts();
  return testing::AssertionSuccess();
}

// ---- xterm

class Window : public GrabTest {
 protected:
  void SetUp() override {
    GrabTest::SetUp();
    if (const auto why = why_missing({"xterm", "Xvfb"}); !why.empty())
      GTEST_SKIP() << why;
    server_ = std::make_unique<Shell>("dash", Shell::Options{.name = "X server"});
    server_->run("Xvfb -displayfd 1 -screen 0 640x480x8 -nolisten tcp 2>/dev/null");
    display_ = ":" + std::to_string(server_->expect_number("2>/dev/null\r\n"));
    first_ = std::make_unique<Shell>("dash");
    write_file(scratch("rc"), "PROMPT_COMMAND='echo >> " + scratch("prompts") + "'\n");
    first_->run("DISPLAY=" + display_ + " xterm -e bash --rcfile " + scratch("rc") + " -i");
    xterm_ = first_->wait_for_program("xterm");
    ASSERT_TRUE(wait_until([&] { return prompts() == 1; })) << all_transcripts();
    shell_ = *descendant_named(xterm_, "bash");
    terminal_ = read_stat(shell_)->tty;
  }
  void TearDown() override {
    first_.reset();
    server_.reset();
    GrabTest::TearDown();
  }

  /// How often the shell in the window has had its prompt.
  static std::size_t prompts() { return read_file(scratch("prompts")).size(); }

  /// Types in the window: a copy of xterm's own ptmx is written to.
  void type(const std::string& keys) const {
    for (const auto& [fd, facts] : fds_of(xterm_)) {
      if (facts.target != "/dev/ptmx" && facts.target != "/dev/pts/ptmx")
        continue;
      const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, xterm_, 0)));
      const UniqueFd ptmx(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), fd, 0)));
      ASSERT_EQ(::write(ptmx.get(), keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
      return;
    }
    FAIL() << "xterm has no ptmx";
  }

  /// Starts the job in the window; it waits for a line.
  pid_t start_job() {
    type(program_folder() + "/" + kCatcher + "\r");
    const pid_t pid = first_->wait_for_program("tracee_zoo");
    EXPECT_TRUE(wait_until([&] { return waits_for_a_line(pid); }));
    return pid;
  }

  void end_window_by(int signo) const {
    ::kill(signo == 0 ? *descendant_named(server_->pid(), "Xvfb") : xterm_,
           signo == 0 ? SIGKILL : signo);
    EXPECT_TRUE(wait_until([&] { return !is_alive(xterm_) && !is_alive(shell_); }));
  }

  std::string display_;
  std::unique_ptr<Shell> server_, first_;
  pid_t xterm_ = 0;
  pid_t shell_ = 0;
  dev_t terminal_ = 0;
};

/// A signal to xterm, or 0: its display goes, as when a desktop ends.
class ClosedWindow : public Window, public testing::WithParamInterface<int> {};

INSTANTIATE_TEST_SUITE_P(By, ClosedWindow, testing::Values(0, SIGTERM, SIGKILL),
                         [](const auto& signo) {
                           return signo.param == 0 ? std::string("TheEndOfItsDisplay")
                                                   : "Signal" + std::to_string(signo.param);
                         });

TEST_P(ClosedWindow, OfXtermTakesNothingAlong) {
  const pid_t pid = start_job();
  Moving moving(pid);
  ASSERT_TRUE(has_moved_off(terminal_, pid, moving));
  ASSERT_TRUE(wait_until([&] { return prompts() == 2; })) << "the shell has no prompt";
  end_window_by(GetParam());
  expect_unharmed(moving);
}

// xterm would send the group of its child a hang-up when it closes.
TEST_F(Window, OfXtermClosesWhenItsShellIsMovedWithItsJob) {
  const pid_t pid = start_job();
  Moving moving(shell_);
  ASSERT_TRUE(has_moved_off(terminal_, pid, moving));
  EXPECT_TRUE(wait_until([&] { return !is_alive(xterm_); }));
  expect_unharmed(moving);
  EXPECT_TRUE(is_alive(shell_));
}

// ---- ssh

class Connection : public GrabTest {
 protected:
  void SetUp() override {
    GrabTest::SetUp();
    if (const auto why = why_missing({"sshd", "ssh", "ssh-keygen"}); !why.empty())
      GTEST_SKIP() << why;
    if (::geteuid() != 0)
      GTEST_SKIP() << "only root's ssh server can hand out terminals";
    server_ = std::make_unique<SshServer>();
    first_ = std::make_unique<Shell>("dash");
    first_->run(server_->login() + "\"exec env PS1='far> ' PATH=" + program_folder() +
                ":/usr/bin:/bin bash --norc -i\"");
    ASSERT_TRUE(first_->expect("2004hfar> ")) << all_transcripts();
    first_->run(kCatcher);
    pid_ = static_cast<pid_t>(first_->expect_number("ready "));
    shell_ = read_stat(pid_)->ppid;
  }
  void TearDown() override {
    first_.reset();
    server_.reset();
    GrabTest::TearDown();
  }

  std::unique_ptr<SshServer> server_;
  std::unique_ptr<Shell> first_;
  pid_t pid_ = 0;
  pid_t shell_ = 0;
};

class LostConnection : public Connection, public testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(Where, LostConnection,
                         testing::Values("TheClientIsKilled", "TheServerIsKilled",
                                         "TheUserLogsOut"),
                         [](const auto& where) { return std::string(where.param); });

TEST_P(LostConnection, OfSshTakesNothingAlong) {
  const dev_t terminal = read_stat(pid_)->tty;
  first_->skip_shown();
  Moving moving(pid_);
  ASSERT_TRUE(has_moved_off(terminal, pid_, moving));
  ASSERT_TRUE(first_->expect("far> "));
  const std::string how = GetParam();
  if (how == "TheClientIsKilled")
    ::kill(*descendant_named(first_->pid(), "ssh"), SIGKILL);
  else if (how == "TheServerIsKilled")
    ::kill(read_stat(shell_)->ppid, SIGKILL);
  else
    first_->run("exit");
  ASSERT_TRUE(wait_until([&] { return !is_alive(shell_); })) << all_transcripts();
  expect_unharmed(moving);
}

}  // namespace
}  // namespace grab::test
