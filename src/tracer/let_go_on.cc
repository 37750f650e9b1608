// SPDX-License-Identifier: MIT
#include "tracer/let_go_on.h"

#include <signal.h>

#include <chrono>
#include <ctime>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "proc/speaker.h"
#include "tracer/mend.h"

namespace grab::tracer {
namespace {

using std::chrono::milliseconds, std::chrono::steady_clock;

void sleep_a_moment() {
  constexpr timespec kMoment{0, 1'000'000};
  (void)nanosleep(&kMoment, nullptr);
}

std::optional<proc::Stat> stat_of(const Moved::Process& process) {
  const auto stat = proc::stat_of_process(process.pid);
  return stat && stat->start_time == process.start_time ? stat : std::nullopt;
}

/// Whether a process may still be on its way to the stop in which its dead tracer has left it:
/// where many wait for a processor, it may have had none yet.
class OnTheirWay {
 public:
  explicit OnTheirWay(const Held& held) {
    for (const Moved::Process& process : held.processes)
      ran_before_[process.pid] = proc::run_time_of(process.pid);
  }
  [[nodiscard]] bool may_be(pid_t pid) const {
    constexpr milliseconds kUsual{500}, kLongest{10'000};
    constexpr milliseconds kBatch{10};  // takes less than one to run, but for thousands of files
    const auto waited = steady_clock::now() - begun_;
    if (waited < kUsual || waited > kLongest)
      return waited < kUsual;
    const auto before = ran_before_.at(pid), now = proc::run_time_of(pid);
    return before && now && *now - *before < kBatch;
  }

 private:
  steady_clock::time_point begun_ = steady_clock::now();
  std::map<pid_t, std::optional<std::chrono::nanoseconds>> ran_before_;
};

/// Sends what a dead tracer has left in a SIGSTOP on its way. Whether it has left somebody so.
// Kernel: a process in a stop of its batch waits for SIGCONT when its tracer is gone; one that has
// not got there yet will. Source: ptrace(2) PTRACE_SEIZE; seen.
bool continue_held(const Held& held) {
  const OnTheirWay on_their_way(held);
  bool found_stopped = false;
  for (bool again = true; again;) {
    again = false;
    for (const Moved::Process& process : held.processes) {
      const auto stat = stat_of(process);
      const bool stands = stat && stat->state == 'T';
      if (!stat || (!stands && stat->state != 't' && stat->state != 'R') ||
          !on_their_way.may_be(process.pid))
        continue;
      if (stands)
        (void)kill(process.pid, SIGCONT);
      found_stopped = found_stopped || stands;
      again = true;
    }
    sleep_a_moment();
  }
  std::vector<pid_t> stopped;
  for (const Moved::Process& process : held.stopped) {
    if (stat_of(process))
      stopped.push_back(process.pid);
  }
  bring_out_of_batches(stopped);
  return found_stopped;
}

/// A shell that has seen one of its job stop has taken its terminal, or is about to. Who of the job
/// goes on waiting in a read(2) there would get what is typed to the shell.
// Kernel: whether a process may read its terminal is asked where read(2) begins -> one that has to
// begin again is stopped by SIGTTIN. Source: drivers/tty/n_tty.c job_control; seen.
void leave_terminal_to_shell(const Held& held) {
  const auto deadline = steady_clock::now() + milliseconds(100);
  std::set<pid_t> told;
  while (held.front != 0 && steady_clock::now() < deadline) {
    for (const Moved::Process& process : held.processes) {
      const auto stat = stat_of(process);
      if (!stat || stat->pgid != held.front || stat->tpgid == held.front || stat->tpgid <= 0)
        continue;
      if (stat->state != 'T' && told.insert(process.pid).second) {
        (void)kill(process.pid, SIGSTOP);
        (void)kill(process.pid, SIGCONT);
      }
    }
    sleep_a_moment();
  }
}

}  // namespace

void let_go_on(const Held& held) {
  if (continue_held(held))
    leave_terminal_to_shell(held);
}

}  // namespace grab::tracer
