// SPDX-License-Identifier: MIT
// /dev/tty after a move: where programs ask for passwords. What root starts finds it; what a
// follower starts does not, and why no follower is given a session and a terminal of its own.
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"

namespace grab::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class DevTty : public GrabTest {};

TEST_F(DevTty, WhatRootStartsAsksForAPassphraseThere) {
  if (!installed("ssh-keygen"))
    GTEST_SKIP() << "ssh-keygen is not installed";
  Shell first("bash");
  SecondTerminal second;
  const std::string key = scratch("key");
  ASSERT_THAT(
      first.output_of("ssh-keygen -q -t ed25519 -N 'open sesame' -f " + key + " </dev/null"),
      Not(HasSubstr("failed")));
  write_file(scratch("script"),
             "echo ready $$\nread line\nssh-keygen -y -f " + key + " </dev/null\necho end $?\n");
  const pid_t root = first.start("bash " + scratch("script"));
  ASSERT_TRUE(grabs_tree(second, first, root));
  second.type("go\r");
  ASSERT_TRUE(second.expect("Enter passphrase"));
  ASSERT_TRUE(wait_until([&] { return (second.modes().c_lflag & ISIG) == 0; }));
  second.type("open sesame\r");
  EXPECT_TRUE(second.expect("ssh-ed25519 "));
  EXPECT_TRUE(second.expect("end 0"));
  EXPECT_TRUE(second.expect_grab_ended(0));
}

TEST_F(DevTty, WhatAFollowerStartsFindsNoneAndTheDryRunSaysSo) {
  Shell first("bash");
  SecondTerminal second;
  write_file(scratch("worker"), "echo ready $$\nread line\ncat /dev/tty\necho worker ends\n");
  write_file(scratch("script"), "sh " + scratch("worker") + "\necho end\ncat /dev/tty\n");
  const pid_t root = first.start_job("sh " + scratch("script"), 1);
  const auto plan = second.grab_and_wait("--tree -N " + std::to_string(root));
  EXPECT_EQ(plan.status, 0);
  EXPECT_THAT(plan.text, HasSubstr("finds no /dev/tty"));
  ASSERT_TRUE(grabs_tree(second, first, root));
  second.type("go\r");
  EXPECT_TRUE(second.expect("No such device or address"));
  EXPECT_TRUE(second.expect("worker ends"));
  ASSERT_TRUE(second.expect("end"));
  second.type("root can\r");
  EXPECT_TRUE(second.expect("root can\r\nroot can"));
}

// ---------------------------------------------------------------- what the kernel would do

/// A script with a session and a terminal of its own, as a follower would have them, starts a
/// worker and ends. Returns what became of the worker.
enum class InFront { kItself, kAnEmptyGroup };
std::string fate_of_worker(InFront in_front, bool script_goes_on) {
  int ptmx = -1, pts = -1, said[2], go[2];
  if (::openpty(&ptmx, &pts, nullptr, nullptr, nullptr) != 0 || ::pipe(said) != 0 ||
      ::pipe(go) != 0)
    return "failed";
  const auto say = [&](const std::string& text) {
    (void)!::write(said[1], text.data(), text.size());
  };
  const pid_t script = ::fork();
  if (script == 0) {
    ::setsid();
    ::ioctl(pts, TIOCSCTTY, 0);
    ::signal(SIGTTOU, SIG_IGN);
    if (in_front == InFront::kAnEmptyGroup) {
      const pid_t other = ::fork();
      if (other == 0)
        ::_exit(::setpgid(0, 0) == 0 ? ::tcsetpgrp(pts, ::getpid()) : 1);
      ::waitpid(other, nullptr, 0);
    }
    sigset_t hup;
    ::sigemptyset(&hup);
    ::sigaddset(&hup, SIGHUP);
    ::sigprocmask(SIG_BLOCK, &hup, nullptr);
    if (::fork() == 0) {
      char byte = 0;
      (void)!::read(go[0], &byte, 1);
      sigset_t pending;
      ::sigpending(&pending);
      const int tty = ::open("/dev/tty", O_RDWR);
      const std::string opened = tty >= 0 ? "" : strerrorname_np(errno);
      const ssize_t count = tty >= 0 ? ::read(tty, &byte, 1) : 0;
      const std::string failed = count < 0 ? strerrorname_np(errno) : "reads";
      say((::sigismember(&pending, SIGHUP) == 1 ? "SIGHUP, " : "") + (tty < 0 ? opened : failed));
      ::_exit(0);
    }
    while (script_goes_on)
      ::pause();
    ::_exit(0);
  }
  if (!script_goes_on)
    ::waitpid(script, nullptr, 0);
  (void)!::write(ptmx, "typed\n", 6);
  (void)!::write(go[1], "", 1);
  char text[100] = {};
  const ssize_t count = ::read(said[0], text, sizeof text);
  if (script_goes_on) {
    ::kill(script, SIGKILL);
    ::waitpid(script, nullptr, 0);
  }
  for (const int fd : {ptmx, pts, said[0], said[1], go[0], go[1]})
    ::close(fd);
  return std::string(text, count > 0 ? static_cast<std::size_t>(count) : 0);
}

TEST_F(DevTty, AFollowerThatLedASessionWouldHangUpWhatItStartedWhenItEnds) {
  EXPECT_EQ(fate_of_worker(InFront::kItself, true), "reads");
  EXPECT_EQ(fate_of_worker(InFront::kItself, false), "SIGHUP, ENXIO");
  EXPECT_EQ(fate_of_worker(InFront::kAnEmptyGroup, false), "ENXIO");
  EXPECT_EQ(fate_of_worker(InFront::kAnEmptyGroup, true), "EIO");
}

}  // namespace
}  // namespace grab::test
