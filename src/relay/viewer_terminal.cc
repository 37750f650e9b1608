// SPDX-License-Identifier: MIT
#include "relay/viewer_terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace grab::relay {
namespace {

constexpr int kTerminalFlags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;

// A description of our own of the terminal that `fd` is; invalid if it is none or cannot be opened.
//
// Kernel: O_NONBLOCK belongs to the open file description, which an inherited 0-2 shares with the
// shell. Only a new description may be made non-blocking. Source: open(2).
UniqueFd reopen_terminal(int fd) {
  std::array<char, 256> name{};
  struct stat given {};
  if (::ttyname_r(fd, name.data(), name.size()) != 0 || ::fstat(fd, &given) != 0)
    return {};
  UniqueFd opened(::open(name.data(), kTerminalFlags));
  struct stat found {};
  if (!opened.valid() || ::fstat(opened.get(), &found) != 0 || found.st_rdev != given.st_rdev)
    return {};
  return opened;
}

bool in_foreground(int fd) {
  const pid_t pgid = ::tcgetpgrp(fd);
  return pgid < 0 || pgid == ::getpgrp();  // not our controlling terminal: no job control on it
}

}  // namespace

Result<Viewer> open_viewer() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (UniqueFd terminal = reopen_terminal(fd); terminal.valid())
      return Viewer{std::move(terminal)};
  }
  UniqueFd terminal(::open("/dev/tty", kTerminalFlags));
  if (!terminal.valid())
    return fail(ErrorKind::kRefused, "grab has no terminal to show the tree on",
                "run it in a terminal, or with --detached");
  return Viewer{std::move(terminal)};
}

bool same_modes(const termios& a, const termios& b) {
  return a.c_iflag == b.c_iflag && a.c_oflag == b.c_oflag && a.c_cflag == b.c_cflag &&
         a.c_lflag == b.c_lflag && std::memcmp(a.c_cc, b.c_cc, sizeof a.c_cc) == 0;
}

WindowSize window_size(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0)
    return {};
  return {size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel};
}

// Kernel: tcsetattr from a background group sends SIGTTOU to that group, which stops it, and is
// restarted when the group is continued; so in the background it waits for `fg` by itself. In an
// orphaned group it fails with EIO. Source: tty_check_change(), tcsetattr(3p).
Status ViewerTerminal::take() {
  termios modes{};
  if (::tcgetattr(fd(), &modes) != 0)
    return fail_errno(errno, "reading the modes of grab's own terminal");
  termios raw = modes;
  ::cfmakeraw(&raw);
  if (::tcsetattr(fd(), TCSANOW, &raw) != 0)
    return fail_errno(errno, "setting the modes of grab's own terminal");
  // A shell may have set for us, when it continued us, the raw modes that it saw when we stopped.
  if (!saved_ || !same_modes(modes, raw_))
    saved_ = modes;
  raw_ = raw;
  return {};
}

void ViewerTerminal::set_raw_again() {
  if (saved_ && in_foreground(fd()))
    (void)::tcsetattr(fd(), TCSANOW, &raw_);
}

void ViewerTerminal::give_back() {
  if (!saved_ || !viewer_.terminal.valid())
    return;
  if (in_foreground(fd()))
    (void)::tcsetattr(fd(), TCSANOW, &*saved_);  // a terminal that has gone needs no modes
  saved_.reset();
}

// Kernel: TIOCSTI puts a byte behind all that waits to be read, as if it had been typed; it is for
// the controlling terminal only, and from Linux 6.2 on dev.tty.legacy_tiocsti can forbid it.
// Source: ioctl_tty(2), drivers/tty/tty_io.c tiocsti().
bool ViewerTerminal::type_again(std::string keys) {
  if (!saved_ || !in_foreground(fd()))
    return false;
  std::array<char, 256> more{};
  ssize_t count = 0;
  while ((count = ::read(fd(), more.data(), more.size())) > 0)
    keys.append(more.data(), static_cast<std::size_t>(count));
  termios modes = *saved_;
  modes.c_lflag &= ~static_cast<tcflag_t>(ISIG | ECHO);  // no signal for us; the shell echoes
  (void)::tcsetattr(fd(), TCSANOW, &modes);
  return std::all_of(keys.begin(), keys.end(),
                     [this](char key) { return ::ioctl(fd(), TIOCSTI, &key) == 0; });
}

std::string ViewerTerminal::saved_modes() const {
  if (!saved_)
    return {};
  return {reinterpret_cast<const char*>(&*saved_), sizeof *saved_};
}

std::string ViewerTerminal::name() const {
  std::array<char, 256> name{};
  return ::ttyname_r(fd(), name.data(), name.size()) == 0 ? name.data() : "";
}

// Kernel: SIGTSTP's default action is discarded in an orphaned process group (a session leader's,
// or one whose shell has gone), where nobody would continue it. kill(2) returns only after a signal
// to the caller's own group has been acted on, as the caller is single-threaded here; so without a
// SIGCONT by then we were not stopped. Source: kill(2) NOTES, kernel/signal.c get_signal(); seen.
ViewerTerminal::Stop ViewerTerminal::stop_own_group(const ContinueWatch& watch) {
  (void)watch.consume();
  struct sigaction before {};
  (void)::sigaction(SIGTSTP, nullptr, &before);
  if (before.sa_handler == SIG_IGN)
    return Stop::kImpossible;
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  (void)::sigaction(SIGTSTP, &by_default, nullptr);
  sigset_t stop{};
  sigset_t mask{};
  (void)::sigemptyset(&stop);
  (void)::sigaddset(&stop, SIGTSTP);
  (void)::pthread_sigmask(SIG_UNBLOCK, &stop, &mask);
  (void)::kill(0, SIGTSTP);
  (void)::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  (void)::sigaction(SIGTSTP, &before, nullptr);
  return watch.consume() ? Stop::kContinued : Stop::kImpossible;
}

}  // namespace grab::relay
