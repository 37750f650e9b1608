// SPDX-License-Identifier: MIT
// The descriptor numbers that processes lend to their batches while they are moved. Pure.
#pragma once

#include <sys/types.h>

#include <map>
#include <vector>

#include "proc/snapshot.h"

namespace grab::tracer {

/// Which numbers each process lends. Where several have one descriptor table, the later ones get
/// what the earlier ones leave free: each must have prepared before the next one starts.
// Kernel: every call that makes a descriptor takes the lowest free number. Source: open(2),
// fcntl(2) F_DUPFD.
class LentNumbers {
 public:
  /// The numbers that `process` is going to get, ascending.
  [[nodiscard]] std::vector<int> of(const proc::Process& process) const;
  /// Notes what the batch of `process` keeps in use. Whether another one has the same table. May be
  /// called again for the same process.
  bool keep(const proc::Process& process, const std::vector<int>& numbers);

 private:
  std::map<pid_t, std::map<pid_t, std::vector<int>>> kept_;  // by fd_table_of and pid
};

}  // namespace grab::tracer
