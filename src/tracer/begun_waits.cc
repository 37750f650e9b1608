// SPDX-License-Identifier: MIT
#include "tracer/begun_waits.h"

#include <fcntl.h>
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <future>
#include <memory>
#include <system_error>
#include <thread>

#include "arch/timed_wait.h"
#include "proc/kernel.h"
#include "proc/parse.h"

namespace grab::tracer {
namespace {

using std::chrono::nanoseconds;

/// A file of the thread, empty if it cannot be read. In /proc/TID itself some are of its process.
std::string text_of(pid_t tid, const char* name) {
  std::string text;
  const std::string id = std::to_string(tid);
  const std::string path = "/proc/" + id + "/task/" + id + "/" + name;
  return proc::read_whole_at(AT_FDCWD, path.c_str(), text) == 0 ? text : std::string();
}

nanoseconds monotonic_now() {
  timespec now{};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return std::chrono::seconds(now.tv_sec) + nanoseconds(now.tv_nsec);
}

// Kernel: se.exec_start is read off a clock that each processor has for itself and that stands
// still while it serves interrupts or the host of a virtual machine takes it away -> we begin to
// run there, and compare. What it stands still during a wait makes the wait seem shorter. Source:
// kernel/sched/core.c update_rq_clock_task; seen.
std::optional<nanoseconds> measure_ahead(int processor) {
  cpu_set_t there;
  CPU_ZERO(&there);
  CPU_SET(static_cast<std::size_t>(processor), &there);
  if (sched_setaffinity(0, sizeof there, &there) != 0)
    return std::nullopt;
  std::optional<nanoseconds> least;
  constexpr int kTries = 5;
  for (int i = 0; i < kTries; i++) {
    const timespec moment{0, 1};
    (void)nanosleep(&moment, nullptr);
    const auto own = proc::parse_sched(text_of(gettid(), "sched"));
    const nanoseconds now = monotonic_now();  // behind: what comes between makes a wait shorter
    if (own && own->exec_start > nanoseconds::zero())
      least = std::min(least.value_or(nanoseconds::max()), now - own->exec_start);
  }
  return least;
}

/// The same in a thread of its own, for on a processor that someone has to himself (sched(7),
/// SCHED_FIFO) it may never run.
std::future<std::optional<nanoseconds>> start_measuring(int processor) {
  auto measured = std::make_shared<std::promise<std::optional<nanoseconds>>>();
  auto result = measured->get_future();
  try {
    std::thread([=] { measured->set_value(measure_ahead(processor)); }).detach();
  } catch (const std::system_error&) {
    measured->set_value(std::nullopt);  // no thread is to be had
  }
  return result;
}

}  // namespace

void BegunWaits::look(const std::vector<pid_t>& tids) {
  std::map<int, std::future<std::optional<nanoseconds>>> measured;
  for (const pid_t tid : tids) {
    const auto call = proc::parse_syscall_number(text_of(tid, "syscall"));
    if (!call || !arch::may_be_timed_wait(*call))
      continue;
    threads_[tid] = std::nullopt;
    const auto processor = proc::parse_stat_processor(text_of(tid, "stat"));
    if (processor && ahead_.count(*processor) == 0 && measured.count(*processor) == 0)
      measured.emplace(*processor, start_measuring(*processor));
  }
  constexpr auto kLongest = std::chrono::seconds(1);
  const auto deadline = std::chrono::steady_clock::now() + kLongest;
  for (auto& [processor, result] : measured) {
    const bool is_known = result.wait_until(deadline) == std::future_status::ready;
    ahead_[processor] = is_known ? result.get() : std::nullopt;
  }
}

std::optional<BegunWaits::Sleep> BegunWaits::sleep_of(pid_t tid) {
  const auto scheduling = proc::parse_sched(text_of(tid, "sched"));
  Sleep sleep{.call = text_of(tid, "syscall"), .transfer = text_of(tid, "io")};
  if (!scheduling || sleep.call.empty() || sleep.transfer.empty())
    return std::nullopt;
  sleep.times = scheduling->voluntary_switches;
  sleep.since = scheduling->exec_start;
  return sleep;
}

void BegunWaits::note(pid_t tid) {
  const auto known = threads_.find(tid);
  if (known == threads_.end())
    return;
  known->second.reset();
  std::optional<Sleep> sleep = sleep_of(tid);
  const auto processor = proc::parse_stat_processor(text_of(tid, "stat"));
  if (!sleep || !processor || sleep->since <= nanoseconds::zero())
    return;
  // One that runs has no number.
  const auto call = proc::parse_syscall_number(sleep->call);
  const auto ahead = ahead_.find(*processor);
  if (!call || !arch::may_be_timed_wait(*call) || ahead == ahead_.end() || !ahead->second)
    return;
  sleep->since += *ahead->second;
  known->second = std::move(sleep);
}

std::optional<nanoseconds> BegunWaits::waited(pid_t tid) const {
  const auto known = threads_.find(tid);
  if (known == threads_.end() || !known->second)
    return std::nullopt;
  const Sleep& before = *known->second;
  // It has been woken and has stopped, which is one sleep more. What it has done between the two:
  // nothing, or it would have gone to sleep again, or be in another call, or have read what it was
  // woken for.
  const std::optional<Sleep> now = sleep_of(tid);
  if (!now || now->times != before.times + 1 || now->call != before.call ||
      now->transfer != before.transfer)
    return std::nullopt;
  const nanoseconds waited = std::max(monotonic_now() - before.since, nanoseconds::zero());
  // Kernel: CLOCK_MONOTONIC is slewed by 500 ppm at most. Source: adjtimex(2).
  constexpr int kSlew = 2000;
  return waited - waited / kSlew;
}

}  // namespace grab::tracer
