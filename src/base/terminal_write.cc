// SPDX-License-Identifier: MIT
#include "base/terminal_write.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

namespace grab {

// Kernel: while another process is in write(2) of the same terminal, one that does not block gives
// EAGAIN, whatever room there is, and poll(2) does not show room. Source: drivers/tty/tty_io.c
// tty_write_lock(), drivers/tty/n_tty.c n_tty_poll(); seen.
std::size_t write_what_fits(int fd, std::string_view text) {
  using namespace std::chrono;
  constexpr milliseconds kLimit{20};
  const auto deadline = steady_clock::now() + kLimit;
  std::size_t taken = 0;
  while (taken < text.size()) {
    const ssize_t count = ::write(fd, text.data() + taken, text.size() - taken);
    if (count > 0) {
      taken += static_cast<std::size_t>(count);
      continue;
    }
    const auto left = ceil<milliseconds>(deadline - steady_clock::now());
    pollfd poll_fd{fd, POLLOUT, 0};
    if (count == 0 || (errno != EAGAIN && errno != EINTR) || left <= milliseconds(0) ||
        ::poll(&poll_fd, 1, static_cast<int>(left.count())) == 0)
      break;
  }
  return taken;
}

}  // namespace grab
