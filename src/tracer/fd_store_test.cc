// SPDX-License-Identifier: MIT
#include "tracer/fd_store.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>

#include <gtest/gtest.h>

namespace grab::tracer {
namespace {

/// A pipe tells whether its write end is open anywhere.
class FdStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    read_end_.reset(ends[0]);
    write_end_.reset(ends[1]);
  }
  [[nodiscard]] bool is_open() const {
    pollfd entry{read_end_.get(), POLLIN, 0};
    return ::poll(&entry, 1, 0) == 0;
  }
  UniqueFd read_end_, write_end_;
};

TEST_F(FdStoreTest, KeepsOpenWhatItsOwnerHasClosedForAsLongAsItIsThere) {
  {
    const auto store = FdStore::open();
    ASSERT_TRUE(store);
    store->put(write_end_.get());
    store->put(-1);
    write_end_.reset();
    EXPECT_TRUE(is_open());
  }
  EXPECT_FALSE(is_open());
}

TEST_F(FdStoreTest, ClosesWhatIsThereWhenItIsCleared) {
  const auto store = FdStore::open();
  ASSERT_TRUE(store);
  store->put(write_end_.get());
  store->put(write_end_.get());
  write_end_.reset();
  EXPECT_TRUE(is_open());
  store->clear();
  EXPECT_FALSE(is_open());
  store->clear();
}

TEST_F(FdStoreTest, IsKeptByWhoHoldsIt) {
  UniqueFd holder;
  {
    const auto store = FdStore::open();
    ASSERT_TRUE(store);
    store->put(write_end_.get());
    write_end_.reset();
    holder = store->holder();
  }
  EXPECT_TRUE(is_open());
  holder.reset();
  EXPECT_FALSE(is_open());
}

}  // namespace
}  // namespace grab::tracer
