// SPDX-License-Identifier: MIT
// Holds the descriptors that the processes of a tree take over, in a process that they may take
// them from.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "proc/snapshot.h"
#include "tracer/batch_table.h"

namespace grab::tracer {

class DonorSet {
 public:
  /// Opens, on the pts of `ptmx`, one description for each of the snapshot's, with the same access
  /// mode and flags. Those of the old terminals are borrowed, -1 if there is none.
  [[nodiscard]] static Result<DonorSet> open(int ptmx, const proc::Snapshot& snapshot,
                                             int old_terminal_fd, int left_terminal_fd);
  DonorSet(DonorSet&&) noexcept;
  DonorSet& operator=(DonorSet&&) noexcept;
  DonorSet(const DonorSet&) = delete;
  DonorSet& operator=(const DonorSet&) = delete;
  ~DonorSet();

  /// Whoever gets SIGIO from the snapshot's description `index`, of which `old_fd` is a copy, gets
  /// it from the new one too.
  void carry_signal(std::size_t index, int old_fd);

  /// The donor for one process: ourselves, or a process of ours with its user and group ids.
  [[nodiscard]] Result<Donor> for_process(const proc::Process& process);

  /// The new pts, read-write; borrowed.
  [[nodiscard]] int terminal_fd() const { return terminal_.get(); }

 private:
  DonorSet() = default;
  struct Holder;  ///< a process of another user that holds copies
  UniqueFd terminal_;
  std::vector<UniqueFd> descriptions_;
  int old_terminal_fd_ = -1;
  int left_terminal_fd_ = -1;
  dev_t left_terminal_ = 0;
  proc::Self self_;
  std::map<std::pair<unsigned, unsigned>, std::unique_ptr<Holder>> holders_;  // by uid and gid
};

}  // namespace grab::tracer
