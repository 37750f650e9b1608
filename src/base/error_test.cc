// SPDX-License-Identifier: MIT
#include "base/error.h"

#include <cerrno>
#include <cstring>
#include <memory>

#include <gmock/gmock.h>

namespace grab {
namespace {

using ::testing::EndsWith;
using ::testing::StartsWith;

TEST(Error, KindFollowsFromErrno) {
  EXPECT_EQ(from_errno(EPERM, "x").kind, ErrorKind::kPermission);
  EXPECT_EQ(from_errno(EACCES, "x").kind, ErrorKind::kPermission);
  EXPECT_EQ(from_errno(ESRCH, "x").kind, ErrorKind::kGone);
  EXPECT_EQ(from_errno(EIO, "x").kind, ErrorKind::kSystem);
}

TEST(Error, MessageNamesOperationAndReason) {
  const std::string message = from_errno(ENOENT, "open /dev/x").message();
  EXPECT_THAT(message, StartsWith("open /dev/x: "));
  EXPECT_THAT(message, EndsWith(std::strerror(ENOENT)));
}

TEST(Error, MessageWithoutErrnoIsWhatAlone) {
  const Status refused = fail(ErrorKind::kRefused, "4711 is grab itself", "name another");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(), "4711 is grab itself");
  EXPECT_EQ(refused.error().hint, "name another");
}

Result<std::unique_ptr<int>> box(int value) {
  if (value < 0)
    return fail(ErrorKind::kUsage, "negative");
  return std::make_unique<int>(value);
}

Result<int> sum(int a, int b) {
  GRAB_TRY(const std::unique_ptr<int> x, box(a));
  GRAB_TRY(const std::unique_ptr<int> y, box(b));
  return *x + *y;
}

Status check_both(int a, int b) {
  GRAB_CHECK(sum(a, 0));
  GRAB_CHECK(sum(b, 0));
  return {};
}

TEST(Error, TryGivesValueOrReturnsError) {
  EXPECT_EQ(sum(1, 2), 3);
  EXPECT_EQ(sum(1, -2).error().kind, ErrorKind::kUsage);
}

TEST(Error, CheckReturnsFirstError) {
  EXPECT_TRUE(check_both(1, 2));
  EXPECT_EQ(check_both(1, -1).error().what, "negative");
}

}  // namespace
}  // namespace grab
