// SPDX-License-Identifier: MIT
#include "tracer/passing.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>

#include "base/fault.h"
#include "proc/kernel.h"

namespace grab::tracer {
namespace {

// Kernel: a message carries 253 descriptors at most. Source: unix(7) SCM_RIGHTS.
constexpr std::size_t kMessageLimit = 200;

template <class T>
void put(std::vector<std::byte>& bytes, std::size_t offset, const T& value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

template <class T>
T* pointer(std::uint64_t address) {
  return reinterpret_cast<T*>(address);  // NOLINT: of the process's memory
}

}  // namespace

Mailbox::Mailbox(std::uint64_t at, std::size_t descriptors) : at_(at) {
  const std::size_t byte_at = 2 * sizeof(int);
  const std::size_t vector_at = byte_at + sizeof(std::uint64_t);
  bytes_.resize(vector_at + sizeof(iovec));
  put(bytes_, vector_at, iovec{pointer<void>(at + byte_at), 1});
  for (std::size_t left = descriptors; left > 0; left -= std::min(left, kMessageLimit)) {
    const std::size_t header_at = bytes_.size();
    const std::size_t control_at = header_at + sizeof(msghdr);
    const std::size_t control_size = CMSG_SPACE(std::min(left, kMessageLimit) * sizeof(int));
    bytes_.resize(control_at + control_size);
    msghdr header{};
    header.msg_iov = pointer<iovec>(at + vector_at);
    header.msg_iovlen = 1;
    header.msg_control = pointer<void>(at + control_at);
    header.msg_controllen = control_size;
    put(bytes_, header_at, header);
    headers_at_.push_back(at + header_at);
  }
}

Status send_descriptors(int socket, const std::vector<int>& fds) {
  for (std::size_t sent = 0; sent < fds.size();) {
    const auto part = std::span(fds).subspan(sent, std::min(fds.size() - sent, kMessageLimit));
    std::vector<std::byte> control(CMSG_SPACE(part.size_bytes()));
    char byte = 0;
    iovec vector{&byte, 1};
    msghdr header{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* message = CMSG_FIRSTHDR(&header);
    message->cmsg_level = SOL_SOCKET;
    message->cmsg_type = SCM_RIGHTS;
    message->cmsg_len = CMSG_LEN(part.size_bytes());
    std::memcpy(CMSG_DATA(message), part.data(), part.size_bytes());
    if (const int err = fault("sendmsg", sent, EPERM); err != 0)
      return fail_errno(err, "passing the new terminal");
    if (sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
      return fail_errno(errno, "passing the new terminal");
    sent += part.size();
  }
  return {};
}

Result<UniqueFd> take_descriptor(pid_t pid, pid_t tid, int fd) {
  int err = 0;
  const UniqueFd pidfd = proc::open_pidfd(tid, tid != pid, &err);
  UniqueFd copy = pidfd.valid() ? proc::copy_of(pidfd.get(), fd, &err) : UniqueFd();
  if (!copy.valid())
    return fail_errno(
        err, "pidfd_getfd of descriptor " + std::to_string(fd) + " of " + std::to_string(pid));
  return copy;
}

}  // namespace grab::tracer
