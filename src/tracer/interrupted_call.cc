// SPDX-License-Identifier: MIT
#include "tracer/interrupted_call.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "arch/short_write.h"
#include "tracer/ptrace.h"
#include "tracer/vdso_room.h"

namespace grab::tracer {
namespace {

// Kernel: a write to a terminal, a pipe or a stream socket returns how many bytes it has written
// when a signal or a tracer interrupts it; one to a file is not interrupted, and in others (a
// datagram, a device) a second call may mean something else. Source: signal(7),
// drivers/tty/tty_io.c iterate_tty_write, fs/pipe.c.
bool takes_the_rest(pid_t tid, int fd) {
  const std::string path = "/proc/" + std::to_string(tid) + "/fd/" + std::to_string(fd);
  struct stat file {};
  if (stat(path.c_str(), &file) != 0)
    return false;
  if (S_ISFIFO(file.st_mode) || S_ISSOCK(file.st_mode))
    return true;
  // Source: Documentation/admin-guide/devices.txt: consoles, /dev/tty and its kin, pts.
  constexpr unsigned kVirtual = 4, kAlternate = 5, kFirstPts = 136, kLastPts = 143;
  const unsigned device = major(file.st_rdev);
  return S_ISCHR(file.st_mode) && (device == kVirtual || device == kAlternate ||
                                   (device >= kFirstPts && device <= kLastPts));
}

/// Puts the code where it can stay, or finds it there; its address, 0 if there is no room.
std::uint64_t place(pid_t tid, const std::vector<std::byte>& code) {
  const std::optional<VdsoRoom> room = find_vdso_room(tid, 0);
  const UniqueFd mem = room ? open_memory(tid) : UniqueFd();
  if (!mem.valid())
    return 0;
  const auto size = static_cast<ssize_t>(code.size());
  const std::vector<std::byte> unused(code.size());
  std::vector<std::byte> there(code.size());
  std::uint64_t address = room->end;
  do {
    address -= code.size();
    if (address < first_rest(*room) ||
        pread(mem.get(), there.data(), there.size(), static_cast<off_t>(address)) != size)
      return 0;
    if (there == code)
      return address;
  } while (arch::is_rest_code(there));
  // Zero, or it is the table of a grab that was killed.
  if (there != unused ||
      pwrite(mem.get(), code.data(), code.size(), static_cast<off_t>(address)) != size)
    return 0;
  return address;
}

}  // namespace

void hide_interruption(pid_t tid) {
  const Result<arch::Registers> stopped = get_registers(tid);
  if (!stopped)
    return;
  arch::Registers resumed = arch::resume_by_kernel(*stopped);
  if (const auto cut = arch::short_write(*stopped); cut && takes_the_rest(tid, cut->fd)) {
    // The code first: a thread that is left alone between the two has its short count.
    const std::uint64_t code = place(tid, arch::rest_code(*stopped));
    if (code != 0)
      resumed = arch::write_the_rest(*stopped, code);
  }
  if (resumed != *stopped)
    (void)set_registers(tid, resumed);
}

}  // namespace grab::tracer
