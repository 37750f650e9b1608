// SPDX-License-Identifier: MIT
// What tracers have reported, where it outlives them and those who have started them.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/unique_fd.h"
#include "tracer/report.h"

namespace grab::tracer {

/// What a tracer has said before it was done, or was killed.
struct Told {
  Held held;
  std::optional<Moved> moved;
  /// It was killed behind this, or has undone what it had begun; with the processes that were held.
  std::optional<Moved> committing;
  std::optional<Error> error;
  /// It did not get on, and was killed for that. (In no journal.)
  bool stood_still = false;

  void take(Report&& report);
};

/// What the lines of a journal tell, taken together: those of all tracers that have written it, in
/// that order. A line that its writer could not complete is none.
[[nodiscard]] Told read_journal(std::string_view text);

/// Memory that fork(2) hands on: by it somebody who lives completes the move when a tracer and who
/// has started it are killed together.
class Journal {
 public:
  /// Errors: kSystem.
  [[nodiscard]] static Result<Journal> open();

  /// Adds one of to_line()'s lines, whole, or cut short if the caller is killed in it.
  void append(std::string_view line) const;
  [[nodiscard]] Told read() const;

 private:
  UniqueFd memory_;
};

}  // namespace grab::tracer
