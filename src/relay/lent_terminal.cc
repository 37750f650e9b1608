// SPDX-License-Identifier: MIT
#include "relay/lent_terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "relay/proc_info.h"
#include "relay/pts.h"
#include "relay/viewer_terminal.h"

namespace grab::relay {
namespace {

// /proc is asked again after this long; in between the modes alone tell, which costs a fifth of a
// microsecond. A person who stops a viewer and types to the shell needs longer.
constexpr std::chrono::milliseconds kLookAgain{100};
// A shell that has just got its terminal back needs longer to show that it has; what was typed
// until then was meant for the tree.
constexpr std::chrono::milliseconds kJustNow{2};

}  // namespace

Result<LentTerminal> LentTerminal::take(UniqueFd terminal, pid_t viewer,
                                        std::string_view saved_modes) {
  LentTerminal lent(std::move(terminal), viewer);
  const int flags = lent.fd() < 0 ? -1 : ::fcntl(lent.fd(), F_GETFL);
  struct stat file {};
  if (flags < 0 || (flags & O_ACCMODE) != O_RDWR || (flags & O_NONBLOCK) == 0 ||
      ::fstat(lent.fd(), &file) != 0 || ::tcgetattr(lent.fd(), &lent.raw_) != 0)
    return fail(ErrorKind::kRefused, "the descriptor that came is no terminal to show the tree on");
  lent.device_ = file.st_rdev;
  if (saved_modes.size() == sizeof(termios)) {
    lent.saved_.emplace();
    std::memcpy(&*lent.saved_, saved_modes.data(), sizeof(termios));
  }
  return lent;
}

bool LentTerminal::is_pts_of(int ptmx) const {
  const std::string name = pts_name(ptmx);
  struct stat pts {};
  return !name.empty() && ::stat(name.c_str(), &pts) == 0 && pts.st_rdev == device_;
}

// Kernel: who reads a terminal that is not its controlling one is not stopped in the background, so
// nothing but this keeps us from reading what is typed to the shell once the viewer has been
// stopped. A shell that edits lines sets modes of its own at its prompt; of one that does not, the
// foreground group tells, which only /proc shows to other sessions.
// Source: drivers/tty/n_tty.c job_control(), tty_ioctl(4) TIOCGPGRP; seen.
bool LentTerminal::is_lent() {
  const Clock::time_point now = Clock::now();
  if (now - found_lent_ < kJustNow)
    return true;
  termios modes{};
  if (::tcgetattr(fd(), &modes) != 0)
    return true;  // it has gone, which reading it tells
  if (!same_modes(modes, raw_))
    return false;
  if (viewer_ > 0 && now - looked_ >= kLookAgain) {
    looked_ = now;
    const auto stat = read_stat(viewer_);
    if (stat && (stat->state == 'T' || stat->state == 't' ||
                 (stat->foreground_pgid >= 0 && stat->foreground_pgid != stat->pgid)))
      return false;
  }
  found_lent_ = now;
  return true;
}

// Kernel: with ICANON nothing can be read before a delimiter has been typed: a newline, or VEOL.
// What was not read stays, and is read in full in the modes that are set next. What had been typed
// when ICANON is set counts as a line. FIONREAD counts whole lines only. Source:
// drivers/tty/n_tty.c n_tty_set_termios(), inq_canon(), termios(3); seen.
bool LentTerminal::read_only_up_to(char key) {
  termios modes = raw_;
  modes.c_lflag |= ICANON;
  for (const int character : {VERASE, VKILL, VEOF, VEOL2})
    modes.c_cc[character] = _POSIX_VDISABLE;
  modes.c_cc[VEOL] = static_cast<cc_t>(key);
  // Enter is to end a line of the shell that reads it.
  modes.c_iflag |= saved_ ? saved_->c_iflag & (ICRNL | INLCR | IGNCR) : 0;
  if (::tcsetattr(fd(), TCSANOW, &modes) != 0)
    return false;
  all_read_ = std::exchange(raw_, modes);
  if (readable() == 0)
    return true;
  read_all();
  return false;
}

void LentTerminal::read_all() {
  if (!all_read_)
    return;
  raw_ = *std::exchange(all_read_, std::nullopt);
  (void)::tcsetattr(fd(), TCSANOW, &raw_);
}

int LentTerminal::readable() const {
  int count = 0;
  return ::ioctl(fd(), FIONREAD, &count) == 0 ? count : 0;
}

void LentTerminal::lent_again() {
  all_read_.reset();
  (void)::tcgetattr(fd(), &raw_);
  looked_ = found_lent_ = {};
}

void LentTerminal::restore_modes() const {
  termios now{};
  if (saved_ && ::tcgetattr(fd(), &now) == 0 && same_modes(now, raw_))
    (void)::tcsetattr(fd(), TCSANOW, &*saved_);
}

}  // namespace grab::relay
