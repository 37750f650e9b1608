// SPDX-License-Identifier: MIT
#include "relay_bench/holder.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <initializer_list>

namespace grab::bench {
namespace {

constexpr std::initializer_list<int> kIgnoredByShells = {SIGTTOU, SIGTTIN, SIGTSTP,
                                                         SIGTERM, SIGINT,  SIGQUIT};

// Keeps the standard descriptors and `kept`: what else is open belongs to other sessions, whose
// terminals would not hang up while it is open here.
void close_others(std::vector<int> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned first = STDERR_FILENO + 1;
  for (const int fd : kept) {
    if (fd < static_cast<int>(first))
      continue;
    if (fd > static_cast<int>(first))
      (void)::close_range(first, static_cast<unsigned>(fd) - 1, 0);
    first = static_cast<unsigned>(fd) + 1;
  }
  (void)::close_range(first, ~0U, 0);
}

[[noreturn]] void execute(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (const std::string& word : command)
    argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

// The contender on the outer terminal; if it is to move the program, once it is told whom.
[[noreturn]] void be_contender(const Launch& launch) {
  std::vector<std::string> command = launch.command;
  if (launch.pid_to_move >= 0) {
    std::array<char, 32> digits{};
    const ssize_t size = ::read(launch.pid_to_move, digits.data(), digits.size());
    if (size <= 0)
      ::_exit(1);
    command.emplace_back(digits.data(), static_cast<std::size_t>(size));
  }
  close_others({launch.pts});
  if (::login_tty(launch.pts) != 0)
    ::_exit(1);
  execute(command);
}

// What an interactive shell looks like from outside, with the program as its job in the foreground.
[[noreturn]] void be_shell(const Launch& launch) {
  close_others({launch.old_pts});
  for (const int signal : kIgnoredByShells)
    (void)::signal(signal, SIG_IGN);
  if (::login_tty(launch.old_pts) != 0)
    ::_exit(1);
  const pid_t job = ::fork();
  if (job == 0) {
    (void)::setpgid(0, 0);
    (void)::tcsetpgrp(STDIN_FILENO, ::getpgrp());  // SIGTTOU is still ignored here
    for (const int signal : kIgnoredByShells)
      (void)::signal(signal, SIG_DFL);
    execute(launch.program);
  }
  for (int status = 0; ::waitpid(job, &status, WUNTRACED) == job || errno == EINTR;) {
    (void)::tcsetpgrp(STDIN_FILENO, ::getpgrp());
    if (WIFEXITED(status) || WIFSIGNALED(status))
      break;
  }
  ::_exit(0);
}

}  // namespace

void be_holder(const Launch& launch) {
  // A benchmark that dies takes the holder with it; the program inside sees the end of its socket,
  // and the contender that of its program.
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  (void)::prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0, 0, 0);
  close_others({launch.pts, launch.old_pts, launch.pid_to_move, launch.shell_pid});
  if (!launch.program.empty()) {
    const pid_t shell = ::fork();
    if (shell == 0)
      be_shell(launch);
    if (::write(launch.shell_pid, &shell, sizeof shell) != sizeof shell)
      ::_exit(1);
  }
  if (::fork() == 0)
    be_contender(launch);
  close_others({});
  int status = 0;
  while (::waitpid(-1, &status, 0) > 0 || errno == EINTR)
    continue;
  ::_exit(0);
}

}  // namespace grab::bench
