// SPDX-License-Identifier: MIT
// Which job is in front of a tree's terminal where the kernel cannot know it: a number in shared
// memory, which the guard of the tree's shells (tracer/job_guard.h) writes and the relay reads.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/unique_fd.h"

namespace grab {

class Front {
 public:
  /// The memory, to be handed on by fork(2). Close-on-exec. Errors: kSystem.
  [[nodiscard]] static Result<UniqueFd> create();
  /// `memory`: borrowed, and to stay open. Errors: kSystem.
  [[nodiscard]] static Result<Front> open(int memory);
  /// What is shown in the memory of another process, to which `path` leads: a descriptor of it in
  /// /proc. 0 where that is no memory that create() has made for this user: then it is not opened,
  /// whatever it is, and not waited for.
  [[nodiscard]] static pid_t shown_at(const std::string& path, uid_t owner);

  /// Says that the process group is in front; 0: the one that the kernel has there.
  void show(pid_t pgid) { *pgid_ = pgid; }
  /// What was said last; for who says it.
  [[nodiscard]] pid_t shown() const { return *pgid_; }

  /// From here on this process stands for what is shown. Not inherited by fork(2).
  void vouch() const;
  /// Whether somebody else who stands for it lives.
  [[nodiscard]] bool is_vouched_for() const;
  /// What was said last, if it is vouched for; else 0.
  [[nodiscard]] pid_t believed() const;

 private:
  using Pgid = std::atomic<pid_t>;
  static_assert(Pgid::is_always_lock_free, "two processes use it");
  struct Unmap {
    void operator()(Pgid* pgid) const;
  };

  explicit Front(int memory, Pgid* pgid) : memory_(memory), pgid_(pgid) {}

  int memory_;
  std::unique_ptr<Pgid, Unmap> pgid_;
};

}  // namespace grab
