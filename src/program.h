// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>
#include <termios.h>

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"

namespace grab {

/// A program that has not begun yet: its process waits, a child of this one.
class Program {
 public:
  /// `words`: its name, or path, and its arguments. It will lead a session on the pts of `ptmx`,
  /// which gets these modes. Errors: kSystem, and those of opening the pts.
  [[nodiscard]] static Result<Program> fork_on(int ptmx, const std::vector<std::string>& words,
                                               const std::optional<termios>& modes);
  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Lets it begin; once. Errors: kGone when there is no such program, kPermission when it cannot
  /// be executed.
  [[nodiscard]] Status begin();

 private:
  std::string word_;
  pid_t pid_ = 0;
  UniqueFd gate_, failure_;
};

}  // namespace grab
