// SPDX-License-Identifier: MIT
// A step that fails when there is no way back any more: the tree is moved and shown all the same,
// it works, grab says what is missing, and a second grab makes it whole. So it is for the telling
// of the old shell, which must not come to harm either.
#include <functional>
#include <iostream>
#include <memory>

#include <gmock/gmock.h>

#include "faults/faulty_grab.h"
#include "faults/trees.h"

namespace grab::test {
namespace {

using testing::HasSubstr;

// The steps behind the commit of which `wanted` holds, with the numbers of the tree they are of.
struct Steps {
  std::vector<std::string> names;
  std::vector<pid_t> numbers;
};
Steps steps_of(const Kind& kind, const std::function<bool(const std::string&, const Tree&)>& wanted,
               bool behind_commit) {
  Tree tree(kind);
  FaultyGrab grab("", tree.grab_arguments());
  grab.wait();
  EXPECT_TRUE(grab.shows_the_tree()) << grab.said();
  EXPECT_TRUE(tree.has_left());
  grab.wait_for_telling();
  Steps steps{{}, tree.numbers()};
  bool behind = !behind_commit;
  for (const std::string& step : grab.steps()) {
    if (behind && wanted(step, tree))
      steps.names.push_back(step);
    behind = behind || step == "commit@#1";
  }
  return steps;
}

class AfterTheCommit : public GrabTest, public testing::WithParamInterface<Kind> {};

TEST_P(AfterTheCommit, AFailureIsToldAndTheTreeIsMovedAndASecondGrabMakesItWhole) {
  const Steps steps = steps_of(
      GetParam(),
      [](const std::string& step, const Tree&) { return step.rfind("commit on@", 0) == 0; }, false);
  ASSERT_FALSE(steps.names.empty());
  for (const std::string& step : steps.names) {
    SCOPED_TRACE(step);
    Tree tree(GetParam());
    FaultyGrab first(translated(step, steps.numbers, tree.numbers()), tree.grab_arguments());
    first.wait();
    ASSERT_TRUE(first.shows_the_tree()) << first.said();
    EXPECT_TRUE(first.has_failed_step());
    EXPECT_TRUE(first.terminal().expect("warning: ")) << first.said();
    EXPECT_TRUE(tree.has_left());
    EXPECT_TRUE(tree.works_on(first.terminal()));
    first.wait_for_telling();
    std::vector<std::string> once_more = tree.grab_arguments();
    once_more.emplace_back("--force");  // the relay of the first shows it already
    FaultyGrab second("", once_more);
    second.wait();
    ASSERT_TRUE(second.shows_the_tree()) << second.said();
    EXPECT_THAT(second.said(), testing::Not(HasSubstr("warning: ")));
    EXPECT_TRUE(tree.works_on(second.terminal()));
    if (!GetParam().shell_too) {
      second.terminal().type("\x03");
      EXPECT_TRUE(second.terminal().expect("was killed by SIGINT"));
    }
  }
  std::cout << steps.names.size() << " steps failed behind the commit\n";
}

const Kind kCommitted[] = {
    {"JobOfTwo", "sh -c 'tracee_zoo echo-lines; :'"},
    {"LoginShell", "tracee_zoo echo-lines", "--keep-stopped", kShellLine, "\x1a", kShellLine, true},
    {"LeaderWithCompanion", "set +m; tracee_zoo catch-and-wait USR1 &", "", kShellLine, "\r",
     kShellLine, true},
};
INSTANTIATE_TEST_SUITE_P(Of, AfterTheCommit, testing::ValuesIn(kCommitted),
                         [](const auto& kind) { return kind.param.name; });

class Telling : public GrabTest, public testing::WithParamInterface<Kind> {};

TEST_P(Telling, ThatFailsHarmsNeitherTheShellNorTheTree) {
  const Steps steps = steps_of(
      GetParam(),
      [](const std::string& step, const Tree& tree) {
        return step.find("@" + std::to_string(tree.numbers().front()) + "#") != std::string::npos &&
               step.rfind("PTRACE", 0) == 0;
      },
      true);
  ASSERT_GT(steps.names.size(), 2U);
  // Sometimes the shell makes some calls on its way to the prompt, sometimes a hundred: of those
  // every fifth.
  constexpr std::size_t kAll = 30;
  constexpr std::size_t kEvery = 5;
  int failed = 0;
  for (std::size_t i = 0; i < steps.names.size(); i++) {
    if (i >= kAll && i % kEvery != 0 && i + 1 != steps.names.size())
      continue;
    failed++;
    const std::string& step = steps.names[i];
    SCOPED_TRACE(step);
    Tree tree(GetParam());
    FaultyGrab grab(translated(step, steps.numbers, tree.numbers()), tree.grab_arguments());
    grab.wait();
    ASSERT_TRUE(grab.shows_the_tree()) << grab.said();
    EXPECT_TRUE(tree.has_left());
    grab.wait_for_telling();
    EXPECT_TRUE(tree.works_on(grab.terminal()));
    // Told or not, it has its prompt at the end of the job at the latest.
    grab.terminal().type("exit 0\r");
    EXPECT_TRUE(tree.shell().answers());
  }
  std::cout << failed << " of " << steps.names.size() << " steps of telling the shell failed\n";
}

const Kind kTold[] = {
    {"ForegroundJob", "tracee_zoo echo-lines"},
    {"StoppedJob", "tracee_zoo echo-lines", "", kShellLine, "\x1a"},
};
INSTANTIATE_TEST_SUITE_P(Of, Telling, testing::ValuesIn(kTold),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace grab::test
