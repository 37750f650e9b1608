// SPDX-License-Identifier: MIT
// The wait statuses of tracees, as ptrace(2) writes them down.
#include "tracer/ptrace.h"

#include <sys/ptrace.h>

#include <csignal>

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace grab::tracer
