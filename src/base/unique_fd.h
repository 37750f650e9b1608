// SPDX-License-Identifier: MIT
// Owns one file descriptor.
#pragma once

#include <unistd.h>

#include <utility>

namespace grab {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other)
      reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }

  // Kernel: the number is free again even when close() reports EINTR, so trying again could close
  // a descriptor that someone else has opened meanwhile. Source: close(2) NOTES.
  void reset(int fd = -1) {
    if (fd_ >= 0)
      (void)::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace grab
