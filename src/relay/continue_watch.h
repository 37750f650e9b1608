// SPDX-License-Identifier: MIT
// Tells that this process was continued. It handles SIGCONT only, so that SIGSTOP, SIGTSTP, SIGTTIN
// and SIGTTOU keep their default action and really stop us.
#pragma once

#include <csignal>

#include "base/error.h"
#include "base/unique_fd.h"

namespace grab::relay {

/// At most one at a time in a process.
class ContinueWatch {
 public:
  [[nodiscard]] static Result<ContinueWatch> open();
  ContinueWatch(ContinueWatch&& other) noexcept;
  ContinueWatch& operator=(ContinueWatch&&) = delete;
  ContinueWatch(const ContinueWatch&) = delete;
  ContinueWatch& operator=(const ContinueWatch&) = delete;
  ~ContinueWatch();

  /// Readable after a SIGCONT; borrowed.
  [[nodiscard]] int fd() const { return event_.get(); }
  /// SIGCONTs since the last call; makes fd() unreadable again.
  [[nodiscard]] bool consume() const;

 private:
  explicit ContinueWatch(UniqueFd event) : event_(std::move(event)) {}
  UniqueFd event_;
  struct sigaction before_ {};
};

}  // namespace grab::relay
