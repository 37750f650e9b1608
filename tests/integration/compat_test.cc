// SPDX-License-Identifier: MIT
// 32-bit programs, with shared libraries and static ones, alone and beside 64-bit ones: all that a
// move promises holds for them. Skipped where the kernel runs none.
#include <fcntl.h>
#include <signal.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"

namespace grab::test {
namespace {

using testing::HasSubstr;

/// Whether the program can be run here: built, and known to the kernel.
bool runs(const std::string& program) {
  const std::string path = program_folder() + "/" + program;
  if (!exists(path))
    return false;
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(STDOUT_FILENO);
    ::execl(path.c_str(), path.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  return ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 2;
}

/// How many bytes at the end of the vDSO of a process, where grab's code lies, are zero.
std::size_t room_in_vdso(pid_t pid) {
  const std::string process = "/proc/" + std::to_string(pid);
  std::istringstream maps(read_file(process + "/maps"));
  std::string line;
  while (std::getline(maps, line) && line.find("[vdso]") == std::string::npos) {
  }
  unsigned long start = 0, end = 0;
  if (std::sscanf(line.c_str(), "%lx-%lx", &start, &end) != 2)
    return 0;
  std::string image(end - start, '\1');
  std::ifstream memory(process + "/mem", std::ios::binary);
  memory.seekg(static_cast<std::streamoff>(start));
  memory.read(image.data(), static_cast<std::streamsize>(image.size()));
  return image.size() - 1 - image.find_last_not_of('\0');
}

class ThirtyTwoBit : public GrabTest, public testing::WithParamInterface<std::string> {
 protected:
  void SetUp() override {
    GrabTest::SetUp();
    if (!IsSkipped() && !runs(GetParam()))
      GTEST_SKIP() << "this kernel runs no 32-bit programs";
  }
  [[nodiscard]] static std::string zoo(const std::string& behaviour) {
    return GetParam() + " " + behaviour;
  }
};

INSTANTIATE_TEST_SUITE_P(Each, ThirtyTwoBit, testing::Values("tracee_zoo32", "tracee_zoo32_static"),
                         [](const auto& tested) { return tested.param; });

TEST_P(ThirtyTwoBit, ProgramIsAtHomeOnItsNewTerminal) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start(zoo("echo-lines"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_TRUE(second.echoes("hello"));
  const std::string terminal = terminal_of(pid);
  second.type("report\r");
  EXPECT_TRUE(second.expect("pgid=" + std::to_string(pid) + " sid=" + std::to_string(pid) +
                            " tty=" + terminal + " devtty=" + std::to_string(pid) + " end"));
  second.type("spawn\r");
  EXPECT_TRUE(second.expect("sid=" + std::to_string(pid) + " tty=" + terminal));
  EXPECT_TRUE(second.expect("child has ended"));
  second.type("\x03");
  EXPECT_TRUE(wait_until([&] { return !is_alive(pid); }));
}

TEST_P(ThirtyTwoBit, NoCallInWhichItMayWaitSeesTheMove) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start(zoo("blocked"));
  const std::string shown = first.transcript();
  const auto at = shown.find("semaphores ");
  ASSERT_NE(at, std::string::npos);
  const int semaphores = std::stoi(shown.substr(at + 11));
  const auto moved = grabs_tree(second, first, pid);
  if (moved)
    second.type("release\r");
  const auto well = moved ? second.expect("blocked: all well") : moved;
  (void)::semctl(semaphores, 0, IPC_RMID);
  EXPECT_TRUE(well);
}

TEST_P(ThirtyTwoBit, ProgramThatWaitsByEpollSeesKeys) {
  for (const char* how : {"", "edge", "pair"}) {
    Shell first("bash");
    SecondTerminal second;
    const pid_t pid = first.start(zoo("epoll-lines ") + how);
    ASSERT_TRUE(grabs_tree(second, first, pid)) << how;
    EXPECT_TRUE(second.echoes("hello")) << how;
  }
}

TEST_P(ThirtyTwoBit, ThreadsThatSpinAndWaitAreMoved) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start(zoo("threads 3"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type("spins\r");
  EXPECT_TRUE(second.expect("still spinning"));
}

TEST_P(ThirtyTwoBit, ProgramWithManyDescriptorsIsMoved) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start(zoo("fd-keeper"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
}

TEST_P(ThirtyTwoBit, ProgramWhoseMainThreadHasEndedIsMovedOrRefusedInWordsBeforeLinux6Point9) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start(zoo("dead-leader"));
  const auto own = static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), O_EXCL));
  if (own >= 0) {  // PIDFD_THREAD, which is O_EXCL, is known
    ::close(own);
    second.grab_tree(pid);
    EXPECT_TRUE(second.echoes("hello"));
    return;
  }
  const auto outcome = second.grab_and_wait("--tree " + std::to_string(pid));
  EXPECT_EQ(outcome.status, 125);
  EXPECT_THAT(outcome.text, HasSubstr("the main thread of " + std::to_string(pid) + " has ended"));
  first.type("hello\r");
  EXPECT_TRUE(first.expect("got: hello"));
}

TEST_P(ThirtyTwoBit, NoneOfAStreamOfSignalsIsLost) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start(zoo("signal-stream"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type("check\r");
  constexpr Duration kLimit{30'000};  // where handlers are slow, the stream leaves little time
  ASSERT_TRUE(second.expect("signals: ", kLimit));
  EXPECT_TRUE(second.expect(" seen, 0 lost"));
}

TEST_P(ThirtyTwoBit, WriterLosesNoByteThoughItDoesNotLookAtTheCountOfItsWrite) {
  Shell first("bash");
  SecondTerminal second;
  const std::string fifo = scratch("go");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const pid_t reader =
      first.start(zoo("whole-writes 1 20000 now") + " | bash -c 'echo ready $$; read -r go < " +
                  fifo + "; exec grep -cx \"n[0-9]*\\|wrote all, 0 short\"'");
  constexpr std::size_t kLongestComm = 15;
  const pid_t writer = first.wait_for_program(GetParam().substr(0, kLongestComm));
  ASSERT_TRUE(wait_until([&] { return waits_in_write(writer); }));
  constexpr std::size_t kBatchAndRest = 408;  // just what Linux 6.12 leaves: docs/kernel.md
  if (const auto room = room_in_vdso(writer); room < kBatchAndRest)
    GTEST_SKIP() << "this kernel leaves " << room << " bytes for it in the vDSO of 32-bit programs";
  second.grab_tree(reader);
  ASSERT_TRUE(have_left(first, {reader, writer}));
  SecondTerminal third;
  third.grab_tree(reader, "--force");
  ASSERT_TRUE(third.expect("grab: moved 2 processes"));
  write_file(fifo, "go\n");
  EXPECT_TRUE(third.expect("20001"));
}

TEST_P(ThirtyTwoBit, StoppedJobIsMovedAndContinued) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start(zoo("echo-lines"));
  first.type("\x1a");
  ASSERT_TRUE(wait_until([&] { return is_stopped(pid); }));
  ASSERT_TRUE(first.answers());
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
}

TEST_P(ThirtyTwoBit, TreeOfBothKindsIsMovedWhicheverIsTheRoot) {
  for (const auto& [root_kind, child_kind] :
       {std::pair<std::string, std::string>{GetParam(), "tracee_zoo"},
        {"tracee_zoo", GetParam()}}) {
    Shell first("bash");
    SecondTerminal second;
    const pid_t root =
        first.start_job(root_kind + " run-below " + child_kind + " catch-and-wait INT WINCH", 2);
    const auto tree = tree_of(root);
    ASSERT_EQ(tree.size(), 2U);
    ASSERT_TRUE(grabs_tree(second, first, root)) << root_kind;
    ASSERT_TRUE(second.echoes("hello")) << root_kind;
    second.resize({41, 101});
    EXPECT_TRUE(second.expect("caught WINCH 41x101")) << root_kind;
    second.type("\x03");
    EXPECT_TRUE(second.expect("caught INT " + std::to_string(tree.back()))) << root_kind;
  }
}

TEST_P(ThirtyTwoBit, TreeCanBeMovedAgain) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start(zoo("echo-lines") + " | cat");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_TRUE(second.echoes("hello"));
  SecondTerminal third;
  third.grab_tree(pid, "--force");
  ASSERT_TRUE(third.expect("grab: moved 2 processes"));
  EXPECT_TRUE(third.echoes("again"));
}

TEST_P(ThirtyTwoBit, CornersHoldForItToo) {
  for (const char* behaviour : {"without-stack", "small-stack", "int80-lines", "signal-stack"}) {
    Shell first("bash");
    SecondTerminal second;
    const pid_t pid = first.start(zoo(behaviour));
    ASSERT_TRUE(grabs_tree(second, first, pid)) << behaviour;
    EXPECT_TRUE(second.echoes("hello")) << behaviour;
  }
}

class CallsOfTheOtherKind : public GrabTest {};

TEST_F(CallsOfTheOtherKind, A64BitProgramThatWaitsInA32BitCallIsMoved) {
  if (!runs("tracee_zoo32"))
    GTEST_SKIP() << "this kernel runs no 32-bit programs";
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo int80-lines");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
}

TEST_F(CallsOfTheOtherKind, A64BitProgramThatRuns32BitCodeIsRefusedInWords) {
  if (!runs("tracee_zoo32"))
    GTEST_SKIP() << "this kernel runs no 32-bit programs";
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo code32");
  const Unchanged unchanged(first, {pid});
  const auto outcome = second.grab_and_wait("--tree " + std::to_string(pid));
  EXPECT_EQ(outcome.status, 125);
  EXPECT_THAT(outcome.text, HasSubstr("is a 64-bit program that is running 32-bit code"));
  EXPECT_TRUE(unchanged.holds());
}

TEST_F(CallsOfTheOtherKind, AProgramForTheX32AbiIsRefusedInWords) {
  if (!runs("x32_lines"))
    GTEST_SKIP() << "this kernel runs no programs for the x32 ABI";
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("bash -c 'echo ready $$; exec x32_lines'");
  ASSERT_TRUE(first.expect("reading"));
  const Unchanged unchanged(first, {pid});
  const auto outcome = second.grab_and_wait("--tree " + std::to_string(pid));
  EXPECT_EQ(outcome.status, 125);
  EXPECT_THAT(outcome.text, HasSubstr("(x32_lines) is a program for the x32 ABI"));
  EXPECT_TRUE(unchanged.holds());
}

}  // namespace
}  // namespace grab::test
