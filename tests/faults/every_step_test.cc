// SPDX-License-Identifier: MIT
// All or nothing: every step of a grab is made to fail, one at a time, in every process of trees of
// each kind. Nothing may have changed then, and grab says which step it was. A step whose failure
// can be got over may also leave a tree that is moved and works.
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <regex>

#include <gtest/gtest.h>

#include "faults/faulty_grab.h"
#include "faults/trees.h"
#include "support/grab_test.h"
#include "support/make_container.h"

namespace grab::test {
namespace {

constexpr const char* kContainerName = "Container";
constexpr const char* kCommit = "commit@#1";  // the last step of which nothing is left behind

/// Looking is the same code for every process and descriptor: of its steps the first, the last and
/// some between them; all of those that touch a process.
std::vector<std::string> chosen(const std::vector<std::string>& steps) {
  static const std::regex looking("(openat|read|getdents|pidfd_open|pidfd_getfd|kcmp)@.*#([0-9]+)");
  constexpr int kEvery = 11;
  std::map<std::string, std::pair<std::size_t, int>> last;  // where, which
  std::vector<bool> wanted(steps.size(), true);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    std::smatch match;
    if (!std::regex_match(steps[i], match, looking))
      continue;
    const int nth = std::stoi(match[2]);
    const std::string name = steps[i].substr(0, steps[i].rfind('#'));
    wanted[i] = nth == 1 || nth % kEvery == 0;
    if (last[name].second < nth)
      last[name] = {i, nth};
  }
  for (const auto& [name, where] : last)
    wanted[where.first] = true;
  std::vector<std::string> out;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (wanted[i])
      out.push_back(steps[i]);
  }
  return out;
}

class EveryStep : public GrabTest, public testing::WithParamInterface<Kind> {};

// What is shown of a step that failed: one sentence, perhaps with a hint.
testing::AssertionResult says_what_failed(const FaultyGrab& grab) {
  static const std::regex statuses("12[4567]");
  if (grab.said_one_sentence() && std::regex_match(std::to_string(grab.exit_status()), statuses))
    return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << "status " << grab.exit_status() << ", not one sentence: " << visible(grab.said());
}

TEST_P(EveryStep, ThatFailsLeavesTheTreeAsItWasAndIsNamed) {
  if (GetParam().name == kContainerName && !can_make_containers())
    GTEST_SKIP() << "this system lets this user make no container";
  auto tree = std::make_unique<Tree>(GetParam());
  std::vector<std::string> steps;
  std::vector<pid_t> numbers = tree->numbers();
  TreeState before = tree->state();
  {
    FaultyGrab grab(kCommit, tree->grab_arguments());
    grab.wait();
    ASSERT_TRUE(grab.has_failed_step()) << grab.said();
    ASSERT_TRUE(tree->is_as(before));
    steps = chosen(grab.steps());
    if (GetParam().name == kContainerName)  // InContainer.WhereRootCannotLeave...
      std::erase_if(steps, [](const auto& step) { return step.starts_with("commit@"); });
    steps.emplace_back(kCommit);
  }
  int left = 0;
  int moved = 0;
  for (const std::string& step : steps) {
    SCOPED_TRACE(step);
    FaultyGrab grab(translated(step, numbers, tree->numbers()), tree->grab_arguments());
    grab.wait();
    if (grab.shows_the_tree()) {
      moved++;
      ASSERT_TRUE(tree->has_left());
      ASSERT_TRUE(tree->works_on(grab.terminal()));
      tree.reset();
      tree = std::make_unique<Tree>(GetParam());
      before = tree->state();
      continue;
    }
    left++;
    EXPECT_TRUE(says_what_failed(grab));
    ASSERT_TRUE(tree->is_as(before)) << grab.said();
    ASSERT_TRUE(tree->works());
  }
  std::cout << GetParam().name << ": " << steps.size() << " steps failed, " << left
            << " left the tree, " << moved << " were got over\n";
  EXPECT_GT(left, 10);
}

const Kind kKinds[] = {
    {"Pipeline", "tracee_zoo epoll-lines | cat"},
    {"KeptSession", "tracee_zoo echo-lines | cat", "--keep-session"},
    {"OneEpollSetForTwo", "tracee_zoo epoll-lines pair"},
    {"EpollByNumbersOfBefore", "tracee_zoo epoll-lines stale"},
    {"OneTableForTwo", "tracee_zoo shared-table"},
    {"ManyDescriptors", "tracee_zoo fd-keeper"},
    {"DeadMainThread", "tracee_zoo dead-leader"},
    {"FullScreen", "tracee_zoo fullscreen", "", kKey, "", kKey},
    {"StoppedJob", "tracee_zoo echo-lines", "--keep-stopped", kShellLine, "\x1a"},
    {"LoginShell", "tracee_zoo echo-lines", "--keep-stopped", kShellLine, "\x1a", kShellLine, true},
    {"LeaderWithCompanion", "set +m; tracee_zoo catch-and-wait USR1 &", "", kShellLine, "\r",
     kShellLine, true},
    {"ClientOfAServer", "tracee_zoo client-of-server"},
    {kContainerName, kUnshare + "tracee_zoo echo-lines"},
};

INSTANTIATE_TEST_SUITE_P(Of, EveryStep, testing::ValuesIn(kKinds),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace grab::test
