// SPDX-License-Identifier: MIT
#include "tracer/fd_store.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "tracer/passing.h"

namespace grab::tracer {

Result<FdStore> FdStore::open() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0)
    return fail_errno(errno, "socketpair");
  FdStore store;
  store.in_.reset(ends[0]);
  store.out_.reset(ends[1]);
  return store;
}

// What cannot be put there is open for as long as the caller lives.
void FdStore::put(int fd) const {
  if (fd >= 0)
    (void)send_descriptors(in_.get(), {fd});
}

// Kernel: descriptors that a message brings, and for which the receiver has no room, are closed.
// Source: unix(7), MSG_CTRUNC.
void FdStore::clear() const {
  char byte = 0;
  while (::recv(out_.get(), &byte, 1, MSG_DONTWAIT) >= 0) {
  }
}

UniqueFd FdStore::holder() const {
  return UniqueFd(::fcntl(out_.get(), F_DUPFD_CLOEXEC, 0));
}

}  // namespace grab::tracer
