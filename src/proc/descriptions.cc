// SPDX-License-Identifier: MIT
#include "proc/descriptions.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "proc/kernel.h"

namespace grab::proc {

Descriptions::Id Descriptions::classify(UniqueFd copy) {
  const pid_t self = ::getpid();
  const auto order = [self, &copy](const Class& known) {
    return compare_descriptions(self, known.copy.get(), self, copy.get());
  };
  if (recent_ < classes_.size() && order(classes_[recent_]) == Order::kSame)
    return classes_[recent_].id;
  const auto it =
      std::partition_point(classes_.begin(), classes_.end(),
                           [&order](const Class& known) { return order(known) == Order::kBefore; });
  recent_ = static_cast<std::size_t>(it - classes_.begin());
  if (it != classes_.end() && order(*it) == Order::kSame)
    return it->id;
  const Id id = next_id_++;
  classes_.insert(it, Class{id, std::move(copy)});
  return id;
}

int Descriptions::copy(Id id) const {
  if (recent_ < classes_.size() && classes_[recent_].id == id)
    return classes_[recent_].copy.get();
  const auto it = std::find_if(classes_.begin(), classes_.end(),
                               [id](const Class& known) { return known.id == id; });
  return it == classes_.end() ? -1 : it->copy.get();
}

bool Descriptions::is(Id id, pid_t self, pid_t pid, int fd) const {
  const int ours = copy(id);
  return ours >= 0 && compare_descriptions(self, ours, pid, fd) == Order::kSame;
}

int Descriptions::index(Id id) {
  const auto it = std::find(numbered_.begin(), numbered_.end(), id);
  if (it == numbered_.end()) {
    numbered_.push_back(id);
    return static_cast<int>(numbered_.size()) - 1;
  }
  return static_cast<int>(it - numbered_.begin());
}

std::vector<Description> Descriptions::finish_numbering() {
  std::erase_if(classes_, [this](const Class& known) {
    return std::find(numbered_.begin(), numbered_.end(), known.id) == numbered_.end();
  });
  recent_ = 0;
  std::vector<Description> descriptions;
  for (const Id id : numbered_)
    descriptions.push_back({::fcntl(copy(id), F_GETFL)});
  return descriptions;
}

int Descriptions::numbered_copy(int index) const {
  if (index < 0 || static_cast<std::size_t>(index) >= numbered_.size())
    return -1;
  return copy(numbered_[static_cast<std::size_t>(index)]);
}

}  // namespace grab::proc
