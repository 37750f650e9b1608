// SPDX-License-Identifier: MIT
#include "base/front.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "base/shared_memory.h"

namespace grab {
void Front::Unmap::operator()(Pgid* pgid) const {
  (void)::munmap(pgid, sizeof(Pgid));
}

Result<UniqueFd> Front::create() {
  return create_shared_memory(sizeof(Pgid));
}

Result<Front> Front::open(int memory) {
  void* address = ::mmap(nullptr, sizeof(Pgid), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  if (address == MAP_FAILED)
    return fail_errno(errno, "mapping shared memory");
  return Front(memory, static_cast<Pgid*>(address));  // zeros, as ftruncate(2) leaves them
}

pid_t Front::shown_at(const std::string& path, uid_t owner) {
  const UniqueFd memory = open_shared_memory(path, owner, sizeof(Pgid), O_RDONLY);
  pid_t pgid = 0;
  return ::pread(memory.get(), &pgid, sizeof pgid, 0) == ssize_t{sizeof pgid} ? pgid : 0;
}

// Kernel: a record lock belongs to a process, and goes with it however it ends; F_GETLK tells of
// those of others. Source: fcntl(2), "Advisory record locking".
void Front::vouch() const {
  struct flock lock {};
  lock.l_type = F_RDLCK;
  (void)::fcntl(memory_, F_SETLK, &lock);
}

bool Front::is_vouched_for() const {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  return ::fcntl(memory_, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

pid_t Front::believed() const {
  const pid_t pgid = *pgid_;
  return pgid != 0 && is_vouched_for() ? pgid : 0;
}

}  // namespace grab
