// SPDX-License-Identifier: MIT
#include "base/front.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include <gtest/gtest.h>

namespace grab {
namespace {

TEST(Front, IsBelievedAsLongAsTheOneLivesWhoShowsIt) {
  const auto memory = Front::create();
  ASSERT_TRUE(memory);
  const auto front = Front::open(memory->get());
  ASSERT_TRUE(front);
  EXPECT_EQ(front->believed(), 0);
  int shown[2];
  ASSERT_EQ(::pipe(shown), 0);
  const pid_t guard = ::fork();
  if (guard == 0) {
    auto own = Front::open(memory->get());
    own->vouch();
    own->show(4711);
    (void)!::write(shown[1], "", 1);
    for (;;)
      ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(shown[0], &byte, 1), 1);
  EXPECT_EQ(front->believed(), 4711);
  ::kill(guard, SIGKILL);
  ASSERT_EQ(::waitpid(guard, nullptr, 0), guard);
  EXPECT_EQ(front->shown(), 4711);
  EXPECT_EQ(front->believed(), 0);
  ::close(shown[0]);
  ::close(shown[1]);
}

}  // namespace
}  // namespace grab
