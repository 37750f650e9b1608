// SPDX-License-Identifier: MIT
#include "base/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace grab {
namespace {

UniqueFd create_empty() {
  return UniqueFd(::memfd_create("grab", MFD_CLOEXEC));
}

/// Of a file that a server in user space may have (FUSE), which could keep us waiting: what the
/// kernel knows without asking. Source: statx(2) AT_STATX_DONT_SYNC.
bool look_at(int fd, struct statx& found) {
  constexpr unsigned kWanted = STATX_TYPE | STATX_UID | STATX_SIZE;
  return ::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, kWanted, &found) == 0 &&
         (found.stx_mask & kWanted) == kWanted;
}

}  // namespace

Result<UniqueFd> create_shared_memory(std::size_t size) {
  UniqueFd memory = create_empty();
  if (!memory.valid() || ::ftruncate(memory.get(), static_cast<off_t>(size)) != 0)
    return fail_errno(errno, "making shared memory");
  return memory;
}

// Kernel: what is opened with O_PATH is not opened as a device, FIFO or file is: nobody notices,
// and nothing is waited for. What memfd_create(2) makes is in a file system that is mounted nowhere
// -> no other file has its device number, and reading one does not wait. Opening /proc/self/fd/N
// opens that very file. Source: open(2), mm/shmem.c shmem_init(); seen.
UniqueFd open_shared_memory(const std::string& path, uid_t owner, std::size_t size, int flags) {
  const UniqueFd there(::open(path.c_str(), O_PATH | O_CLOEXEC));
  const UniqueFd own = create_empty();
  struct statx found {
  }, made{};
  if (!there.valid() || !own.valid() || !look_at(there.get(), found) || !look_at(own.get(), made) ||
      !S_ISREG(found.stx_mode) || found.stx_dev_major != made.stx_dev_major ||
      found.stx_dev_minor != made.stx_dev_minor || found.stx_size != size || found.stx_uid != owner)
    return {};
  return UniqueFd(::open(("/proc/self/fd/" + std::to_string(there.get())).c_str(),
                         flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

}  // namespace grab
