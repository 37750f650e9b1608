// SPDX-License-Identifier: MIT
#include "tracer/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/fault.h"
#include "base/unique_fd.h"

namespace grab::tracer {
namespace {

/// Everything that can be read without waiting.
void read_waiting(int fd, std::string& text) {
  std::array<char, 4096> bytes{};
  for (;;) {
    const ssize_t count = read(fd, bytes.data(), bytes.size());
    if (count <= 0)
      return;
    text.append(bytes.data(), static_cast<std::size_t>(count));
  }
}

}  // namespace

dev_t pts_device(int ptmx) {
  struct stat status {};
  const UniqueFd pts(ioctl(ptmx, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  return pts.valid() && fstat(pts.get(), &status) == 0 ? status.st_rdev : 0;
}

Status set_modes(int old_fd, int new_fd, Modes modes) {
  if (const int err = fault("tcsetattr", "the new pts", EIO); err != 0)
    return fail_errno(err, "setting the modes of the new pts");
  termios old_modes{};
  if (old_fd < 0 || tcgetattr(old_fd, &old_modes) != 0)
    return {};  // no terminal: the kernel's own are sane
  if (modes == Modes::kOldTerminal) {
    if (tcsetattr(new_fd, TCSANOW, &old_modes) != 0) {
      return fail_errno(errno, "setting the modes of the new pts");
    }
    return {};
  }
  termios sane{};
  if (tcgetattr(new_fd, &sane) != 0)
    return fail_errno(errno, "reading the modes of the new pts");
  sane.c_iflag = (sane.c_iflag & ~static_cast<tcflag_t>(IUTF8)) | (old_modes.c_iflag & IUTF8);
  if (tcsetattr(new_fd, TCSANOW, &sane) != 0) {
    return fail_errno(errno, "setting the modes of the new pts");
  }
  return {};
}

void set_missing_size(int old_fd, int new_fd) {
  winsize size{};
  if (ioctl(new_fd, TIOCGWINSZ, &size) != 0 || size.ws_row != 0 || size.ws_col != 0)
    return;
  if (old_fd < 0 || ioctl(old_fd, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0)
    size = {.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
  (void)ioctl(new_fd, TIOCSWINSZ, &size);
}

// Kernel: in canonical mode a line can be read only when it is finished, and leaving that mode
// makes what there is of it readable -> the mode is left for a moment, with the whole tree stopped
// and the shell waiting. Source: termios(3) "Canonical and noncanonical mode"; drivers/tty/n_tty.c
// n_tty_set_termios; seen.
std::string take_type_ahead(int old_fd) {
  std::string text;
  const std::string path = "/proc/self/fd/" + std::to_string(old_fd);
  // A description of our own, since the others share their O_NONBLOCK with the tree.
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  termios modes{};
  if (!fd.valid() || tcgetattr(fd.get(), &modes) != 0)
    return text;
  read_waiting(fd.get(), text);
  if ((modes.c_lflag & ICANON) == 0)
    return text;
  termios raw = modes;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  if (tcsetattr(fd.get(), TCSANOW, &raw) != 0)
    return text;
  read_waiting(fd.get(), text);
  (void)tcsetattr(fd.get(), TCSANOW, &modes);
  return text;
}

}  // namespace grab::tracer
