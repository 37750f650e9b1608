// SPDX-License-Identifier: MIT
#include "relay/pts.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include <gtest/gtest.h>

#include "relay/relay.h"

namespace grab::relay {
namespace {

// What was typed ahead is written to it while the tree that would read it stands still.
TEST(Pts, MoreThanItHasRoomForDoesNotKeepTheWriterWaiting) {
  const Result<UniqueFd> ptmx = open_ptmx(nullptr);
  ASSERT_TRUE(ptmx);
  const Result<UniqueFd> pts = open_pts(ptmx->get());
  ASSERT_TRUE(pts);
  ASSERT_NE(::fcntl(ptmx->get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(::fcntl(pts->get(), F_GETFL) & O_NONBLOCK, 0);
  const std::string line = std::string(100, 'x') + "\n";
  constexpr std::size_t kMost = std::size_t{1} << 20U;
  std::size_t taken = 0;
  for (ssize_t count = 0;
       taken < kMost && (count = ::write(ptmx->get(), line.data(), line.size())) > 0;)
    taken += static_cast<std::size_t>(count);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_GT(taken, 4096U);
  EXPECT_LT(taken, kMost);
}

}  // namespace
}  // namespace grab::relay
