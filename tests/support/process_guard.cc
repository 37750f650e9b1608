// SPDX-License-Identifier: MIT
#include "support/process_guard.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "support/proc_info.h"

namespace grab::test {
namespace {

// Between two looks at /proc: short beside what is waited for (a few ms), long beside a look.
constexpr Duration kPollInterval{2};

std::mutex& reaped_mutex() {
  static std::mutex mutex;
  return mutex;
}

std::map<pid_t, int>& reaped() {
  static std::map<pid_t, int> statuses;
  return statuses;
}

}  // namespace

int slowness() {
  const char* text = std::getenv("GRAB_TEST_SLOWNESS");
  return text == nullptr ? 1 : std::max(std::atoi(text), 1);
}

bool wait_until(const std::function<bool()>& holds, Duration limit) {
  const auto end = std::chrono::steady_clock::now() + limit * slowness();
  for (;;) {
    reap();
    if (holds())
      return true;
    if (std::chrono::steady_clock::now() >= end)
      return false;
    std::this_thread::sleep_for(kPollInterval);
  }
}

void adopt_orphans() {
  (void)::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

void reap() {
  const std::lock_guard lock(reaped_mutex());
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0)
      return;
    reaped()[pid] = status;
  }
}

std::optional<int> reaped_status(pid_t pid) {
  const std::lock_guard lock(reaped_mutex());
  const auto found = reaped().find(pid);
  return found == reaped().end() ? std::nullopt : std::optional(found->second);
}

void forget_reaped(pid_t pid) {
  const std::lock_guard lock(reaped_mutex());
  reaped().erase(pid);
}

bool end_all_descendants() {
  return wait_until(
      [] {
        const auto pids = descendants_of(::getpid());
        for (const pid_t pid : pids)
          (void)::kill(pid, SIGKILL);  // it may have ended by itself meanwhile
        reap();
        return descendants_of(::getpid()).empty();
      },
      Duration{5'000});
}

struct Watchdog::State {
  std::mutex mutex;
  std::condition_variable condition;
  bool done = false;
  std::thread thread;
};

Watchdog::Watchdog(std::chrono::seconds limit, std::function<void()> report) : state_(new State) {
  state_->thread = std::thread([this, limit, report = std::move(report)] {
    std::unique_lock lock(state_->mutex);
    if (state_->condition.wait_for(lock, limit * slowness(), [this] { return state_->done; }))
      return;
    std::fputs("the test took too long; ending it and all that it started\n", stderr);
    report();
    (void)end_all_descendants();
    ::_exit(1);
  });
}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->done = true;
  }
  state_->condition.notify_one();
  state_->thread.join();
  delete state_;
}

}  // namespace grab::test
