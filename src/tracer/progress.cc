// SPDX-License-Identifier: MIT
#include "tracer/progress.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <new>

#include "base/shared_memory.h"
#include "tracer/guards.h"

namespace grab::tracer {

static_assert(std::atomic<Progress::Step>::is_always_lock_free &&
                  Progress::Flag::is_always_lock_free &&
                  std::atomic<std::uint32_t>::is_always_lock_free,
              "several processes use them");

/// Behind the others if it is not there; nullptr if there is no room.
Progress::Child* Progress::place_of(pid_t pid) {
  Child* place = std::find_if(begin(), end(), [pid](const Child& it) { return it.pid == pid; });
  return place == children + kMaxChildren ? nullptr : place;
}

bool Progress::add(const Telling& telling) {
  shell = telling.shell;
  shell_start_time = telling.shell_start_time;
  for (const pid_t pid : telling.children) {
    Child* child = place_of(pid);
    if (child == nullptr)
      return false;
    child->pid = pid;
    child->pgid = telling.pgid;
    child->wait_status = telling.wait_status;
    child->step = telling.again ? Step::kDoubtful : Step::kUntold;
    count += child == end() ? 1 : 0;
  }
  if (telling.guard)
    guards = 1;
  return true;
}

bool Progress::add(const Progress& other) {
  for (const Child& theirs : other) {
    Child* child = place_of(theirs.pid);
    if (child == nullptr)
      return false;
    if (child == end()) {
      child->pid = theirs.pid;
      child->pgid = theirs.pgid;
      child->wait_status = theirs.wait_status;
      child->step = theirs.step.load();
      count++;  // only now, lest another life sees half of it
    }
    child->step = std::max(child->step.load(), theirs.step.load());
  }
  if (other.guards != 0)
    guards = 1;
  return true;
}

bool Progress::covers(const Progress& other) const {
  return (guards != 0 || other.guards == 0) &&
         std::all_of(other.begin(), other.end(), [this](const Child& theirs) {
           return std::any_of(begin(), end(),
                              [&](const Child& child) { return child.pid == theirs.pid; });
         });
}

bool Progress::is_told() const {
  return std::all_of(begin(), end(), [](const Child& child) { return child.step == Step::kTold; });
}

SharedProgress share_progress() {
  SharedProgress shared;
  int flags = MAP_SHARED;
  if (Result<UniqueFd> memory = create_shared_memory(sizeof(Progress)))
    shared.memory = std::move(*memory);
  else
    flags |= MAP_ANONYMOUS;
  void* address = mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, flags,
                       shared.memory.valid() ? shared.memory.get() : -1, 0);
  if (address != MAP_FAILED)
    shared.progress = new (address) Progress;
  return shared;
}

void place_for_next_grab(UniqueFd& memory) {
  if (!memory.valid())
    (void)close(kGuardMemory);
  else if (memory.get() != kGuardMemory)
    memory.reset(dup3(memory.get(), kGuardMemory, O_CLOEXEC));
}

// It is read, not mapped: who has made it can make it shorter.
std::unique_ptr<Progress> read_progress(const std::string& path, uid_t owner, pid_t shell,
                                        std::uint64_t shell_start_time) {
  const UniqueFd memory = open_shared_memory(path, owner, sizeof(Progress), O_RDONLY);
  auto progress = std::make_unique<Progress>();
  if (pread(memory.get(), static_cast<void*>(progress.get()), sizeof(Progress), 0) !=
          ssize_t{sizeof(Progress)} ||
      progress->count > Progress::kMaxChildren || progress->shell != shell ||
      progress->shell_start_time != shell_start_time)
    return nullptr;
  const bool is_sound =
      std::all_of(progress->begin(), progress->end(), [](const Progress::Child& child) {
        return child.pid > 0 && child.pgid > 0 && child.step <= Progress::Step::kTold;
      });
  return is_sound ? std::move(progress) : nullptr;
}

std::unique_ptr<Progress> progress_of_guard(pid_t shell, std::uint64_t shell_start_time) {
  const auto guard = guard_of(shell);
  return guard ? read_progress(guard->memory_path(), guard->user, shell, shell_start_time)
               : nullptr;
}

}  // namespace grab::tracer
