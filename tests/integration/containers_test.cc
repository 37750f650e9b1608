// SPDX-License-Identifier: MIT
// Programs in containers: other pid, user and mount namespaces and terminals of their own, made
// with unshare(1) and bwrap(1) on a terminal and grabbed from outside.
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"
#include "support/make_container.h"

namespace grab::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Containers : public GrabTest {
 protected:
  void SetUp() override {
    GrabTest::SetUp();
    if (!can_make_containers())
      GTEST_SKIP() << "this system lets this user make no container";
  }
};

bool share_description(pid_t a, pid_t b, int fd) {
  return ::syscall(SYS_kcmp, a, b, KCMP_FILE, fd, fd) == 0;
}

TEST_F(Containers, AProgramInNamespacesOfItsOwnIsMoved) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t job = first.start_job(kUnshare + "tracee_zoo echo-lines", 1);
  const auto inside = descendant_named(job, "tracee_zoo");
  ASSERT_TRUE(inside);
  ASSERT_TRUE(share_description(job, *inside, 0));
  ASSERT_TRUE(grabs_tree(second, first, job));
  EXPECT_TRUE(first.answers());
  EXPECT_TRUE(second.echoes("hello"));
  EXPECT_TRUE(share_description(job, *inside, 0)) << "they still share what they shared";
  first.close_window();
  EXPECT_TRUE(second.echoes("still here"));
  second.type("exit 7\r");
  EXPECT_TRUE(second.expect_grab_ended(7));
}

// The one outside ignores it: else it would take all with it, perhaps before the one inside speaks.
TEST_F(Containers, OfBubblewrapAreMovedAndControlCAndTheSizeReachThem) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t job =
      first.start_job("(trap '' INT; exec " + kBwrap + "tracee_zoo catch INT WINCH)", 1);
  ASSERT_TRUE(grabs_tree(second, first, job));
  EXPECT_TRUE(second.echoes("hello"));
  second.resize({20, 70});
  EXPECT_TRUE(second.expect("WINCH 20x70"));
  EXPECT_TRUE(second.echoes("still here"));
  second.type("\x03");
  EXPECT_TRUE(second.expect("caught INT"));
  second.type("exit 7\r");
  EXPECT_TRUE(second.expect_grab_ended(7));
}

TEST_F(Containers, ATreeThatIsPartlyInOneIsMovedWholeAndControlCReachesAll) {
  Shell first("bash");
  SecondTerminal second;
  write_file(scratch("script"), "tracee_zoo catch-and-wait INT &\n" + kUnshare +
                                    "sh -c 'tracee_zoo catch-and-wait INT & wait'"
                                    " &\n" +
                                    kUnshare + "tracee_zoo catch INT\necho script status $?\n");
  const pid_t job = first.start_job("bash " + scratch("script"), 3);
  ASSERT_TRUE(grabs_tree(second, first, job));
  EXPECT_TRUE(first.answers());
  second.type("\x03");
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(second.expect("caught INT"));
}

TEST_F(Containers, TwoInOnePipelineAreMoved) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t job =
      first.start_job(kUnshare + "tracee_zoo echo-lines | " + kUnshare + "sed -u s/^/x/", 1);
  ASSERT_TRUE(grabs_tree(second, first, job));
  EXPECT_TRUE(first.answers());
  second.type("hello\r");
  EXPECT_TRUE(second.expect("xgot: hello"));
}

TEST_F(Containers, AProgramWhoseMainThreadHasEndedIsMoved) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t job = first.start_job(kUnshare + "--mount-proc tracee_zoo dead-leader", 1);
  ASSERT_TRUE(grabs_tree(second, first, job));
  EXPECT_TRUE(second.echoes("hello"));
}

TEST_F(Containers, AProgramThatWaitsByEpollOrHasManyDescriptorsIsMoved) {
  for (const char* program : {"epoll-lines", "fd-keeper"}) {
    SCOPED_TRACE(program);
    Shell first("bash");
    SecondTerminal second;
    const pid_t job = first.start_job(kUnshare + "tracee_zoo " + program, 1);
    ASSERT_TRUE(grabs_tree(second, first, job));
    EXPECT_TRUE(second.echoes("hello"));
  }
}

TEST_F(Containers, AShellInOneGoesOn) {
  Shell first("bash");
  SecondTerminal second;
  first.run(kBwrap + "bash --norc -c 'while read -r line; do eval \"$line\"; done'");
  const pid_t job = first.wait_for_program("bwrap");
  first.type("x=6; echo re''ady\r");
  ASSERT_TRUE(first.expect("ready"));
  ASSERT_TRUE(grabs_tree(second, first, job));
  EXPECT_TRUE(first.answers());
  second.type("echo pid $$ is $((x*7))\r");
  EXPECT_TRUE(second.expect("pid 2 is 42"));
}

