// SPDX-License-Identifier: MIT
// The open file descriptions that the moved descriptors refer to: which descriptors share one, our
// own copy of each, and their numbering in a snapshot.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/unique_fd.h"
#include "proc/snapshot.h"

namespace grab::proc {

class Descriptions {
 public:
  using Id = std::uint64_t;

  /// The description that our copy is of; keeps the copy if it is a new one.
  [[nodiscard]] Id classify(UniqueFd copy);

  /// Whether descriptor `fd` of `pid` still refers to that description.
  /// `self` is getpid(2).
  [[nodiscard]] bool is(Id id, pid_t self, pid_t pid, int fd) const;

  /// -1 if the description is not known (any more).
  [[nodiscard]] int copy(Id id) const;

  /// A numbering is made anew for each snapshot, in the order of index() calls; the copies of what
  /// has not been numbered are closed at the end, since a copy keeps a pipe or a terminal open.
  void start_numbering() { numbered_.clear(); }
  [[nodiscard]] int index(Id id);
  [[nodiscard]] std::vector<Description> finish_numbering();

  /// Our copy of description `index` of the last numbering, -1 if there is none.
  [[nodiscard]] int numbered_copy(int index) const;

 private:
  struct Class {
    Id id;
    UniqueFd copy;
  };
  std::vector<Class> classes_;  ///< in the order of kcmp(2)
  std::vector<Id> numbered_;
  Id next_id_ = 1;
  std::size_t recent_ = 0;  ///< the one matched last: mostly all share one
};

}  // namespace grab::proc
