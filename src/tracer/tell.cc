// SPDX-License-Identifier: MIT
// The two processes that tell a shell: one that traces it, and one that starts it again.
#include "tracer/tell.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "base/unique_fd.h"
#include "proc/surroundings.h"
#include "tracer/guards.h"
#include "tracer/progress.h"
#include "tracer/shell_follower.h"

namespace grab::tracer {
namespace {

constexpr std::chrono::milliseconds kTellLimit{500};  // a shell that is told takes 0.4-4 ms

/// The telling is over; what is left is to follow the shell. Nobody is to wait for us because of a
/// descriptor of ours, be it a pipe or a terminal.
void become_guard() {
  (void)prctl(PR_SET_NAME, kShellGuardName);  // for who looks with ps(1), and for gives_way()
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
    (void)dup2(null, fd);
}

/// SIGCHLD as the kernel has it at first, and blocked, to be waited for with a limit.
void set_up_sigchld() {
  (void)signal(SIGCHLD, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  (void)sigprocmask(SIG_BLOCK, &set, nullptr);
}

/// Only a guard whose jobs the next grab can take over gives way to it.
void give_way_from_now_on() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, kGiveWay);
  (void)signal(kGiveWay, SIG_DFL);
  (void)sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

/// Writes a byte to `done` when all is told that can be told at once.
[[noreturn]] void run_teller(const Telling& telling, SharedProgress shared, int done,
                             const TellingCalls& calls) {
  (void)prctl(PR_SET_NAME, kTracerName);
  // Kernel: a group that becomes orphaned with a stopped member gets SIGHUP and SIGCONT. The
  // starter, in this session and another group, ends now: a teller that somebody has stopped would
  // be killed, and the tracer that starts it again with it. Source: kernel/exit.c
  // kill_orphaned_pgrp(); seen.
  (void)setsid();
  ShellFollower follower(telling, *shared.progress);
  Status told = follower.seize_all();
  if (!told && told.error().kind != ErrorKind::kGone)
    calls.notice("the old shell could not be told: " + told.error().message());
  if (told)
    told = follower.tell(kTellLimit);
  calls.over();
  if (!told)
    _exit(0);
  (void)!::write(done, "", 1);
  follower.close_other_descriptors(shared.memory);
  if (shared.memory.valid())
    give_way_from_now_on();
  become_guard();
  follower.follow();
  _exit(0);
}

/// A guard has given way to another grab. True when it is to go on: nobody has traced the shell for
/// a while, or a guard that knows nothing of this one does; that gives way in its turn.
bool stand_aside(const Progress& progress) {
  constexpr std::chrono::milliseconds kBetweenLooks{50};
  auto since = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() < since + kGuardAside) {
    std::this_thread::sleep_for(kBetweenLooks);
    const auto stat = proc::stat_of(progress.shell);
    if (!stat || stat->start_time != progress.shell_start_time)
      return false;
    if (const auto theirs = progress_of_guard(progress.shell, progress.shell_start_time))
      return !theirs->covers(progress);
    if (proc::tracer_of(progress.shell) != 0)
      since = std::chrono::steady_clock::now();
  }
  return true;
}

bool is_readable(int fd) {
  char byte = 0;
  ssize_t count = 0;
  do
    count = read(fd, &byte, 1);
  while (count < 0 && errno == EINTR);
  return count == 1;
}

}  // namespace

void tell_shell(const Telling& telling, const TellingCalls& calls) {
  constexpr int kLives = 100;  // more than anybody kills, few enough to end where one always dies
  set_up_sigchld();
  (void)signal(kGiveWay, SIG_IGN);
  SharedProgress shared = share_progress();
  if (shared.progress == nullptr || !shared.progress->add(telling)) {
    calls.over();
    calls.begun();
    return calls.notice("the old shell could not be told: no memory to tell it by");
  }
  const TellingCalls in_silence{[] {}, [] {}, [](const std::string&) {}};
  bool guarding = false;
  for (int life = 0; life < kLives; life++) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
      return life == 0 ? calls.begun() : void();
    const pid_t teller = fork();
    if (teller == 0)
      run_teller(telling, std::move(shared), ends[1], guarding ? in_silence : calls);
    if (life == 0)
      calls.begun();
    (void)close(ends[1]);
    const bool told = is_readable(ends[0]);
    (void)close(ends[0]);
    if (told && !guarding) {
      guarding = true;
      become_guard();
      place_for_next_grab(shared.memory);
      (void)close_range(kGuardMemory + 1, ~0U, 0);
    }
    int status = 0;
    if (teller < 0 || waitpid(teller, &status, 0) != teller || !WIFSIGNALED(status))
      return;
    if (WTERMSIG(status) == kGiveWay && !stand_aside(*shared.progress))
      return;
  }
}

}  // namespace grab::tracer
