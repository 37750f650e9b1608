// SPDX-License-Identifier: MIT
#include "base/front.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace grab {
namespace {

/// Of a file that a server in user space may have (FUSE), which could keep us waiting: what the
/// kernel knows without asking. Source: statx(2) AT_STATX_DONT_SYNC.
bool look_at(int fd, struct statx& found) {
  constexpr unsigned kWanted = STATX_TYPE | STATX_UID | STATX_SIZE;
  return ::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, kWanted, &found) == 0 &&
         (found.stx_mask & kWanted) == kWanted;
}

}  // namespace

void Front::Unmap::operator()(Pgid* pgid) const {
  (void)::munmap(pgid, sizeof(Pgid));
}

Result<UniqueFd> Front::create() {
  UniqueFd memory(::memfd_create("grab-front", MFD_CLOEXEC));
  if (!memory.valid() || ::ftruncate(memory.get(), sizeof(Pgid)) != 0)
    return fail_errno(errno, "making shared memory");
  return memory;
}

Result<Front> Front::open(int memory) {
  void* address = ::mmap(nullptr, sizeof(Pgid), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  if (address == MAP_FAILED)
    return fail_errno(errno, "mapping shared memory");
  return Front(memory, static_cast<Pgid*>(address));  // zeros, as ftruncate(2) leaves them
}

// Kernel: what is opened with O_PATH is not opened as a device, FIFO or file is: nobody notices,
// and nothing is waited for. What memfd_create(2) makes is in a file system that is mounted nowhere
// -> no other file has its device number, and reading one does not wait. Opening /proc/self/fd/N
// opens that very file. Source: open(2), mm/shmem.c shmem_init(); seen.
pid_t Front::shown_at(const std::string& path, uid_t owner) {
  const UniqueFd there(::open(path.c_str(), O_PATH | O_CLOEXEC));
  const UniqueFd own(::memfd_create("grab-front", MFD_CLOEXEC));
  struct statx found {
  }, made{};
  if (!there.valid() || !own.valid() || !look_at(there.get(), found) || !look_at(own.get(), made) ||
      !S_ISREG(found.stx_mode) || found.stx_dev_major != made.stx_dev_major ||
      found.stx_dev_minor != made.stx_dev_minor || found.stx_size != sizeof(Pgid) ||
      found.stx_uid != owner)
    return 0;
  const UniqueFd memory(::open(("/proc/self/fd/" + std::to_string(there.get())).c_str(),
                               O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
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
