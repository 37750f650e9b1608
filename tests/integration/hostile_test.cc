// SPDX-License-Identifier: MIT
// Programs that want to be grabbed: what they control (memory, name, descriptors, paths) must not
// make grab write outside of them, follow their paths, hand a descriptor out, or show their bytes.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <set>
#include <sstream>
#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"
#include "support/other_user.h"

namespace grab::test {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class Hostile : public GrabTest {};

TEST_F(Hostile, NamesThatLookLikeOtherFieldsOrCommandTheTerminalDoNoHarm) {
  // In /proc/PID/stat the name stands between parentheses, before the fields that are read.
  for (const std::string name : {") S 1 1 1 1 1", "a)(b) R 2 ((", "two\nlines", "\x1b[31mred\x07",
                                 "\xff\xfe\x9b"
                                 "31m",
                                 "fifteen bytes!!"}) {
    Shell first("bash");
    SecondTerminal second;
    write_file(scratch("name"), name);
    const pid_t pid = first.start("tracee_zoo comm \"$(cat " + scratch("name") + ")\"");
    second.run("grab --dry-run --tree " + std::to_string(pid));
    ASSERT_TRUE(second.expect("Nothing was changed."));
    ASSERT_TRUE(second.expect_prompt());
    ASSERT_TRUE(grabs_tree(second, first, pid)) << visible(name);
    EXPECT_TRUE(second.echoes("hello"));
    EXPECT_THAT(second.transcript(),
                AllOf(Not(HasSubstr("\x1b[31m")), Not(HasSubstr("\x07")), Not(HasSubstr("\x9b"))));
    EXPECT_EQ(read_stat(pid).value().ppid, first.pid());
  }
}

TEST_F(Hostile, ACommandLineOfEscapesAndOfAMebibyteIsShownCleanAndShort) {
  Shell first("bash");
  SecondTerminal second;
  write_file(scratch("start"),
             "exec -a $'\\e]0;title\\a\\n"
             "grab: moved' tracee_zoo echo-lines "
             "$(printf 'x%.0s' $(seq 90000))\n");
  const pid_t pid = first.start("bash " + scratch("start"));
  second.run("grab --dry-run --tree " + std::to_string(pid));
  ASSERT_TRUE(second.expect("Nothing was changed."));
  ASSERT_TRUE(second.expect_prompt());
  EXPECT_THAT(second.transcript(), Not(HasSubstr("\x1b]0;")));
  EXPECT_LT(second.transcript().size(), 20'000U);
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
}

TEST_F(Hostile, AVdsoElsewhereThanTheProcessSaysIsFound) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo vdso-moved");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
}

TEST_F(Hostile, AFileInThePlaceOfTheVdsoIsNotWrittenTo) {
  Shell first("bash");
  SecondTerminal second;
  const std::string text(16384, '\0');
  write_file(scratch("file"), text);
  const pid_t pid = first.start("tracee_zoo vdso-file " + scratch("file"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
  EXPECT_TRUE(read_file(scratch("file")) == text);
}

TEST_F(Hostile, AProcessWithoutAVdsoIsRefusedAndLeftAlone) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo vdso-unmapped");
  const Unchanged unchanged(first, tree_of(first.pid()));
  const auto outcome = second.grab_and_wait("--tree " + std::to_string(pid));
  EXPECT_EQ(outcome.status, kFailed);
  EXPECT_THAT(outcome.text, HasSubstr("no vDSO"));
  EXPECT_TRUE(unchanged.holds());
}

TEST_F(Hostile, ATerminalThatTheProgramHasMadeIsNotTakenForItsOwn) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo own-ptmx");
  const auto before = fds_of(pid);
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
  const auto after = fds_of(pid);
  ASSERT_EQ(after.size(), before.size());
  for (const auto& [fd, facts] : before) {
    if (fd > 2) {
      EXPECT_EQ(after.at(fd), facts) << fd;
    }
  }
}

// `make` makes something at the path $t of the terminal, in a namespace of the process's own; OTHER
// is another terminal.
void expect_not_opened(std::string make) {
  Shell first("bash");
  SecondTerminal second;
  Shell third("bash", {.name = "terminal 3"});
  if (const auto at = make.find("OTHER"); at != std::string::npos)
    make.replace(at, 5, third.path());
  const std::string closed = scratch("closed by " + std::to_string(first.pid()));
  const std::string script = "t=$(tty); mount -t tmpfs none /dev/pts; " + make +
                             "; exec tracee_zoo no-descriptors \"" + closed + "\"";
  const pid_t pid = first.start("unshare -m --propagation private sh -c '" + script + "'");
  ASSERT_TRUE(wait_until([&] { return exists(closed); }));
  second.grab_tree(pid);
  ASSERT_TRUE(second.expect("grab: moved"));
  for (const auto& [fd, facts] : fds_of(pid))
    EXPECT_THAT(facts.target, Not(StartsWith("/dev/pts"))) << fd;
  EXPECT_TRUE(is_alive(pid));
  EXPECT_TRUE(third.answers());
}

TEST_F(Hostile, WhatLiesAtThePathOfItsTerminalIsNotOpened) {
  if (::geteuid() != 0)
    GTEST_SKIP() << "only root can mount something over /dev/pts";
  for (const char* make :
       {"mkfifo $t", "ln -s OTHER $t", "touch $t", "mknod $t c 1 3", "mkdir $t"}) {
    SCOPED_TRACE(make);
    expect_not_opened(make);
  }
}

TEST_F(Hostile, NothingButItsOwnTerminalsCanBeTakenFromRootsGrab) {
  if (::geteuid() != 0)
    GTEST_SKIP() << "only root hands descriptors to another user's processes";
  Shell first("bash");
  const std::string zoo = program_for_all("tracee_zoo");
  Shell thief("bash", {.name = "terminal 3"});
  (void)thief.start(as_nobody() + zoo + " thief grab-donor");
  std::set<std::string> taken;
  std::set<std::string> its_own = {first.path()};
  // Each grab has it for a few milliseconds only.
  for (int i = 0; i < 30 && taken.empty(); ++i) {
    SecondTerminal second;
    const pid_t pid = first.start(as_nobody() + zoo + " echo-lines");
    ASSERT_TRUE(grabs_tree(second, first, pid));
    ASSERT_TRUE(second.echoes("hello"));
    its_own.insert(terminal_of(pid));
    std::istringstream shown(thief.transcript());
    for (std::string line; std::getline(shown, line);) {
      if (line.rfind("taken ", 0) == 0)
        taken.insert(line.substr(6, line.find('\r') - 6));
    }
    second.type("exit 0\r");
    ASSERT_TRUE(second.expect("status 0"));
  }
  ASSERT_THAT(taken, Not(testing::IsEmpty())) << "the thief never saw the donor";
  EXPECT_THAT(taken, Each(testing::AnyOfArray(its_own)));
}

// What grab would take for the memory of the guard of an earlier move: a FIFO that nobody writes
// to, and what has no end. (With the address sanitizer no program starts under a limit of memory.)
TEST_F(Hostile, WhatAFalseGuardHasOpenIsNotRead) {
  const std::string fifo = scratch("fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), S_IRUSR | S_IWUSR), 0);
  for (const std::string& file : {fifo, std::string("/dev/zero")}) {
    SCOPED_TRACE(file);
    Shell first("bash");
    SecondTerminal second;
#ifndef __SANITIZE_ADDRESS__
    second.run("ulimit -v 2000000");
#endif
    const pid_t pid = first.start("tracee_zoo false-guard open " + file);
    ASSERT_TRUE(grabs_tree(second, first, pid));
    EXPECT_TRUE(second.echoes("hello"));
  }
}

TEST_F(Hostile, WhatAFalseGuardOfTheShellHasOpenIsNotReadAndTheShellIsTold) {
  const std::string fifo = scratch("fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), S_IRUSR | S_IWUSR), 0);
  for (const std::string& file : {fifo, std::string("/dev/zero")}) {
    SCOPED_TRACE(file);
    Shell first("bash");
    SecondTerminal second;
    const pid_t pid = first.start("tracee_zoo false-guard open " + file + " shell");
    ASSERT_TRUE(grabs_tree(second, first, pid));
    EXPECT_TRUE(second.echoes("hello"));
    EXPECT_TRUE(first.expect_prompt());
    EXPECT_TRUE(first.answers());
  }
}

TEST_F(Hostile, AFalseGuardOfTheShellThatDoesNotGiveWayIsLeftAndTheUserIsAdvised) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo false-guard deaf /dev/null shell &");
  second.grab_tree(pid);
  ASSERT_TRUE(second.expect("the old shell could not be told"));
  EXPECT_TRUE(second.expect("type `disown " + std::to_string(pid) + "`"));
  EXPECT_TRUE(second.echoes("hello"));
  EXPECT_TRUE(first.answers());
}

// A FIFO stands for what only root may open, and what notices that: a device.
TEST_F(Hostile, WhatAFalseGuardHasLookedUpIsNotOpened) {
  const std::string fifo = scratch("fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), S_IRUSR | S_IWUSR), 0);
  Shell first("bash");
  SecondTerminal second;
  Shell third("bash", {.name = "terminal 3"});
  third.run("sh -c 'echo writer $$; : > " + fifo + "; echo opened $((6 * 7))'");
  const auto writer = static_cast<pid_t>(third.expect_number("writer "));
  ASSERT_TRUE(wait_until([&] {  // it is in openat(2), until somebody opens the FIFO to read
    return read_file("/proc/" + std::to_string(writer) + "/syscall").rfind("257 ", 0) == 0;
  }));
  const pid_t pid = first.start("tracee_zoo false-guard path " + fifo);
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
  EXPECT_THAT(third.transcript(), Not(HasSubstr("opened 42")));
  EXPECT_TRUE(is_alive(writer));
}

TEST_F(Hostile, AFalseGuardOfAThirdUserIsNotAskedToGiveWay) {
  if (::geteuid() != 0)
    GTEST_SKIP() << "only root can trace as one user what is another's";
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo false-guard nobody /dev/null");
  const auto tracer = std::atoi(status_field(pid, pid, "TracerPid").c_str());
  ASSERT_GT(tracer, 0);
  const auto outcome = second.grab_and_wait("--tree " + std::to_string(pid));
  EXPECT_EQ(outcome.status, kPermission);
  EXPECT_THAT(outcome.text, HasSubstr("already traced by " + std::to_string(tracer)));
  EXPECT_TRUE(is_alive(tracer));
  first.type("hello\r");
  EXPECT_TRUE(first.expect("got: hello"));
}

// Half a second for each of them would be a minute, most of it with the tree standing still.
TEST_F(Hostile, AFalseGuardThatDoesNotGiveWayIsNotWaitedForOnceForEachThread) {
  constexpr int kChildren = 40;
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid =
      first.start("tracee_zoo false-guard deaf /dev/null " + std::to_string(kChildren));
  const Unchanged unchanged(first, tree_of(pid));
  const auto outcome = second.grab_and_wait("--partial --tree " + std::to_string(pid));
  EXPECT_EQ(outcome.status, kPermission);
  EXPECT_THAT(outcome.text, HasSubstr("already traced by"));
  EXPECT_TRUE(unchanged.holds());
  first.type("hello\r");
  EXPECT_TRUE(first.expect("got: hello"));
}

}  // namespace
}  // namespace grab::test
