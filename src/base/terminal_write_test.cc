// SPDX-License-Identifier: MIT
#include "base/terminal_write.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "base/unique_fd.h"

namespace grab {
namespace {

struct Terminal {
  Terminal() : ptmx(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    EXPECT_EQ(::unlockpt(ptmx.get()), 0);
  }
  [[nodiscard]] UniqueFd open(int flags) const {
    return UniqueFd(::ioctl(ptmx.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC | flags));
  }
  UniqueFd ptmx;
};

TEST(TerminalWrite, TakesAllWhileAnotherWritesThereToo) {
  const Terminal terminal;
  UniqueFd other = terminal.open(0);
  UniqueFd ours = terminal.open(O_NONBLOCK);
  std::atomic<bool> over = false;
  std::thread reader([&] {
    char bytes[4096];
    while (::read(terminal.ptmx.get(), bytes, sizeof bytes) > 0) {
    }
  });
  std::thread writer([&] {
    while (!over)
      (void)!::write(other.get(), "of the other\n", 13);
  });
  int taken = 0;
  while (taken < 2000 && write_what_fits(ours.get(), "ours\n") == 5)
    ++taken;
  EXPECT_EQ(taken, 2000);
  over = true;
  writer.join();
  other.reset();
  ours.reset();  // the last one: the reader gets EIO
  reader.join();
}

TEST(TerminalWrite, LeavesWhatAFullTerminalHasNoRoomFor) {
  const Terminal terminal;
  const UniqueFd ours = terminal.open(O_NONBLOCK);
  const std::string much(1 << 20, 'x');
  const std::size_t taken = write_what_fits(ours.get(), much);
  EXPECT_GT(taken, 0U);
  EXPECT_LT(taken, much.size());
  EXPECT_EQ(write_what_fits(-1, "text"), 0U);
}

}  // namespace
}  // namespace grab
