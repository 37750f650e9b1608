// SPDX-License-Identifier: MIT
#include "relay/pts.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "relay/relay.h"
#include "relay/viewer_terminal.h"

namespace grab::relay {
namespace {

constexpr unsigned kMajor = 136;  // UNIX98_PTY_SLAVE_MAJOR, include/uapi/linux/major.h

}  // namespace

// Kernel: a ptmx that nobody reads at the other end is full some time, and write(2) waits then;
// O_NONBLOCK cannot be had later but for all who have the open file. Source: pty(7), fcntl(2).
Result<UniqueFd> open_ptmx(const Viewer* viewer) {
  UniqueFd ptmx(::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (!ptmx.valid())
    return fail_errno(errno, "opening /dev/ptmx");
  if (::unlockpt(ptmx.get()) != 0)
    return fail_errno(errno, "unlocking a new terminal");
  if (viewer != nullptr)
    set_window_size(ptmx.get(), window_size(viewer->terminal.get()));
  return ptmx;
}

// Kernel: TIOCGPTPEER opens the pts without a path, which in another mount namespace may be absent
// or another terminal. Source: ioctl_tty(2); Linux 4.13.
Result<UniqueFd> open_pts(int ptmx) {
  UniqueFd pts(::ioctl(ptmx, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!pts.valid())
    return fail_errno(errno, "opening the tree's new terminal");
  return pts;
}

// Kernel: a pts has the major number 136, and tty_nr has the minor in bits 0-7 and 20-31.
// Source: proc_pid_stat(5) tty_nr, include/linux/kdev_t.h new_encode_dev().
unsigned pts_number(int ptmx) {
  unsigned index = 0;
  if (::ioctl(ptmx, TIOCGPTN, &index) != 0)
    return 0;
  return (index & 0xffU) | kMajor << 8U | (index & ~0xffU) << 12U;
}

bool is_pts_of(int ptmx, dev_t device) {
  unsigned index = 0;
  return major(device) == kMajor && ::ioctl(ptmx, TIOCGPTN, &index) == 0 && minor(device) == index;
}

std::string pts_name(int ptmx) {
  std::array<char, 64> name{};
  return ::ptsname_r(ptmx, name.data(), name.size()) == 0 ? name.data() : "";
}

// Kernel: asked of a ptmx, TCGETS answers for the pts. With EXTPROC the line discipline leaves
// signals to others. Source: drivers/tty/tty_ioctl.c, n_tty.c; seen.
PtsState read_pts_modes(int ptmx) {
  PtsState state;
  termios modes{};
  if (::tcgetattr(ptmx, &modes) != 0)
    return state;
  state.isig = (modes.c_lflag & ISIG) != 0 && (modes.c_lflag & EXTPROC) == 0;
  state.quotes = (modes.c_lflag & ICANON) != 0 && (modes.c_lflag & IEXTEN) != 0;
  state.intr = modes.c_cc[VINTR];
  state.quit = modes.c_cc[VQUIT];
  state.susp = modes.c_cc[VSUSP];
  state.lnext = modes.c_cc[VLNEXT];
  return state;
}

// Kernel: so does TIOCGPGRP, which gives 0 where no session has the pts.
// Source: drivers/tty/tty_jobctrl.c; seen.
pid_t foreground_pgid(int ptmx) {
  pid_t pgid = 0;
  return ::ioctl(ptmx, TIOCGPGRP, &pgid) == 0 ? pgid : 0;
}

// Kernel: what is written to a ptmx is dealt with later, by a kernel thread. For ^C it then signals
// the foreground group and throws away the output that is on its way, while no process can write.
// So a follower that is signalled before that can lose its last words: seen, 1 of 10 times. poll(2)
// of a pts without input waits for that thread. With input there is none left after ^C, unless
// NOFLSH is set, and then nothing is thrown away. Source: drivers/tty/n_tty.c n_tty_poll(), isig().
void settle_input(int pts) {
  constexpr int kTries = 1000;  // about a millisecond; only while a line that nobody read is there
  pollfd poll{pts, POLLIN, 0};
  for (int i = 0; i < kTries && ::poll(&poll, 1, 0) == 1; ++i)
    (void)::sched_yield();
}

// Source: drivers/tty/n_tty.c isig().
void discard_typed(int ptmx) {
  termios modes{};
  if (::tcgetattr(ptmx, &modes) != 0 || (modes.c_lflag & NOFLSH) != 0)
    return;
  if (const Result<UniqueFd> pts = open_pts(ptmx))
    (void)::tcflush(pts->get(), TCIFLUSH);
}

void set_window_size(int ptmx, WindowSize size) {
  const winsize value{size.rows, size.columns, size.x_pixels, size.y_pixels};
  (void)::ioctl(ptmx, TIOCSWINSZ, &value);  // it fails for no reason that a size could cure
}

}  // namespace grab::relay
