// SPDX-License-Identifier: MIT
// on_continue() runs in a signal handler: only async-signal-safe calls there.
#include "relay/continue_watch.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace grab::relay {
namespace {

volatile std::sig_atomic_t event_fd = -1;

extern "C" void on_continue(int) {
  const int saved = errno;
  const std::uint64_t one = 1;
  // It can only fail when it is readable anyway.
  [[maybe_unused]] const ssize_t n = ::write(event_fd, &one, sizeof one);
  errno = saved;
}

}  // namespace

Result<ContinueWatch> ContinueWatch::open() {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid())
    return fail_errno(errno, "eventfd");
  ContinueWatch watch(std::move(event));
  event_fd = watch.event_.get();
  struct sigaction action {};
  action.sa_handler = on_continue;
  action.sa_flags = SA_RESTART;
  (void)::sigemptyset(&action.sa_mask);
  if (::sigaction(SIGCONT, &action, &watch.before_) != 0)
    return fail_errno(errno, "sigaction of SIGCONT");
  return watch;
}

ContinueWatch::ContinueWatch(ContinueWatch&& other) noexcept
    : event_(std::move(other.event_)), before_(other.before_) {}

ContinueWatch::~ContinueWatch() {
  if (!event_.valid())
    return;
  (void)::sigaction(SIGCONT, &before_, nullptr);
  event_fd = -1;
}

bool ContinueWatch::consume() const {
  std::uint64_t count = 0;
  return ::read(event_.get(), &count, sizeof count) == sizeof count;
}

}  // namespace grab::relay
