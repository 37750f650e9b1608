// SPDX-License-Identifier: MIT
#include "tracer/progress.h"

#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <string>

#include <gtest/gtest.h>

namespace grab::tracer {
namespace {

using Step = Progress::Step;

constexpr pid_t kShell = 100;
constexpr std::uint64_t kStartTime = 7;

Telling telling_of(std::vector<pid_t> children, bool guard = false) {
  Telling telling;
  telling.shell = kShell;
  telling.shell_start_time = kStartTime;
  telling.pgid = children.front();
  telling.children = std::move(children);
  telling.wait_status = SIGHUP;
  telling.guard = guard;
  return telling;
}

TEST(Progress, HasWhatIsToBeTold) {
  const auto progress = std::make_unique<Progress>();
  EXPECT_TRUE(progress->is_told());
  ASSERT_TRUE(progress->add(telling_of({200, 201}, true)));
  ASSERT_EQ(progress->count, 2U);
  EXPECT_FALSE(progress->is_told());
  EXPECT_NE(progress->guards, 0);
  for (Progress::Child& child : *progress) {
    EXPECT_EQ(child.pgid, 200);
    EXPECT_EQ(child.wait_status, SIGHUP);
    EXPECT_EQ(child.step, Step::kUntold);
    child.step = Step::kTold;
  }
  EXPECT_TRUE(progress->is_told());
}

TEST(Progress, OfOneThatMayHaveBeenToldIsDoubtful) {
  const auto progress = std::make_unique<Progress>();
  Telling again = telling_of({200});
  again.again = true;
  ASSERT_TRUE(progress->add(again));
  EXPECT_EQ(progress->children[0].step, Step::kDoubtful);
}

TEST(Progress, GoesOnFromWhereAnotherHasCome) {
  const auto ours = std::make_unique<Progress>(), theirs = std::make_unique<Progress>();
  ASSERT_TRUE(theirs->add(telling_of({200, 201}, true)));
  theirs->children[0].step = Step::kTold;
  ASSERT_TRUE(ours->add(telling_of({201, 300})));
  ours->children[0].step = Step::kDoubtful;
  EXPECT_FALSE(ours->covers(*theirs));
  for (int i = 0; i < 2; ++i) {  // once more is as good as once
    ASSERT_TRUE(ours->add(*theirs));
    ASSERT_EQ(ours->count, 3U);
  }
  EXPECT_TRUE(ours->covers(*theirs));
  EXPECT_FALSE(theirs->covers(*ours));
  EXPECT_NE(ours->guards, 0);
  EXPECT_EQ(ours->children[0].step, Step::kDoubtful) << "farther than theirs";
  EXPECT_EQ(ours->children[2].pid, 200);
  EXPECT_EQ(ours->children[2].pgid, 200);
  EXPECT_EQ(ours->children[2].step, Step::kTold);
}

TEST(Progress, OfOneThatGuardsIsNotCoveredByOneThatDoesNot) {
  const auto guards = std::make_unique<Progress>(), tells = std::make_unique<Progress>();
  ASSERT_TRUE(guards->add(telling_of({200}, true)));
  ASSERT_TRUE(tells->add(telling_of({200})));
  EXPECT_TRUE(guards->covers(*tells));
  EXPECT_FALSE(tells->covers(*guards));
}

TEST(Progress, HasRoomForSoManyAndNoMore) {
  const auto full = std::make_unique<Progress>(), more = std::make_unique<Progress>();
  std::vector<pid_t> children;
  for (std::size_t i = 0; i < Progress::kMaxChildren; ++i)
    children.push_back(static_cast<pid_t>(1000 + i));
  ASSERT_TRUE(full->add(telling_of(children)));
  ASSERT_TRUE(more->add(telling_of({200})));
  EXPECT_FALSE(full->add(*more));
  EXPECT_FALSE(full->add(telling_of({200})));
  EXPECT_EQ(full->count, Progress::kMaxChildren);
}

std::string path_to(const UniqueFd& memory) {
  return "/proc/self/fd/" + std::to_string(memory.get());
}

TEST(Progress, IsReadInTheMemoryOfAnotherProcess) {
  const SharedProgress shared = share_progress();
  ASSERT_NE(shared.progress, nullptr);
  ASSERT_TRUE(shared.memory.valid());
  ASSERT_TRUE(shared.progress->add(telling_of({200})));
  const std::string path = path_to(shared.memory);
  const auto read = read_progress(path, ::geteuid(), kShell, kStartTime);
  ASSERT_NE(read, nullptr);
  ASSERT_EQ(read->count, 1U);
  EXPECT_EQ(read->children[0].pid, 200);
  EXPECT_EQ(read_progress(path, ::geteuid() + 1, kShell, kStartTime), nullptr);
  EXPECT_EQ(read_progress(path, ::geteuid(), kShell + 1, kStartTime), nullptr);
  EXPECT_EQ(read_progress(path, ::geteuid(), kShell, kStartTime + 1), nullptr);
}

TEST(Progress, ThatMakesNoSenseIsNotBelieved) {
  const SharedProgress shared = share_progress();
  ASSERT_TRUE(shared.progress->add(telling_of({200})));
  const std::string path = path_to(shared.memory);
  const auto is_believed = [&] {
    return read_progress(path, ::geteuid(), kShell, kStartTime) != nullptr;
  };
  ASSERT_TRUE(is_believed());
  shared.progress->count = Progress::kMaxChildren + 1;
  EXPECT_FALSE(is_believed());
  shared.progress->count = 1;
  shared.progress->children[0].pgid = -1;
  EXPECT_FALSE(is_believed());
  shared.progress->children[0].pgid = 200;
  ASSERT_EQ(::ftruncate(shared.memory.get(), sizeof(Progress) / 2), 0);
  EXPECT_FALSE(is_believed());
}

}  // namespace
}  // namespace grab::tracer
