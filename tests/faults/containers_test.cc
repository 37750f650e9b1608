// SPDX-License-Identifier: MIT
// A tree of which a part is in a container, which cannot be put back into its group: whoever dies
// at whatever step of its move, all of it is where it was or where it was to be.
#include <signal.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <regex>

#include <gmock/gmock.h>

#include "faults/faulty_grab.h"
#include "faults/trees.h"
#include "support/make_container.h"

namespace grab::test {
namespace {

const Kind kContainer{"Container", kUnshare + "sh -c 'tracee_zoo echo-lines; :'"};

class InContainer : public GrabTest {
 protected:
  void SetUp() override {
    GrabTest::SetUp();
    if (!can_make_containers())
      GTEST_SKIP() << "this system lets this user make no container";
  }
};

// The steps of a move between which something changes in a process of the tree.
std::vector<std::string> changing_steps(std::vector<pid_t>& numbers) {
  static const std::regex changing("(PTRACE_(SETREGS|CONT)|sendmsg)@.*");
  Tree tree(kContainer);
  numbers = tree.numbers();
  FaultyGrab grab("", tree.grab_arguments());
  grab.wait();
  EXPECT_TRUE(grab.shows_the_tree()) << grab.said();
  grab.wait_for_telling();
  std::vector<std::string> steps;
  for (const std::string& step : grab.steps()) {
    const std::string of_shell = "@" + std::to_string(tree.shell().pid()) + "#";
    if (std::regex_match(step, changing) && step.find(of_shell) == std::string::npos)
      steps.push_back(step);
  }
  return steps;
}

// Groups, sessions, terminals and descriptors of the tree. The shell may have seen its job stop for
// that instant, as by ^Z, and who has the foreground and what is stopped is then up to it.
std::string facts_of(const Tree& tree) {
  std::string facts;
  for (const auto& [key, value] : tree.state()) {
    if (key.find(" fd/") != std::string::npos)
      facts += key + " " + value + "\n";
  }
  for (const pid_t pid : tree.pids()) {
    const auto stat = read_stat(pid);
    facts += std::to_string(pid) + " " + std::to_string(stat->pgid) + " " +
             std::to_string(stat->sid) + " " + std::to_string(stat->tty) + "\n";
  }
  return facts;
}

testing::AssertionResult is_where_it_was(const Tree& tree, const std::string& before) {
  if (wait_until([&] { return facts_of(tree) == before; }))
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << "was\n" << before << "is\n" << facts_of(tree);
}

TEST_F(InContainer, AMoveWhoseTracerIsKilledAtWhateverStepIsMadeWholeOrNotAtAll) {
  std::vector<pid_t> numbers;
  const std::vector<std::string> steps = changing_steps(numbers);
  int moved = 0;
  int left = 0;
  for (const std::string& step : steps) {
    SCOPED_TRACE(step);
    Tree tree(kContainer);
    const std::string before = facts_of(tree);
    FaultyGrab grab(translated(step, numbers, tree.numbers()) + "=stop", tree.grab_arguments());
    ASSERT_TRUE(wait_until([] { return stopped_tracer().has_value(); })) << grab.said();
    const pid_t first = *stopped_tracer();
    ::kill(first, SIGKILL);
    // One that takes over may come to the same step.
    ASSERT_TRUE(wait_until([&] { return !is_alive(first); }));
    const bool decided = wait_until([&] {
      if (const auto next = stopped_tracer())
        ::kill(*next, SIGCONT);
      return grab.said().find("grab: ") != std::string::npos;
    });
    ASSERT_TRUE(decided);
    grab.wait();
    if (grab.shows_the_tree()) {
      moved++;
      ASSERT_TRUE(tree.has_left());
      ASSERT_TRUE(tree.works_on(grab.terminal()));
      ASSERT_TRUE(tree.shell().answers());
      continue;
    }
    left++;
    ASSERT_TRUE(is_where_it_was(tree, before)) << grab.said();
    FaultyGrab second("", tree.grab_arguments());
    second.wait();
    ASSERT_TRUE(second.shows_the_tree()) << second.said();
    ASSERT_TRUE(tree.has_left());
    ASSERT_TRUE(tree.works_on(second.terminal()));
  }
  std::cout << steps.size() << " kills: " << left << " left the tree, " << moved << " moved it\n";
  EXPECT_GT(left, 10);
  EXPECT_GT(moved, 3);
}

std::string first_in(const Tree& tree) {
  return std::to_string(descendant_named(tree.root(), "sh").value());
}

TEST_F(InContainer, WhereTheFirstCannotLeaveItsGroupNothingHasHappened) {
  Tree tree(kContainer);
  const TreeState before = tree.state();
  FaultyGrab grab("depart@" + first_in(tree) + ": setpgid#1", tree.grab_arguments());
  grab.wait();
  EXPECT_TRUE(grab.has_failed_step());
  EXPECT_TRUE(grab.said_one_sentence()) << grab.said();
  EXPECT_TRUE(tree.is_as(before));
  EXPECT_TRUE(tree.works());
}

// It is the one thing that cannot be undone: they have a group of their own then, and the keyboard.
TEST_F(InContainer, WhereRootCannotLeaveThoseInThereGoOnAndAreTypedTo) {
  Tree tree(kContainer);
  FaultyGrab grab("commit@" + std::to_string(tree.root()) + ": setsid#1", tree.grab_arguments());
  grab.wait();
  EXPECT_TRUE(grab.has_failed_step());
  EXPECT_TRUE(grab.said_one_sentence()) << grab.said();
  EXPECT_EQ(std::to_string(tree.shell().foreground_pgid()), first_in(tree));
  for (const pid_t pid : tree.pids())
    EXPECT_EQ(read_stat(pid)->tty, tree.shell().device());
  EXPECT_TRUE(tree.works());
}

}  // namespace
}  // namespace grab::test
