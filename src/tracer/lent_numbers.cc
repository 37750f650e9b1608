// SPDX-License-Identifier: MIT
#include "tracer/lent_numbers.h"

#include <set>

#include "tracer/refusal.h"

namespace grab::tracer {

std::vector<int> LentNumbers::of(const proc::Process& process) const {
  std::set<int> in_use;
  if (const auto table = kept_.find(process.fd_table_of); table != kept_.end()) {
    for (const auto& [pid, numbers] : table->second) {
      if (pid != process.stat.pid)
        in_use.insert(numbers.begin(), numbers.end());
    }
  }
  std::vector<int> numbers = free_descriptors(process, lent_descriptors(process) + in_use.size());
  std::erase_if(numbers, [&](int fd) { return in_use.count(fd) != 0; });
  return numbers;
}

bool LentNumbers::keep(const proc::Process& process, const std::vector<int>& numbers) {
  auto& table = kept_[process.fd_table_of];
  table[process.stat.pid] = numbers;
  return table.size() > 1;
}

}  // namespace grab::tracer
