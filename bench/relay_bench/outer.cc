// SPDX-License-Identifier: MIT
#include "relay_bench/outer.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace grab::bench {
namespace {

constexpr std::size_t kDroppedKept = 2000;

tl::unexpected<Error> late(const std::string& what) {
  return fail(ErrorKind::kTimeout, what);
}

}  // namespace

// Waits for some of `events`, and gives those that are there.
Status Outer::wait(short events, Nanoseconds deadline, short& ready) const {
  pollfd waited{.fd = ptmx_.get(), .events = events, .revents = 0};
  for (;;) {
    const Nanoseconds left = deadline - clock_now();
    if (left <= 0)
      return late("nothing came on the outer terminal");
    const int n = ::poll(&waited, 1, static_cast<int>(left / kMillisecond) + 1);
    if (n < 0 && errno != EINTR)
      return fail_errno(errno, "poll of the outer terminal");
    if (n > 0)
      break;
  }
  ready = waited.revents;
  return {};
}

// At least one byte more, behind which unread_ then is.
Status Outer::fill(Nanoseconds deadline) {
  for (;;) {
    const ssize_t n = ::read(ptmx_.get(), buffer_.data(), buffer_.size());
    if (n > 0) {
      unread_ = std::string_view(buffer_).substr(0, static_cast<std::size_t>(n));
      return {};
    }
    // Kernel: EIO once nobody has the terminal open. Source: drivers/tty/pty.c, TTY_OTHER_CLOSED.
    if (n == 0 || errno == EIO)
      return fail(ErrorKind::kGone, "the contender has left its terminal");
    if (errno != EAGAIN && errno != EINTR)
      return fail_errno(errno, "read of the outer terminal");
    short ready = 0;
    GRAB_CHECK(wait(POLLIN, deadline, ready));
  }
}

Status Outer::skip_to(std::string_view mark, Nanoseconds deadline) {
  std::string tail;
  for (;;) {
    if (unread_.empty())
      GRAB_CHECK(fill(deadline));
    // The mark may be in two pieces: look at the end of the last and the beginning of this one.
    const std::size_t before = tail.size();
    tail.append(unread_.substr(0, mark.size() - 1));
    std::size_t end = std::string::npos;
    if (const std::size_t at = tail.find(mark); at != std::string::npos)
      end = at + mark.size() - before;
    else if (const std::size_t in = unread_.find(mark); in != std::string_view::npos)
      end = in + mark.size();
    dropped_.append(unread_.substr(0, end));
    dropped_.erase(0, dropped_.size() - std::min(dropped_.size(), kDroppedKept));
    if (end != std::string::npos) {
      unread_.remove_prefix(end);
      return {};
    }
    tail = dropped_.substr(dropped_.size() - std::min(dropped_.size(), mark.size() - 1));
    unread_ = {};
    if (clock_now() > deadline)
      return late("the outer terminal did not get " + std::string(mark));
  }
}

// Compares all that is unread with what has to follow `position` bytes of `bytes`, again and again.
Status Outer::compare(std::string_view bytes, std::uint64_t total, std::uint64_t& position) {
  while (!unread_.empty() && position < total) {
    const std::size_t at = position % bytes.size();
    const std::size_t n =
        std::min({unread_.size(), bytes.size() - at, static_cast<std::size_t>(total - position)});
    if (std::memcmp(unread_.data(), bytes.data() + at, n) != 0) {
      const auto [have, want] =
          std::mismatch(unread_.begin(), unread_.begin() + n, bytes.begin() + at);
      const std::uint64_t where = position + static_cast<std::uint64_t>(have - unread_.begin());
      return fail(ErrorKind::kUnsupported, "the output differs at byte " + std::to_string(where) +
                                               " of " + std::to_string(total) + ": " +
                                               std::to_string(static_cast<unsigned char>(*have)) +
                                               " instead of " +
                                               std::to_string(static_cast<unsigned char>(*want)));
    }
    position += n;
    unread_.remove_prefix(n);
  }
  return {};
}

Status Outer::expect(std::string_view bytes, std::uint64_t times, Nanoseconds deadline) {
  const std::uint64_t total = bytes.size() * times;
  for (std::uint64_t position = 0;;) {
    GRAB_CHECK(compare(bytes, total, position));
    if (position == total)
      return {};
    if (Status filled = fill(deadline); !filled) {
      filled.error().what += " after " + std::to_string(position) + " of " + std::to_string(total) +
                             " bytes of output";
      return filled;
    }
  }
}

Status Outer::exchange(std::string_view bytes, std::string_view typed, Nanoseconds deadline) {
  std::uint64_t position = 0;
  const std::size_t all_typed = typed.size();
  GRAB_CHECK(compare(bytes, bytes.size(), position));
  while (position < bytes.size() || !typed.empty()) {
    short ready = 0;
    const auto in = static_cast<short>(position < bytes.size() ? POLLIN : 0);
    const auto out = static_cast<short>(typed.empty() ? 0 : POLLOUT);
    if (Status waited = wait(static_cast<short>(in | out), deadline, ready); !waited) {
      waited.error().what += " after " + std::to_string(position) + " of " +
                             std::to_string(bytes.size()) + " bytes of output, with " +
                             std::to_string(all_typed - typed.size()) + " of " +
                             std::to_string(all_typed) + " typed";
      return waited;
    }
    if ((ready & POLLIN) != 0) {
      GRAB_CHECK(fill(deadline));
      GRAB_CHECK(compare(bytes, bytes.size(), position));
    } else if ((ready & (POLLHUP | POLLERR)) != 0) {
      return fail(ErrorKind::kGone, "the contender has left its terminal");
    }
    if ((ready & POLLOUT) != 0) {
      const ssize_t n = ::write(ptmx_.get(), typed.data(), typed.size());
      if (n < 0 && errno != EAGAIN && errno != EINTR)
        return fail_errno(errno, "write to the outer terminal");
      typed.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    }
  }
  return {};
}

Result<Nanoseconds> Outer::echo(char byte, Nanoseconds deadline) {
  const Nanoseconds typed = clock_now();
  while (::write(ptmx_.get(), &byte, 1) != 1) {
    if (errno != EAGAIN && errno != EINTR)
      return fail_errno(errno, "write to the outer terminal");
    short ready = 0;
    GRAB_CHECK(wait(POLLOUT, deadline, ready));
  }
  for (;;) {
    if (clock_now() > deadline)
      return late("a typed byte did not come back");
    GRAB_CHECK(fill(deadline));
    const std::size_t at = unread_.find(byte);
    const Nanoseconds now = clock_now();
    unread_ = {};
    if (at != std::string_view::npos)
      return now - typed;
  }
}

void Outer::drain() {
  unread_ = {};
  while (::read(ptmx_.get(), buffer_.data(), buffer_.size()) > 0)
    continue;
}

}  // namespace grab::bench
