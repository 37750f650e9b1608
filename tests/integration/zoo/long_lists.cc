// SPDX-License-Identifier: MIT
// Programs with very many of what others have a few of.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "integration/zoo/zoo.h"

namespace zoo {
namespace {

std::atomic<long> started{0};
std::atomic<long> ended{0};

/// One that starts the next and ends.
void relay_race() {
  for (;;) {
    started.fetch_add(1);
    std::thread([] { ended.fetch_add(1); }).join();
    ::usleep(200);
  }
}

}  // namespace

int many_descriptors(const Args& args) {
  const int count = std::atoi(args.at(0).c_str());
  constexpr int kEachOpened = 8;  // the others are copies
  rlimit limit{};
  must(::getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
  limit.rlim_cur = limit.rlim_max;
  must(::setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
  std::vector<int> fds;
  for (int i = 0; i < count; ++i) {
    const int fd = i % kEachOpened == 0 ? ::open("/dev/tty", O_RDWR | O_NOCTTY) : ::dup(fds.back());
    fds.push_back(static_cast<int>(must(fd, "open or dup")));
  }
  say_ready();
  return serve({{"fds", [&fds] {
                   struct stat terminal {};
                   must(::stat(::ttyname(STDIN_FILENO), &terminal), "stat");
                   int good = 0;
                   for (const int fd : fds) {
                     struct stat st {};
                     good += ::fstat(fd, &st) == 0 && st.st_rdev == terminal.st_rdev ? 1 : 0;
                   }
                   say("good: " + std::to_string(good) + "\n");
                 }}});
}

int many_processes(const Args& args) {
  const int count = std::atoi(args.at(0).c_str());
  const pid_t parent = ::getpid();
  for (int i = 0; i < count; ++i) {
    if (must(::fork(), "fork") != 0)
      continue;
    // The parent may have ended before.
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (::getppid() == parent)
      ::pause();
    return 0;
  }
  say_ready();
  return serve();
}

int many_threads(const Args& args) {
  const int count = std::atoi(args.at(0).c_str());
  for (int i = 0; i < count; ++i)
    std::thread([] {
      for (;;)
        ::pause();
    }).detach();
  say_ready();
  return serve();
}

int thread_storm(const Args& args) {
  const int count = std::atoi(args.at(0).c_str());
  for (int i = 0; i < count; ++i)
    std::thread(relay_race).detach();
  say_ready();
  return serve({{"check", [count] {
                   const long lost = started.load() - ended.load();
                   say(lost >= 0 && lost <= count ? "none lost\n" : "lost\n");
                 }}});
}

}  // namespace zoo
