// SPDX-License-Identifier: MIT
#include "base/fd_store.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace grab {

Result<FdStore> FdStore::open() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0)
    return fail_errno(errno, "socketpair");
  FdStore store;
  store.in_.reset(ends[0]);
  store.out_.reset(ends[1]);
  return store;
}

void FdStore::put(int fd) const {
  if (fd < 0)
    return;
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fd)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  const ssize_t sent = ::sendmsg(in_.get(), &message, MSG_NOSIGNAL);
  (void)sent;  // without it the file is open for as long as the caller lives
}

}  // namespace grab
