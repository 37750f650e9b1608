// SPDX-License-Identifier: MIT
// The wait statuses of tracees, as ptrace(2) writes them down.
#include "tracer/ptrace.h"

#include <poll.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include <gtest/gtest.h>

#include "base/unique_fd.h"

namespace grab::tracer {
namespace {

int stopped(int signo, int event = 0) {
  return 0x7f | (signo << 8) | (event << 16);
}

TEST(Stop, ReadsEveryKind) {
  EXPECT_EQ(Stop(0x0300).kind(), StopKind::kEnded) << "exit(3)";
  EXPECT_EQ(Stop(SIGKILL).kind(), StopKind::kEnded);
  EXPECT_EQ(Stop(stopped(SIGTRAP, PTRACE_EVENT_STOP)).kind(), StopKind::kInterrupted);
  for (const int signo : {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU}) {
    const Stop group(stopped(signo, PTRACE_EVENT_STOP));
    EXPECT_EQ(group.kind(), StopKind::kGroupStop);
    EXPECT_EQ(group.signo(), signo);
    EXPECT_EQ(Stop(stopped(signo)).kind(), StopKind::kSignalDelivery) << "not stopped yet";
  }
  EXPECT_EQ(Stop(stopped(SIGUSR1)).signo(), SIGUSR1);
  EXPECT_EQ(Stop(stopped(SIGTRAP)).kind(), StopKind::kSignalDelivery) << "a real SIGTRAP";
  EXPECT_EQ(Stop(stopped(SIGTRAP | 0x80)).kind(), StopKind::kSystemCall);
  EXPECT_EQ(Stop(stopped(SIGTRAP, PTRACE_EVENT_FORK)).kind(), StopKind::kFork);
  EXPECT_EQ(Stop(stopped(SIGTRAP, PTRACE_EVENT_VFORK)).kind(), StopKind::kVfork);
  EXPECT_EQ(Stop(stopped(SIGTRAP, PTRACE_EVENT_CLONE)).kind(), StopKind::kClone);
  EXPECT_EQ(Stop(stopped(SIGTRAP, PTRACE_EVENT_VFORK_DONE)).kind(), StopKind::kVforkDone);
  EXPECT_EQ(Stop(stopped(SIGTRAP, PTRACE_EVENT_EXEC)).kind(), StopKind::kExec);
}

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0)
      std::abort();
    out = UniqueFd(ends[0]);
    in = UniqueFd(ends[1]);
  }
  void say() const { (void)(::write(in.get(), "x", 1) < 0); }
  [[nodiscard]] bool hears() const {
    constexpr int kLimitMs = 20'000;
    char byte = 0;
    pollfd said{out.get(), POLLIN, 0};
    return ::poll(&said, 1, kLimitMs) == 1 && ::read(out.get(), &byte, 1) == 1;
  }
  UniqueFd out, in;
};

TEST(NextStop, LosesNoSignalOfATraceeWhoseTracerIsKilledBeforeItHasPassedItOn) {
  static const Pipe caught;
  const Pipe ready;
  const Pipe told;
  const pid_t tracee = ::fork();
  if (tracee == 0) {
    (void)::signal(SIGUSR1, [](int) { caught.say(); });
    ready.say();
    for (;;)
      (void)::pause();
  }
  ASSERT_TRUE(ready.hears());
  const pid_t tracer = ::fork();
  if (tracer == 0) {
    if (!seize(tracee) || ::kill(tracee, SIGUSR1) != 0)
      ::_exit(1);
    for (;;) {
      const auto stopped = next_stop(0);
      if (stopped && stopped->stop.kind() == StopKind::kSignalDelivery &&
          stopped->stop.signo() == SIGUSR1)
        break;
    }
    told.say();
    for (;;)
      (void)::pause();
  }
  EXPECT_TRUE(told.hears());
  (void)::kill(tracer, SIGKILL);
  EXPECT_TRUE(caught.hears());
  (void)::kill(tracee, SIGKILL);
  (void)::waitpid(tracer, nullptr, 0);
  (void)::waitpid(tracee, nullptr, 0);
}

}  // namespace
}  // namespace grab::tracer
