// SPDX-License-Identifier: MIT
#include "tracer/terminal.h"

#include <asm/termbits.h>  // struct termios2; cannot stand beside <termios.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/ttydefaults.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>

#include "base/fault.h"
#include "base/terminal_write.h"
#include "base/unique_fd.h"
#include "tracer/screen_modes.h"

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

/// An open file description of our own, since the others share their O_NONBLOCK with the tree.
UniqueFd open_again(int fd, int access) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  return UniqueFd(open(path.c_str(), access | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
}

// Kernel: TCGETS leaves out the two speeds, of which BOTHER in c_cflag says that they are others
// than B0 to B4000000 -> TCGETS2. Source: tty_ioctl(4), drivers/tty/tty_ioctl.c; seen.
std::optional<termios2> modes_of(int fd) {
  termios2 modes{};
  return fd >= 0 && ioctl(fd, TCGETS2, &modes) == 0 ? std::optional(modes) : std::nullopt;
}

bool is_raw(const termios2& modes) {
  return (modes.c_lflag & (ICANON | ECHO)) == 0;
}

/// Only root can lock modes; whoever else grabs leaves the lock behind.
void copy_locks(int old_fd, int new_fd) {
  termios locked{};
  if (ioctl(old_fd, TIOCGLCKTRMIOS, &locked) == 0)
    (void)ioctl(new_fd, TIOCSLCKTRMIOS, &locked);
}

/// Waits until the terminal can be read; false when it cannot until then.
bool await_input(int fd, std::chrono::steady_clock::time_point deadline) {
  using std::chrono::milliseconds, std::chrono::steady_clock;
  const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
  pollfd poll_fd{fd, POLLIN, 0};
  return left > milliseconds(0) && poll(&poll_fd, 1, static_cast<int>(left.count())) == 1 &&
         (poll_fd.revents & POLLHUP) == 0;
}

/// What the terminal says of its modes; what was typed meanwhile is added to `typed`.
ScreenModes ask_modes(int fd, std::string& typed) {
  constexpr std::chrono::seconds kLimit{1};  // emulators take 1 ms, those behind ssh 20-300 ms
  const std::string questions = mode_questions();
  if (write_what_fits(fd, questions) != questions.size())
    return {};
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  ScreenModes said;
  std::string answers;
  while (!said.complete && await_input(fd, deadline)) {
    read_waiting(fd, answers);
    std::string rest = answers;
    said = take_answers(rest);
  }
  said = take_answers(answers);
  typed += answers;
  return said;
}

void pass_on_screen(int old_fd, int ptmx, const termios2& modes, TerminalKind kind, bool answers) {
  std::string typed;
  ScreenModes said;
  if (kind == TerminalKind::kXtermLike && answers)
    said = ask_modes(old_fd, typed);
  // Those that edit a line leave it to the kernel to add the carriage returns to what they write.
  const bool full_screen = (modes.c_oflag & (OPOST | ONLCR)) != (OPOST | ONLCR);
  (void)write_what_fits(old_fd, undo_modes(said, full_screen, kind));
  const UniqueFd pts(ioctl(ptmx, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  (void)write_what_fits(pts.get(), redo_modes(said));
  (void)write_what_fits(ptmx, typed);
}

/// What shells expect. Some (dash, busybox ash) set no modes after a job.
termios2 make_usual(termios2 modes) {
  modes.c_iflag |= ICRNL | IXON;
  modes.c_iflag &= ~static_cast<tcflag_t>(IGNBRK | PARMRK | ISTRIP | INLCR | IGNCR);
  modes.c_oflag |= OPOST | ONLCR;
  modes.c_lflag |= ISIG | ICANON | IEXTEN | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE;
  modes.c_lflag &= ~static_cast<tcflag_t>(NOFLSH | TOSTOP | EXTPROC);
  constexpr std::array<std::pair<int, int>, 16> kKeys = {{{VINTR, CINTR},
                                                          {VQUIT, CQUIT},
                                                          {VERASE, CERASE},
                                                          {VKILL, CKILL},
                                                          {VEOF, CEOF},
                                                          {VEOL, 0},
                                                          {VEOL2, 0},
                                                          {VMIN, CMIN},
                                                          {VTIME, CTIME},
                                                          {VSTART, CSTART},
                                                          {VSTOP, CSTOP},
                                                          {VSUSP, CSUSP},
                                                          {VREPRINT, CREPRINT},
                                                          {VDISCARD, CDISCARD},
                                                          {VWERASE, CWERASE},
                                                          {VLNEXT, CLNEXT}}};
  for (const auto& [index, key] : kKeys)
    modes.c_cc[index] = static_cast<cc_t>(key);
  return modes;
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
  const auto old_modes = modes_of(old_fd);
  if (!old_modes)
    return {};  // no terminal: the kernel's own are sane
  termios2 wanted = *old_modes;
  if (modes == Modes::kOldTerminal) {
    // Kernel: with EXTPROC whoever holds the ptmx edits the lines and makes ^C a signal -> off, as
    // the relay leaves that to the kernel. Source: tty_ioctl(4); drivers/tty/n_tty.c; seen.
    wanted.c_lflag &= ~static_cast<tcflag_t>(EXTPROC);
    copy_locks(old_fd, new_fd);
  } else {
    if (ioctl(new_fd, TCGETS2, &wanted) != 0)
      return fail_errno(errno, "reading the modes of the new pts");
    wanted.c_iflag =
        (wanted.c_iflag & ~static_cast<tcflag_t>(IUTF8)) | (old_modes->c_iflag & IUTF8);
  }
  if (ioctl(new_fd, TCSETS2, &wanted) != 0)
    return fail_errno(errno, "setting the modes of the new pts");
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
  const UniqueFd fd = open_again(old_fd, O_RDONLY);
  const auto modes = modes_of(fd.get());
  if (!modes)
    return text;
  read_waiting(fd.get(), text);
  if ((modes->c_lflag & ICANON) == 0)
    return text;
  termios2 raw = *modes;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  if (ioctl(fd.get(), TCSETS2, &raw) != 0)
    return text;
  read_waiting(fd.get(), text);
  (void)ioctl(fd.get(), TCSETS2, &*modes);
  return text;
}

bool is_raw(int fd) {
  const auto modes = modes_of(fd);
  return modes && is_raw(*modes);
}

void make_blocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && (flags & O_NONBLOCK) != 0)
    (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

bool takes_output(int fd) {
  pollfd poll_fd{fd, POLLOUT, 0};
  return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLOUT) != 0;
}

void clean_old_terminal(int old_fd, int ptmx, std::string_view term, bool answers) {
  const UniqueFd old_terminal = open_again(old_fd, O_RDWR);
  const auto modes = modes_of(old_terminal.get());
  // A program that has left these as they usually are has put back all that it had changed, or has
  // changed nothing.
  const tcflag_t line_modes = ICANON | ECHO;
  if (!modes || (modes->c_lflag & line_modes) == line_modes)
    return;
  const TerminalKind kind = terminal_kind(term);
  if (is_raw(*modes) && kind != TerminalKind::kUnknown)
    pass_on_screen(old_terminal.get(), ptmx, *modes, kind, answers);
  const termios2 usual = make_usual(*modes);
  (void)ioctl(old_terminal.get(), TCSETS2, &usual);
}

}  // namespace grab::tracer
