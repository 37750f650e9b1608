// SPDX-License-Identifier: MIT
// Files that stay open when the process that opened them is killed.
#pragma once

#include "base/error.h"
#include "base/unique_fd.h"

namespace grab::tracer {

/// A socket pair in whose queue they lie: they are open for as long as a process has the store,
/// which fork(2) hands on. An empty one keeps nothing.
// Kernel: a descriptor on its way in a SCM_RIGHTS message keeps its file open until it is received,
// or nobody has the receiving socket any more. Source: unix(7).
class FdStore {
 public:
  [[nodiscard]] static Result<FdStore> open();

  /// Puts a copy of `fd`, which stays the caller's, there; -1 is passed over.
  void put(int fd) const;
  /// Closes all that is there, whoever put it.
  void clear() const;
  /// For a process that is only to keep it; -1 if there is no room for one.
  [[nodiscard]] UniqueFd holder() const;

 private:
  UniqueFd in_, out_;
};

}  // namespace grab::tracer
