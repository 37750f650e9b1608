// SPDX-License-Identifier: MIT
#include "tracer/tell.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "tracer/ptrace.h"

namespace grab::tracer {
namespace {

using Clock = std::chrono::steady_clock;

class Telling {
 public:
  Telling(pid_t shell, pid_t pgid, std::vector<pid_t> children, int wait_status)
      : shell_(shell), pgid_(pgid), left_(std::move(children)), wait_status_(wait_status) {}

  Result<Told> run(std::chrono::milliseconds limit) {
    GRAB_CHECK(seize(shell_));
    mem_.reset(open(("/proc/" + std::to_string(shell_) + "/mem").c_str(), O_RDWR | O_CLOEXEC));
    GRAB_CHECK(interrupt(shell_));
    const Clock::time_point deadline = Clock::now() + limit;
    while (!left_.empty()) {
      GRAB_TRY(const bool stopped, next_stop(deadline));
      if (!stopped)
        break;
    }
    GRAB_CHECK(let_go());
    return Told{left_};
  }

 private:
  /// Handles the next stop of the shell; false at the deadline.
  Result<bool> next_stop(Clock::time_point deadline) {
    for (;;) {
      int status = 0;
      const pid_t tid = waitpid(-1, &status, __WALL | WNOHANG);
      if (tid < 0)
        return fail_errno(errno, "waiting for the shell " + std::to_string(shell_));
      if (tid > 0) {
        const Stop stop(status);
        if (tid != shell_) {
          release_other(tid, stop);
          continue;
        }
        if (stop.kind() == StopKind::kEnded) {
          return fail(ErrorKind::kGone, "the shell " + std::to_string(shell_) + " has ended");
        }
        GRAB_CHECK(handle(stop));
        return true;
      }
      if (Clock::now() >= deadline)
        return false;
      wait_or_kick(deadline);
    }
  }

  /// A child that the shell has started meanwhile, born under trace: none of ours.
  static void release_other(pid_t tid, const Stop& stop) {
    if (stop.kind() == StopKind::kEnded)
      return;
    if (!detach(tid, stop.kind() == StopKind::kSignalDelivery ? stop.signo() : 0))
      (void)resume(tid);
  }

  Status handle(const Stop& stop) {
    waiting_since_ = Clock::now();
    switch (stop.kind()) {
      case StopKind::kGroupStop:
        return listen(shell_);
      case StopKind::kSignalDelivery:
        return resume_to_system_call(shell_, stop.signo());
      case StopKind::kSystemCall:
        GRAB_CHECK(answer());
        if (left_.empty()) {
          stopped_ = true;
          return {};
        }
        return resume_to_system_call(shell_);
      default:
        return resume_to_system_call(shell_);
    }
  }

  /// If the shell is entering a wait for one of the job, answers it in the kernel's place.
  Status answer() {
    GRAB_TRY(const arch::Registers regs, get_registers(shell_));
    const std::optional<arch::WaitCall> wait = arch::entering_wait(regs);
    if (!wait)
      return {};
    const auto child =
        std::find_if(left_.begin(), left_.end(), [&](pid_t pid) { return asks_for(*wait, pid); });
    if (child == left_.end())
      return {};
    GRAB_CHECK(write_answer(*wait, *child));
    // Before this call the shell waits as it did; behind it, it has been told.
    GRAB_CHECK(set_registers(shell_, arch::skip_call(regs, wait->is_waitid ? 0 : *child)));
    left_.erase(child);
    return {};
  }

  [[nodiscard]] bool asks_for(const arch::WaitCall& wait, pid_t child) const {
    if (wait.is_waitid) {
      if ((wait.options & WEXITED) == 0 || (wait.options & WNOWAIT) != 0)
        return false;
      return wait.id_type == P_ALL || (wait.id_type == P_PID && wait.id == child) ||
             (wait.id_type == P_PGID && (wait.id == pgid_ || wait.id == 0));
    }
    return wait.id == -1 || wait.id == child || wait.id == -pgid_;
  }

  Status write_answer(const arch::WaitCall& wait, pid_t child) const {
    if (wait.is_waitid) {
      siginfo_t info{};
      info.si_signo = SIGCHLD;
      info.si_code = WIFSIGNALED(wait_status_) ? CLD_KILLED : CLD_EXITED;
      info.si_pid = child;
      info.si_uid = owner_of(child);
      info.si_status =
          WIFSIGNALED(wait_status_) ? WTERMSIG(wait_status_) : WEXITSTATUS(wait_status_);
      GRAB_CHECK(write(wait.status, &info, sizeof info));
    } else {
      GRAB_CHECK(write(wait.status, &wait_status_, sizeof wait_status_));
    }
    const rusage none{};
    return write(wait.rusage, &none, sizeof none);
  }

  Status write(std::uint64_t address, const void* bytes, std::size_t size) const {
    if (address == 0)
      return {};
    if (pwrite(mem_.get(), bytes, size, static_cast<off_t>(address)) ==
        static_cast<ssize_t>(size)) {
      return {};
    }
    return fail_errno(errno, "answering the shell " + std::to_string(shell_));
  }

  static uid_t owner_of(pid_t pid) {
    struct stat info {};
    (void)stat(("/proc/" + std::to_string(pid)).c_str(), &info);
    return info.st_uid;
  }

  void wait_or_kick(Clock::time_point deadline) {
    constexpr auto kQuiet =
        std::chrono::milliseconds(2);  // a shell in a wait has long been seen by then
    constexpr auto kAgain = std::chrono::milliseconds(100);
    const auto now = Clock::now();
    const auto kick_at = kicked_ ? kick_time_ + kAgain : waiting_since_ + kQuiet;
    if (now >= kick_at) {
      (void)kill(shell_, SIGCHLD);
      kicked_ = true;
      kick_time_ = now;
      return;
    }
    const auto left = std::min<std::chrono::nanoseconds>(kick_at - now, deadline - now);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    const timespec limit{0, static_cast<long>(std::max<std::int64_t>(left.count(), 1))};
    (void)sigtimedwait(&set, nullptr, &limit);
  }

  Status let_go() {
    if (stopped_)
      return detach(shell_);
    (void)interrupt(shell_);
    int status = 0;
    if (waitpid(shell_, &status, __WALL) != shell_)
      return {};
    const Stop stop(status);
    if (stop.kind() == StopKind::kEnded)
      return {};
    return detach(shell_, stop.kind() == StopKind::kSignalDelivery ? stop.signo() : 0);
  }

  pid_t shell_;
  pid_t pgid_;
  std::vector<pid_t> left_;
  int wait_status_;
  UniqueFd mem_;
  bool stopped_ = false;
  bool kicked_ = false;
  Clock::time_point waiting_since_ = Clock::now();
  Clock::time_point kick_time_;
};

}  // namespace

Result<Told> tell_shell(pid_t shell, pid_t pgid, std::vector<pid_t> children, int wait_status,
                        std::chrono::milliseconds limit) {
  return Telling(shell, pgid, std::move(children), wait_status).run(limit);
}

}  // namespace grab::tracer
