// SPDX-License-Identifier: MIT
// Keeper and relay hold one end each of a socket pair, the link, by which each sees the other die.
#include "relay/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <utility>
#include <vector>

#include "relay/server.h"

namespace grab::relay {
namespace {

constexpr char kDone = 'd';
// A relay that dies at once again and again is started ever more seldom.
constexpr int kFirstPauseMs = 10;
constexpr int kLongestPauseMs = 5000;
constexpr time_t kLivedLong = 10;  // seconds

struct Link {
  UniqueFd keeper, relay;
};

Result<Link> open_link() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return fail_errno(errno, "socketpair");
  return Link{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

time_t now() {
  timespec time{};
  (void)::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec;
}

// Neither a terminal that is closed nor a user who ends "grab" by its name is to end what holds the
// tree's terminal: that ends with the tree.
void outlive_signals() {
  for (const int signo : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGXFSZ, SIGTSTP, SIGTTIN,
                          SIGTTOU, SIGUSR1, SIGUSR2, SIGALRM})
    (void)::signal(signo, SIG_IGN);
  (void)::signal(SIGCHLD, SIG_DFL);
  sigset_t none{};
  (void)::sigemptyset(&none);
  (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void close_all_but(std::vector<int> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned from = STDERR_FILENO + 1;
  for (const int fd : kept) {
    if (fd < static_cast<int>(from))
      continue;
    if (static_cast<unsigned>(fd) > from)
      (void)::close_range(from, static_cast<unsigned>(fd) - 1, 0);
    from = static_cast<unsigned>(fd) + 1;
  }
  (void)::close_range(from, ~0U, 0);
}

void detach_from_terminal() {
  (void)::setsid();
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    (void)::dup2(null.get(), fd);
}

void drop_first_relays_own(RelaySetup& setup) {
  setup.command.reset();
  setup.notices.reset();
  setup.anew = true;
}

/// Waits until the relay at the other end is gone; whether it was done.
bool relay_is_done(int link) {
  char byte = 0;
  ssize_t count = 0;
  while ((count = ::read(link, &byte, 1)) < 0 && errno == EINTR) {
  }
  return count == 1 && byte == kDone;
}

void pause_for(int milliseconds) {
  (void)::poll(nullptr, 0, milliseconds);
}

/// `link` leads to a relay, or to none yet.
[[noreturn]] void watch(RelaySetup setup, UniqueFd link) {
  (void)::prctl(PR_SET_NAME, "grab-keeper");
  int pause_ms = kFirstPauseMs;
  pid_t relay = 0;
  for (time_t started = now();; started = now()) {
    if (!link.valid()) {
      Result<Link> ends = open_link();
      relay = ends ? ::fork() : -1;
      if (relay == 0) {
        ends->keeper.reset();
        (void)::setsid();
        ::_exit(serve(std::move(setup), std::move(ends->relay)) ? 0 : 1);
      }
      if (relay > 0) {
        link = std::move(ends->keeper);
        drop_first_relays_own(setup);
      }
    }
    if (link.valid() && relay_is_done(link.get()))
      ::_exit(0);
    link.reset();
    if (relay > 0)  // no other child: `grab run` leaves its status in a zombie
      (void)::waitpid(relay, nullptr, 0);
    if (now() - started >= kLivedLong)
      pause_ms = kFirstPauseMs;
    pause_for(pause_ms);
    pause_ms = std::min(pause_ms * 2, kLongestPauseMs);
  }
}

void keep_open(const RelaySetup& setup, int link) {
  close_all_but({setup.ptmx.get(), setup.front.get(), setup.files.log.get(),
                 setup.files.record.get(), setup.command.get(), setup.notices.get(),
                 setup.listener.get(), setup.shown.get(), setup.left_open.get(),
                 setup.directory ? setup.directory->fd() : -1, link});
}

}  // namespace

void keep(RelaySetup setup) {
  outlive_signals();
  detach_from_terminal();
  keep_open(setup, -1);
  if (::chdir("/") != 0)  // lest a file system cannot be unmounted
    errno = 0;
  watch(std::move(setup), UniqueFd());
}

Result<UniqueFd> start_keeper(RelaySetup& setup) {
  GRAB_TRY(Link ends, open_link());
  const pid_t keeper = ::fork();
  if (keeper < 0)
    return fail_errno(errno, "fork");
  if (keeper > 0)
    return std::move(ends.relay);
  // The relay's own objects are abandoned in this copy of it, the event loop among them.
  RelaySetup held = std::move(setup);
  drop_first_relays_own(held);
  outlive_signals();
  detach_from_terminal();
  keep_open(held, ends.keeper.get());
  watch(std::move(held), std::move(ends.keeper));
}

void dismiss_keeper(int link) {
  const ssize_t sent = ::send(link, &kDone, 1, MSG_NOSIGNAL);
  (void)sent;  // a keeper that has gone needs no dismissal
}

}  // namespace grab::relay
