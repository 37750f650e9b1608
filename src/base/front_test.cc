// SPDX-License-Identifier: MIT
#include "base/front.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

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

std::string path_of(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

TEST(Front, IsReadInTheMemoryOfAnotherProcess) {
  const auto memory = Front::create();
  ASSERT_TRUE(memory);
  Front::open(memory->get())->show(4711);
  EXPECT_EQ(Front::shown_at(path_of(memory->get()), ::geteuid()), 4711);
  EXPECT_EQ(Front::shown_at(path_of(memory->get()), ::geteuid() + 1), 0);
  EXPECT_EQ(Front::shown_at("/proc/self/fd/999", ::geteuid()), 0);
}

TEST(Front, IsNotReadInWhatIsNoSuchMemory) {
  const UniqueFd larger(::memfd_create("larger", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(larger.get(), 2 * sizeof(pid_t)), 0);
  char folder[] = "/tmp/front_test.XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::string file = std::string(folder) + "/file", fifo = std::string(folder) + "/fifo";
  const UniqueFd of_that_size(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::write(of_that_size.get(), "1234", sizeof(pid_t)), ssize_t{sizeof(pid_t)});
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const UniqueFd looked_up(::open(fifo.c_str(), O_PATH | O_CLOEXEC));
  const UniqueFd endless(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  for (const UniqueFd* fd : {&larger, &of_that_size, &looked_up, &endless}) {
    ASSERT_TRUE(fd->valid());
    EXPECT_EQ(Front::shown_at(path_of(fd->get()), ::geteuid()), 0);
  }
  ::unlink(file.c_str());
  ::unlink(fifo.c_str());
  ::rmdir(folder);
}

}  // namespace
}  // namespace grab
