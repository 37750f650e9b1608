// SPDX-License-Identifier: MIT
#include "cli/outcome.h"

#include <csignal>

#include <gtest/gtest.h>

namespace grab::cli {
namespace {

// Wait statuses as wait(2) gives them.
constexpr int exited(int status) {
  return status << 8;
}
constexpr int kCoreDumped = 0x80;

tracer::Moved moved_make() {
  tracer::Moved moved;
  moved.root_name = "4711 (make)";
  moved.old_terminal = "/dev/pts/3";
  moved.processes = {{4711, 90}, {4712, 91}, {4713, 92}};
  moved.job_pgid = 4711;
  moved.follower_pgids = {4712};
  moved.redraw = {4713};
  moved.status_pid = 4711;
  moved.frozen_ms = 1.84;
  return moved;
}

TEST(ExitStatus, SaysWhatKindOfErrorItWas) {
  EXPECT_EQ(exit_status(ErrorKind::kUsage), 2);
  EXPECT_EQ(exit_status(ErrorKind::kTimeout), 124);
  EXPECT_EQ(exit_status(ErrorKind::kSystem), 125);
  EXPECT_EQ(exit_status(ErrorKind::kUnsupported), 125);
  EXPECT_EQ(exit_status(ErrorKind::kRefused), 125);
  EXPECT_EQ(exit_status(ErrorKind::kPermission), 126);
  EXPECT_EQ(exit_status(ErrorKind::kGone), 127);
}

TEST(ExitStatus, IsTheTreesOwn) {
  EXPECT_EQ(exit_status(relay::TreeEnd{exited(0)}), 0);
  EXPECT_EQ(exit_status(relay::TreeEnd{exited(3)}), 3);
  EXPECT_EQ(exit_status(relay::TreeEnd{exited(255)}), 255);
  EXPECT_EQ(exit_status(relay::TreeEnd{SIGTERM}), 128 + SIGTERM);
  EXPECT_EQ(exit_status(relay::TreeEnd{SIGSEGV | kCoreDumped}), 128 + SIGSEGV);
  EXPECT_EQ(exit_status(relay::TreeEnd{}), 0);
}

TEST(EndedLine, SaysHowTheTreeEnded) {
  const std::string moved = "4711 (make)";
  EXPECT_EQ(ended_line(moved, {exited(0)}), "4711 (make) ended with status 0");
  EXPECT_EQ(ended_line(moved, {exited(2)}), "4711 (make) ended with status 2");
  EXPECT_EQ(ended_line(moved, {SIGTERM}), "4711 (make) was killed by SIGTERM");
  EXPECT_EQ(ended_line(moved, {SIGABRT | kCoreDumped}),
            "4711 (make) was killed by SIGABRT (core dumped)");
  EXPECT_EQ(ended_line(moved, {}), "4711 (make) ended; the kernel does not tell its status");
}

TEST(SignalName, IsANumberWhereTheSignalHasNoName) {
  EXPECT_EQ(signal_name(SIGHUP), "SIGHUP");
  EXPECT_EQ(signal_name(40), "signal 40");
  EXPECT_EQ(signal_name(0), "signal 0");
}

TEST(MovedLine, CountsTheProcesses) {
  EXPECT_EQ(moved_line(moved_make()),
            "moved 3 processes of 4711 (make) here from /dev/pts/3 (frozen 1.8 ms)");
}

TEST(MovedLine, OfOneProcessWithoutATerminal) {
  tracer::Moved moved = moved_make();
  moved.processes.resize(1);
  moved.old_terminal.clear();
  EXPECT_EQ(moved_line(moved), "moved 4711 (make) here (frozen 1.8 ms)");
}

TEST(MovedLine, SaysWhichKeyDetaches) {
  EXPECT_EQ(moved_line(moved_make(), 0x1C),
            "moved 3 processes of 4711 (make) here from /dev/pts/3 (frozen 1.8 ms); ^\\ detaches");
}

TEST(MovedLine, OfATreeThatIsNotShownSaysHowToShowIt) {
  EXPECT_EQ(moved_away_line(moved_make(), "make.4711"),
            "moved 3 processes of 4711 (make) from /dev/pts/3 (frozen 1.8 ms); show it with: "
            "grab attach make.4711");
  EXPECT_EQ(started_line("x"), "started x; show it with: grab attach x");
}

TEST(AttachedLine, SaysWhichKeyDetaches) {
  EXPECT_EQ(attached_line("x", false, 0x01), "attached to x; ^A detaches");
  EXPECT_EQ(attached_line("x", true, std::nullopt), "attached to x to look only");
}

TEST(DetachedLine, SaysHowToComeBack) {
  EXPECT_EQ(detached_line("make.4711", ""),
            "detached from make.4711; come back with: grab attach make.4711");
  EXPECT_EQ(detached_line("x", "by another viewer"),
            "detached from x by another viewer; come back with: grab attach x");
  EXPECT_EQ(detached_line("x", "\x1b"), "detached from x ?; come back with: grab attach x");
}

TEST(StoppedLine, SaysHowToGoOn) {
  EXPECT_EQ(stopped_line("4711 (make)"), "4711 (make) is stopped; fg continues it");
}

TEST(MovedTree, HasWhatTheRelayHasToKnow) {
  const relay::MovedTree tree = to_moved_tree(moved_make());
  EXPECT_EQ(tree.name, "4711 (make)");
  ASSERT_EQ(tree.processes.size(), 3U);
  EXPECT_EQ(tree.processes[1].pid, 4712);
  EXPECT_EQ(tree.processes[1].start_time, 91U);
  EXPECT_EQ(tree.status_pid, 4711);
  EXPECT_EQ(tree.job_pgid, 4711);
  EXPECT_EQ(tree.follower_pgids, std::vector<pid_t>{4712});
  EXPECT_EQ(tree.redraw_pids, std::vector<pid_t>{4713});
}

TEST(MovedTree, KnowsWhetherTheKernelSignalsTheJob) {
  tracer::Moved moved = moved_make();
  const auto by_kernel = [&](tracer::Topology topology) {
    moved.topology = topology;
    return to_moved_tree(moved).kernel_signals_job;
  };
  EXPECT_TRUE(by_kernel(tracer::Topology::kNewSession));
  EXPECT_TRUE(by_kernel(tracer::Topology::kSessionLeader));
  EXPECT_FALSE(by_kernel(tracer::Topology::kKeepSession));
}

TEST(EndedLine, SaysThatTheTreeWasMovedAway) {
  EXPECT_EQ(ended_line("4711 (make)", relay::TreeEnd{std::nullopt, true}),
            "4711 (make) was moved to another terminal");
}

}  // namespace
}  // namespace grab::cli
