// SPDX-License-Identifier: MIT
// Programs with namespaces of their own making.
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "integration/zoo/zoo.h"

namespace zoo {
namespace {

/// In a user namespace where it is root, and a mount namespace.
void enter_namespaces() {
  const std::string uid = std::to_string(::geteuid());
  const std::string gid = std::to_string(::getegid());
  must(::unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare");
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream("/proc/self/uid_map") << "0 " << uid << " 1";
  std::ofstream("/proc/self/gid_map") << "0 " << gid << " 1";
}

unsigned minor_of(int fd) {
  struct stat st {};
  must(::fstat(fd, &st), "fstat");
  return minor(st.st_rdev);
}

/// A terminal of that number, by opening all those before it.
int open_terminal(unsigned number) {
  for (;;) {
    const auto ptmx = static_cast<int>(must(::open("/dev/pts/ptmx", O_RDWR | O_NOCTTY), "ptmx"));
    unsigned made = 0;
    int unlocked = 0;
    must(::ioctl(ptmx, TIOCGPTN, &made), "TIOCGPTN");
    must(::ioctl(ptmx, TIOCSPTLCK, &unlocked), "TIOCSPTLCK");
    if (made == number)
      return static_cast<int>(
          must(::open(("/dev/pts/" + std::to_string(number)).c_str(), O_RDWR | O_NOCTTY), "pts"));
  }
}

/// A child in a session of its own, which has that terminal and has it open as /dev/tty, too.
void start_on(int terminal) {
  if (must(::fork(), "fork") != 0)
    return;
  ::close(STDIN_FILENO);
  must(::setsid(), "setsid");
  must(::ioctl(terminal, TIOCSCTTY, 0), "TIOCSCTTY");
  must(::open("/dev/tty", O_RDWR), "/dev/tty");
  say("child " + std::to_string(::getpid()) + " is there\n");
  for (;;)
    ::pause();
}

}  // namespace

int own_devpts(const Args& /*args*/) {
  const unsigned number = minor_of(STDIN_FILENO);
  enter_namespaces();
  must(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "mount private");
  must(::mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666"), "mount devpts");
  const int other = open_terminal(number);
  const auto is_still_it = [other, number] {
    struct stat now {};
    struct stat path {};
    must(::fstat(other, &now), "fstat");
    must(::stat(("/dev/pts/" + std::to_string(number)).c_str(), &path), "stat");
    say(now.st_dev == path.st_dev && now.st_ino == path.st_ino ? "still its own\n" : "taken\n");
  };
  say_ready();
  start_on(other);
  return serve({{"own", is_still_it}});
}

}  // namespace zoo
