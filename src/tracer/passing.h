// SPDX-License-Identifier: MIT
// Descriptors for a process that may not take them itself (proc::may_take): it makes a pair of
// sockets, grab takes a copy of one end and sends the descriptors over it.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"

namespace grab::tracer {

/// What lies in the process's memory for socketpair(2) and recvmsg(2) to write to. Pure.
class Mailbox {
 public:
  /// For so many descriptors, at the 8-byte aligned address `at`.
  Mailbox(std::uint64_t at, std::size_t descriptors);

  /// Where socketpair(2) puts the two numbers.
  [[nodiscard]] std::uint64_t pair_at() const { return at_; }
  /// The struct msghdr of each message, in the order of their sending.
  [[nodiscard]] const std::vector<std::uint64_t>& headers_at() const { return headers_at_; }
  /// As it must lie at `at`, 8-byte aligned in size.
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::uint64_t at_;
  std::vector<std::uint64_t> headers_at_;
  std::vector<std::byte> bytes_;
};

/// Sends them, as many messages as a Mailbox for so many has headers.
[[nodiscard]] Status send_descriptors(int socket, const std::vector<int>& fds);

/// A copy of descriptor `fd` of thread `tid` of `pid`.
[[nodiscard]] Result<UniqueFd> take_descriptor(pid_t pid, pid_t tid, int fd);

}  // namespace grab::tracer
