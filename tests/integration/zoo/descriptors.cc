// SPDX-License-Identifier: MIT
// Programs with descriptors: many on one terminal, none free, one table for two processes, watched
// by epoll, none at all.
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <sstream>
#include <vector>

#include "integration/zoo/zoo.h"

namespace zoo {
namespace {

void place(int fd, int wanted, int flags = 0) {
  must(::dup3(fd, wanted, flags), "dup3");
  ::close(fd);
}

std::string path_of(const std::string& fd) {
  char target[256] = {};
  const std::string link = "/proc/" + fd;
  return ::readlink(link.c_str(), target, sizeof target - 1) < 0 ? "closed" : target;
}

struct Held {
  pid_t pid;
  int fd;
};

/// Which of them are one open file: "0,1,2|20,21|..." with the child's marked by c.
std::string sharing(const std::vector<Held>& held, pid_t self) {
  std::vector<std::vector<Held>> classes;
  for (const Held& one : held) {
    bool found = false;
    for (auto& same : classes) {
      if (::syscall(SYS_kcmp, same[0].pid, one.pid, KCMP_FILE, same[0].fd, one.fd) == 0) {
        same.push_back(one);
        found = true;
        break;
      }
    }
    if (!found)
      classes.push_back({one});
  }
  std::ostringstream out;
  for (const auto& same : classes) {
    for (const Held& one : same)
      out << (one.pid == self ? " " : " c") << one.fd;
    out << " |";
  }
  return out.str();
}

// The numbers that fd_keeper opens on the terminal, beside 0-2.
constexpr std::array<int, 12> kNumbers = {0, 1, 2, 10, 11, 20, 21, 30, 40, 200, 201, 1000};

void say_fds(pid_t child) {
  std::ostringstream out;
  std::vector<Held> held;
  for (const int fd : kNumbers) {
    const std::string own = std::to_string(::getpid()) + "/fd/" + std::to_string(fd);
    out << "fd " << fd << " flags 0" << std::oct << ::fcntl(fd, F_GETFL) << std::dec << " cloexec "
        << ::fcntl(fd, F_GETFD) << " tty " << path_of(own) << "\n";
    held.push_back({::getpid(), fd});
    held.push_back({child, fd});
  }
  held.push_back({child, 60});
  out << "fd c60 tty " << path_of(std::to_string(child) + "/fd/60") << "\n";
  out << "fd 50 " << path_of(std::to_string(::getpid()) + "/fd/50") << "\n";
  out << "sharing:" << sharing(held, ::getpid()) << "\nfds end\n";
  say(out.str());
}

void open_many(const char* tty) {
  must(::dup2(0, 10), "dup2");
  must(::dup2(1, 11), "dup2");
  place(static_cast<int>(must(::open(tty, O_WRONLY | O_APPEND | O_NOCTTY), tty)), 20);
  must(::dup3(20, 21, O_CLOEXEC), "dup3");
  place(static_cast<int>(must(::open(tty, O_RDONLY | O_NONBLOCK | O_NOCTTY), tty)), 30, O_CLOEXEC);
  place(static_cast<int>(must(::open("/dev/tty", O_RDWR), "/dev/tty")), 40);
  place(static_cast<int>(must(::open(tty, O_RDWR | O_NOCTTY), tty)), 200);
  must(::dup2(200, 201), "dup2");
  place(static_cast<int>(must(::open(tty, O_RDWR | O_NONBLOCK | O_APPEND | O_NOCTTY), tty)), 1000);
  place(static_cast<int>(must(::open("/dev/null", O_RDWR), "/dev/null")), 50);
}

char shared_table_stack[65536];

int echo_from_shared_table(void* /*unused*/) {
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;)
    ::pause();
}

unsigned events_for(const std::string& how) {
  if (how == "edge")
    return EPOLLET;
  if (how == "exclusive")
    return EPOLLEXCLUSIVE;
  return how == "oneshot" || how == "spent" ? EPOLLONESHOT : 0U;
}

/// A process that shares all descriptors, and so the epoll set.
void start_sharer() {
  const auto child = static_cast<pid_t>(must(::fork(), "fork"));
  if (child == 0) {
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
      ::pause();
  }
  wait_until_process_asleep(child);
}

int must_be_dup(int fd) {
  return static_cast<int>(must(::fcntl(fd, F_DUPFD_CLOEXEC, 10), "F_DUPFD"));
}

/// Waits for a terminal by epoll_wait(2), by one or more entries of one set.
class Watcher {
 public:
  explicit Watcher(const std::string& how)
      : set_(static_cast<int>(must(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"))),
        waited_(set_),
        events_(EPOLLIN | events_for(how)) {}

  void add(int fd) {
    epoll_event wanted = entry(entries_++);
    must(::epoll_ctl(set_, EPOLL_CTL_ADD, fd, &wanted), "epoll_ctl");
  }

  /// Waits by another set, which watches this one.
  void nest() {
    waited_ = static_cast<int>(must(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
    epoll_event wanted = entry(0);
    must(::epoll_ctl(waited_, EPOLL_CTL_ADD, set_, &wanted), "epoll_ctl");
  }

  /// Entries for the open file of 0, by numbers that are closed afterwards, or are the terminal
  /// opened anew, or a pipe.
  void leave_numbers() {
    for (int n = 0; n < 2; ++n) {  // the lowest free number, and one far from it
      const auto number = static_cast<int>(must(::fcntl(0, F_DUPFD, n * 70), "F_DUPFD"));
      add(number);
      ::close(number);
    }
    char tty[128];
    if (::ttyname_r(0, tty, sizeof tty) != 0)
      std::exit(97);
    leave_to(static_cast<int>(must(::open(tty, O_RDWR | O_NOCTTY), tty)), 20, 0);
    int ends[2];
    must(::pipe(ends), "pipe");
    leave_to(ends[0], 21, O_CLOEXEC);
    leave_to(ends[1], 22, 0);
  }

  /// One by a number that is a file by now, with a lock that goes where it is closed.
  void leave_number_to_locked(const std::string& file) {
    leave_to(static_cast<int>(must(::open(file.c_str(), O_RDWR | O_CREAT, 0600), file.c_str())), 20,
             0);
    struct flock lock {};
    lock.l_type = F_WRLCK;
    must(::fcntl(20, F_SETLK, &lock), "F_SETLK");
  }

  /// One for the terminal opened anew, which only a child has open by now.
  void leave_to_child() {
    char tty[128];
    if (::ttyname_r(0, tty, sizeof tty) != 0)
      std::exit(97);
    const auto number = static_cast<int>(must(::open(tty, O_RDWR | O_NOCTTY), tty));
    add(number);
    if (must(::fork(), "fork") == 0) {
      (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::close(set_);
      for (;;)
        ::pause();
    }
    ::close(number);
  }

  /// Until each entry has been seen: the terminal is not read meanwhile.
  void wait_for_all() const {
    for (unsigned missing = (1U << entries_) - 1; missing != 0;) {
      epoll_event event{};
      const int count = ::epoll_wait(waited_, &event, 1, -1);
      if (count < 0)
        say(std::string("epoll_wait failed: ") + std::strerror(errno) + "\n");
      const std::uint64_t nth = event.data.u64 - kData;
      if (count > 0 && nth >= entries_)
        say("epoll_wait gave other data\n");
      else if (count > 0)
        missing &= ~(1U << nth);
    }
  }

  bool is_quiet() const {
    epoll_event event{};
    return ::epoll_wait(set_, &event, 1, 0) == 0;
  }

  void arm() const {
    epoll_event wanted = entry(0);
    if ((events_ & EPOLLONESHOT) != 0)
      must(::epoll_ctl(set_, EPOLL_CTL_MOD, 0, &wanted), "epoll_ctl");
  }

 private:
  static constexpr std::uint64_t kData = 0x0123456789abcde0U;  // all 64 bits must survive

  epoll_event entry(unsigned nth) const {
    epoll_event wanted{};
    wanted.events = events_;
    wanted.data.u64 = kData + nth;
    return wanted;
  }

  void leave_to(int other, int number, int flags) {
    must(::dup2(0, number), "dup2");
    add(number);
    place(other, number, flags);
  }

  int set_;
  int waited_;
  unsigned events_;
  unsigned entries_ = 0;
};

}  // namespace

int fd_keeper(const Args& /*args*/) {
  rlimit limit{};
  must(::getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
  limit.rlim_cur = limit.rlim_cur < 1024 ? 1024 : limit.rlim_cur;
  must(::setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
  char tty[128];
  if (::ttyname_r(0, tty, sizeof tty) != 0)
    return 97;
  open_many(tty);
  const auto child = static_cast<pid_t>(must(::fork(), "fork"));
  if (child == 0) {
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
    place(static_cast<int>(must(::open(tty, O_RDWR | O_NOCTTY), tty)), 60);
    for (;;)
      ::pause();
  }
  wait_until_process_asleep(child);
  say_ready();
  return serve({{"fds", [child] { say_fds(child); }},
                {"write all",
                 [] {
                   for (const int fd : kNumbers) {
                     if (fd != 0 && fd != 30 && fd != 10)
                       dprintf(fd, "through %d;\n", fd);
                   }
                 }},
                {"append",
                 [] {  // seen through the other number of the same open file
                   (void)::fcntl(200, F_SETFL, O_APPEND);
                   say(std::string("append: ") +
                       ((::fcntl(201, F_GETFL) & O_APPEND) ? "201 " : "") +
                       ((::fcntl(0, F_GETFL) & O_APPEND) ? "0 " : "") + "end\n");
                 }}});
}

int fd_exhausted(const Args& /*args*/) {
  const rlimit limit{16, 16};
  must(::setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
  while (::open("/dev/null", O_RDWR) >= 0) {
  }
  say_ready();
  return serve();
}

int shared_table(const Args& /*args*/) {
  const long child =
      must(::clone(echo_from_shared_table, shared_table_stack + sizeof shared_table_stack,
                   CLONE_FILES | SIGCHLD, nullptr),
           "clone");
  wait_until_process_asleep(static_cast<pid_t>(child));
  say_ready();
  return serve({{"same", [child] {
                   say(::syscall(SYS_kcmp, ::getpid(), child, KCMP_FILES, 0, 0) == 0
                           ? "one table\n"
                           : "two tables\n");
                 }}});
}

int epoll_lines(const Args& args) {
  const std::string how = args.empty() ? "" : args[0];
  Watcher watcher(how);
  if (how.find("stale") == std::string::npos)
    watcher.add(0);
  if (how == "pair")
    start_sharer();
  if (how == "twice")  // by another number of the same open file
    watcher.add(must_be_dup(0));
  if (how == "nested")
    watcher.nest();
  if (how == "stale")
    watcher.leave_numbers();
  if (how == "stale-elsewhere")
    watcher.leave_to_child();
  if (how == "stale-locked")
    watcher.leave_number_to_locked(args.at(1));
  sigset_t usr1;
  ::sigemptyset(&usr1);
  ::sigaddset(&usr1, SIGUSR1);
  must(::sigprocmask(SIG_BLOCK, &usr1, nullptr), "sigprocmask");
  say_ready();
  for (bool first = true;; first = false) {
    watcher.wait_for_all();
    char line[4096];
    const ssize_t size = ::read(0, line, sizeof line);
    if (size <= 0)
      return size == 0 ? 0 : 98;
    say("got: " + std::string(line, static_cast<std::size_t>(size)));
    if (how == "spent" && first) {
      must(::sigwaitinfo(&usr1, nullptr), "sigwaitinfo");
      say(watcher.is_quiet() ? "still spent\n" : "no longer spent\n");
    }
    watcher.arm();
  }
}

int epoll_parent(const Args& /*args*/) {
  Watcher watcher("");
  watcher.add(0);
  if (must(::fork(), "fork") == 0) {
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
    say_ready();
    return serve();
  }
  for (;;) {
    watcher.wait_for_all();
    char line[4096];
    const ssize_t size = ::read(0, line, sizeof line);
    if (size <= 0)
      return 98;
    say("parent got: " + std::string(line, static_cast<std::size_t>(size)));
  }
}

int sigio_lines(const Args& /*args*/) {
  sigset_t sigio;
  ::sigemptyset(&sigio);
  ::sigaddset(&sigio, SIGIO);
  must(::sigprocmask(SIG_BLOCK, &sigio, nullptr), "sigprocmask");
  must(::fcntl(0, F_SETOWN, ::getpid()), "F_SETOWN");
  must(::fcntl(0, F_SETFL, ::fcntl(0, F_GETFL) | O_ASYNC | O_NONBLOCK), "F_SETFL");
  say_ready();
  for (;;) {
    must(::sigwaitinfo(&sigio, nullptr), "sigwaitinfo");
    char line[4096];
    const ssize_t size = ::read(0, line, sizeof line);
    if (size > 0)
      say("got: " + std::string(line, static_cast<std::size_t>(size)));
  }
}

int no_terminal(const Args& args) {
  if (args.empty())
    return 2;
  const long pid = must(::fork(), "fork");
  if (pid != 0) {
    say("ready " + std::to_string(pid) + "\n");
    return 0;
  }
  must(::setsid(), "setsid");
  const auto null = static_cast<int>(must(::open("/dev/null", O_RDWR), "/dev/null"));
  const auto out = static_cast<int>(
      must(::open(args[0].c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), args[0].c_str()));
  must(::dup2(null, 0), "dup2");
  must(::dup2(out, 1), "dup2");
  must(::dup2(out, 2), "dup2");
  ::close(null);
  ::close(out);
  for (int n = 1;; ++n) {
    say("line " + std::to_string(n) + "\n");
    ::usleep(20'000);
  }
}

}  // namespace zoo
