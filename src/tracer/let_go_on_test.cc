// SPDX-License-Identifier: MIT
// A process that is on its way to a stop which nobody sees is continued when it gets there, also
// where it waits for something on that way.
#include "tracer/let_go_on.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <vector>

#include <gtest/gtest.h>

#include "proc/surroundings.h"
#include "tracer/ptrace.h"

namespace grab::tracer {
namespace {

using std::chrono::seconds, std::chrono::steady_clock;

char state_of(pid_t pid) {
  const auto stat = proc::stat_of(pid);
  return stat ? stat->state : 'X';
}

/// Is in state D for so long, as by a lock that others hold, then stops, and ends when it is
/// continued.
// Kernel: the parent of a vfork(2) waits so until its child has ended. Source: clone(2)
// CLONE_VFORK; seen.
class Waiter {
 public:
  explicit Waiter(int milliseconds) : pid_(::fork()) {
    if (pid_ == 0) {
      (void)::signal(SIGCHLD, SIG_IGN);  // nobody has to wait for it
      if (::syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0) == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::poll(nullptr, 0, milliseconds);
        ::_exit(0);
      }
      (void)::raise(SIGSTOP);
      ::_exit(0);
    }
    while (state_of(pid_) != 'D' && !is_late())
      ::poll(nullptr, 0, 1);
  }
  ~Waiter() {
    ::kill(pid_, SIGKILL);
    if (!reaped_)
      ::waitpid(pid_, nullptr, 0);
  }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  Waiter(Waiter&&) = delete;
  Waiter& operator=(Waiter&&) = delete;

  [[nodiscard]] Held held() const {
    return {.processes = {{pid_, proc::stat_of(pid_)->start_time}}};
  }
  [[nodiscard]] bool waits() const { return state_of(pid_) == 'D'; }
  [[nodiscard]] bool ends() {
    while (!reaped_ && !is_late()) {
      reaped_ = ::waitpid(pid_, nullptr, WNOHANG) == pid_;
      ::poll(nullptr, 0, 1);
    }
    return reaped_;
  }

 private:
  [[nodiscard]] bool is_late() const { return steady_clock::now() - begun_ > seconds(5); }

  steady_clock::time_point begun_ = steady_clock::now();
  pid_t pid_;
  bool reaped_ = false;
};

TEST(LetGoOn, ContinuesOneThatWaitsInTheKernelOnItsWay) {
  Waiter waiter(50);
  ASSERT_TRUE(waiter.waits());
  let_go_on(waiter.held());
  EXPECT_TRUE(waiter.ends());
}

TEST(LetGoOn, WaitsNotForEverForOneThatWaitsInTheKernel) {
  const Waiter waiter(60'000);
  ASSERT_TRUE(waiter.waits());
  const auto begun = steady_clock::now();
  let_go_on(waiter.held());
  EXPECT_TRUE(waiter.waits());
  EXPECT_LT(steady_clock::now() - begun, seconds(5));
}

TEST(LetGoOn, WaitsNotForEverForOneThatSomebodyElseTraces) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    for (;;)
      ::pause();
  }
  ASSERT_TRUE(seize(pid));
  ASSERT_TRUE(interrupt(pid));
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WSTOPPED | WNOWAIT), 0);
  ASSERT_EQ(state_of(pid), 't');
  const std::vector<Moved::Process> held = {{pid, proc::stat_of(pid)->start_time}};
  const auto begun = steady_clock::now();
  let_go_on({.processes = held});
  let_go_on({.stopped = held});
  EXPECT_LT(steady_clock::now() - begun, seconds(5));
  EXPECT_EQ(state_of(pid), 't');
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
}

}  // namespace
}  // namespace grab::tracer
