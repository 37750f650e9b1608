// SPDX-License-Identifier: MIT
#include "base/unique_fd.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include <gtest/gtest.h>

namespace grab {
namespace {

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

UniqueFd open_null() {
  return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

TEST(UniqueFd, ClosesAtEndOfScope) {
  int number = -1;
  {
    const UniqueFd fd = open_null();
    number = fd.get();
    ASSERT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(UniqueFd, MoveLeavesNothingBehind) {
  UniqueFd from = open_null();
  const int number = from.get();
  const UniqueFd to = std::move(from);
  EXPECT_FALSE(from.valid());  // NOLINT(bugprone-use-after-move): what is left is the point
  EXPECT_EQ(to.get(), number);
  EXPECT_TRUE(is_open(number));
}

TEST(UniqueFd, MoveAssignmentClosesTheOldOne) {
  UniqueFd first = open_null();
  UniqueFd second = open_null();
  const int first_number = first.get();
  const int second_number = second.get();
  first = std::move(second);
  EXPECT_FALSE(is_open(first_number));
  EXPECT_EQ(first.get(), second_number);
  EXPECT_TRUE(is_open(second_number));
}

TEST(UniqueFd, MoveToItselfKeepsTheDescriptor) {
  UniqueFd fd = open_null();
  UniqueFd& same = fd;
  fd = std::move(same);
  EXPECT_TRUE(is_open(fd.get()));
}

TEST(UniqueFd, ReleaseGivesUpOwnership) {
  int number = -1;
  {
    UniqueFd fd = open_null();
    number = fd.release();
    EXPECT_FALSE(fd.valid());
  }
  EXPECT_TRUE(is_open(number));
  EXPECT_EQ(::close(number), 0);
}

TEST(UniqueFd, ResetClosesOnce) {
  UniqueFd fd = open_null();
  const int number = fd.get();
  fd.reset();
  EXPECT_FALSE(is_open(number));
  const UniqueFd stranger = open_null();  // takes the same number
  ASSERT_EQ(stranger.get(), number);
  fd.reset();
  EXPECT_TRUE(is_open(number));
}

}  // namespace
}  // namespace grab
