// SPDX-License-Identifier: MIT
// What tracers have reported, where it outlives them and those who have started them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "tracer/report.h"

namespace grab::tracer {

/// What a tracer has said before it was done, or was killed.
struct Told {
  Held held;
  std::optional<Moved> moved;
  /// It was killed behind this, or has undone what it had begun; with those of the tree that were
  /// held. A server is found again by who needs it: as a member it would bring all its children.
  std::optional<Moved> committing;
  std::optional<Error> error;
  /// It did not get on, and was killed for that. (In no journal.)
  bool stood_still = false;

  void take(Report&& report);
};

/// What the lines of a journal tell, taken together: those of all tracers that have written it, in
/// that order. What is no such line is none.
[[nodiscard]] Told read_journal(std::string_view text);

/// Memory that fork(2) hands on: by it somebody who lives completes the move when a tracer and who
/// has started it are killed together. One process writes at a time.
class Journal {
 public:
  /// Errors: kSystem.
  [[nodiscard]] static Result<Journal> open();

  /// Adds one of to_line()'s lines, whole, or not at all if the caller is killed in it. False if
  /// there is no room.
  [[nodiscard]] bool append(std::string_view line) const;
  [[nodiscard]] Told read() const;

 private:
  struct Memory;
  struct Unmap {
    void operator()(Memory* memory) const;
  };
  std::unique_ptr<Memory, Unmap> memory_;
};

}  // namespace grab::tracer