TEST_F(Containers, AJobOfALoginShellIsMovedWithIt) {
  Shell first("bash", {.name = "terminal 1", .login = true});
  SecondTerminal second;
  (void)first.start_job(kUnshare + "tracee_zoo echo-lines", 1);
  ASSERT_TRUE(grabs_tree(second, first, first.pid()));
  EXPECT_TRUE(second.echoes("hello"));
  second.type("exit 5\r");
  EXPECT_TRUE(second.expect("shell> "));
  second.type("echo st''atus $?\r");
  EXPECT_TRUE(second.expect("status 5"));
}

TEST_F(Containers, OneThatIsAllThatATerminalWasOpenedForIsMoved) {
  const TerminalSession first(
      "terminal 1",
      {"/bin/sh", "-c", "exec " + kUnshare + program_folder() + "/tracee_zoo catch INT"});
  SecondTerminal second;
  ASSERT_TRUE(wait_until([&] { return descendant_named(first.pid(), "tracee_zoo").has_value(); }));
  ASSERT_TRUE(wait_until([&] { return first.transcript().find("ready 1") != std::string::npos; }));
  second.grab_tree(first.pid());
  ASSERT_TRUE(second.expect("grab: moved 2"));
  EXPECT_TRUE(second.echoes("hello"));
  second.type("\x03");
  EXPECT_TRUE(second.expect("INT"));
  EXPECT_TRUE(second.echoes("still here"));
}

TEST_F(Containers, ATerminalOfTheSameNumberOfAnotherDevptsIsNotTakenForTheirs) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo own-devpts");
  ASSERT_TRUE(first.expect("is there"));
  const auto child = children_of(pid);
  ASSERT_EQ(child.size(), 1U);
  ASSERT_EQ(read_stat(child[0])->tty, first.device());
  const auto before = fds_of(child[0]);
  second.grab_tree(pid);
  ASSERT_TRUE(second.expect("grab: moved 2"));
  const auto after = fds_of(child[0]);
  EXPECT_EQ(after.at(0), before.at(0)) << "its /dev/tty";
  EXPECT_NE(after.at(1), before.at(1)) << "what it has of its parent";
  EXPECT_EQ(read_stat(child[0])->tty, first.device()) << "of the other devpts";
  EXPECT_TRUE(second.echoes("hello"));
  second.type("own\r");
  EXPECT_TRUE(second.expect("still its own"));
}

TEST_F(Containers, WhereTheNameOfTheirTerminalIsAnotherTerminalItIsNotGivenToThem) {
  // In there /dev/pts/N of the new terminal is absent, or a terminal of that container's own.
  Shell first("bash");
  SecondTerminal second;
  const pid_t job = first.start_job(
      kBwrap +
          "bash -c 'for i in {1..40}; do exec {fd}<>/dev/ptmx; done; exec tracee_zoo "
          "echo-lines'",
      1);
  const auto inside = descendant_named(job, "tracee_zoo");
  ASSERT_TRUE(inside);
  ASSERT_TRUE(grabs_tree(second, first, job));
  EXPECT_TRUE(second.echoes("hello"));
  EXPECT_TRUE(share_description(job, *inside, 0));
}

TEST_F(Containers, OneIsRefusedWithoutItsJobOutside) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t job = first.start_job(kUnshare + "tracee_zoo echo-lines", 1);
  const auto inside = descendant_named(job, "tracee_zoo");
  ASSERT_TRUE(inside);
  const Unchanged unchanged(first, tree_of(first.pid()));
  const auto outcome = second.grab_and_wait("--tree " + std::to_string(*inside));
  EXPECT_EQ(outcome.status, kFailed);
  EXPECT_THAT(outcome.text, AllOf(HasSubstr("is in a container"),
                                  HasSubstr("grab --tree " + std::to_string(job))));
  EXPECT_TRUE(unchanged.holds());
}

TEST_F(Containers, AProgramOfRootWithoutItsPrivilegesIsMoved) {
  if (::geteuid() != 0)
    GTEST_SKIP() << "only root has privileges to give up";
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid =
      first.start("setpriv --bounding-set=-all --inh-caps=-all tracee_zoo echo-lines");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
}

}  // namespace
}  // namespace grab::test
