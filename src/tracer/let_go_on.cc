// SPDX-License-Identifier: MIT
#include "tracer/let_go_on.h"

#include <signal.h>

#include <chrono>
#include <ctime>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "proc/speaker.h"
#include "tracer/mend.h"
#include "tracer/on_its_way.h"

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

/// Sends what a dead tracer has left in a SIGSTOP on its way. Whether it has left somebody so.
// Kernel: a process in a stop of its batch waits for SIGCONT when its tracer is gone; one that has
// not got there yet will. A call of its batch may wait for a lock (of the terminal, of its memory)
// or for a page to be read in, in state D. Source: ptrace(2) PTRACE_SEIZE, proc_pid_stat(5); seen.
bool continue_held(const Held& held) {
  constexpr std::string_view kOnItsWay = "TtRD";
  std::map<pid_t, const OnItsWay> ways;
  for (const Moved::Process& process : held.processes)
    ways.emplace(process.pid, process.pid);
  bool found_stopped = false;
  for (bool again = true; again;) {
    again = false;
    for (const Moved::Process& process : held.processes) {
      const auto stat = stat_of(process);
      if (!stat || kOnItsWay.find(stat->state) == std::string_view::npos ||
          !ways.at(process.pid).may_be(stat->state))
        continue;
      const bool stands = stat->state == 'T';
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
