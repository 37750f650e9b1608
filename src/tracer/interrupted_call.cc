// SPDX-License-Identifier: MIT
#include "tracer/interrupted_call.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "arch/short_write.h"
#include "arch/timed_wait.h"
#include "proc/surroundings.h"
#include "tracer/ptrace.h"
#include "tracer/vdso_room.h"

namespace grab::tracer {
namespace {

using std::chrono::nanoseconds;

/// What descriptor `fd` of the thread is, of no type where that cannot be told.
struct stat file_behind(pid_t tid, int fd) {
  const std::string path = "/proc/" + std::to_string(tid) + "/fd/" + std::to_string(fd);
  struct stat file {};
  if (stat(path.c_str(), &file) != 0)
    file.st_mode = 0;
  return file;
}

bool is_socket(pid_t tid, int fd) {
  return S_ISSOCK(file_behind(tid, fd).st_mode);
}

// Kernel: a write to a terminal, a pipe or a stream socket returns how many bytes it has written
// when a signal or a tracer interrupts it; one to a file is not interrupted, and in others (a
// datagram, a device) a second call may mean something else. Source: signal(7),
// drivers/tty/tty_io.c iterate_tty_write, fs/pipe.c.
bool takes_the_rest(pid_t tid, int fd) {
  const struct stat file = file_behind(tid, fd);
  if (S_ISFIFO(file.st_mode) || S_ISSOCK(file.st_mode))
    return true;
  // Source: Documentation/admin-guide/devices.txt: consoles, /dev/tty and its kin, pts.
  constexpr unsigned kVirtual = 4, kAlternate = 5, kFirstPts = 136, kLastPts = 143;
  const unsigned device = major(file.st_rdev);
  return S_ISCHR(file.st_mode) && (device == kVirtual || device == kAlternate ||
                                   (device >= kFirstPts && device <= kLastPts));
}

bool read_at(int mem_fd, std::uint64_t address, void* out, std::size_t size) {
  return pread(mem_fd, out, size, static_cast<off_t>(address)) == static_cast<ssize_t>(size);
}

bool write_at(int mem_fd, std::uint64_t address, const std::vector<std::byte>& bytes) {
  return pwrite(mem_fd, bytes.data(), bytes.size(), static_cast<off_t>(address)) ==
         static_cast<ssize_t>(bytes.size());
}

/// Puts the code where it can stay, or finds it there; its address, 0 if there is no room.
/// `made_for` gives it for each address that is tried.
std::uint64_t place(pid_t tid, int mem_fd,
                    const std::function<std::vector<std::byte>(std::uint64_t)>& made_for) {
  const std::optional<VdsoRoom> room = find_vdso_room(tid, mem_fd, 0);
  const std::size_t size = room ? kept_code_size(*room) : 0;
  const std::vector<std::byte> unused(size);
  std::vector<std::byte> there(size);
  std::vector<std::byte> code;
  std::uint64_t address = room ? room->end : 0;
  do {
    address -= size;
    if (!room || address < first_kept_code(*room) ||
        !read_at(mem_fd, address, there.data(), there.size()))
      return 0;
    code = made_for(address);
    if (code.size() != size)
      return 0;
    if (there == code)
      return address;
  } while (arch::is_kept_code(there));
  // Zero, or it is the table of a grab that was killed.
  return there == unused && write_at(mem_fd, address, code) ? address : 0;
}

std::uint64_t place(pid_t tid, int mem_fd, const std::vector<std::byte>& code) {
  return place(tid, mem_fd, [&code](std::uint64_t) { return code; });
}

/// Where the thread is in a wait_code() of an earlier move, gives that code the new rest.
std::uint64_t place_again(pid_t tid, int mem_fd, std::uint64_t code, nanoseconds rest) {
  const std::optional<VdsoRoom> room = find_vdso_room(tid, mem_fd, 0);
  std::vector<std::byte> there(arch::kKeptCodeSize);
  if (!room || code < first_kept_code(*room) || code > room->end - there.size() ||
      !read_at(mem_fd, code, there.data(), there.size()) || !arch::is_wait_code(there))
    return 0;
  return write_at(mem_fd, code, arch::with_rest(std::move(there), rest)) ? code : 0;
}

/// The whole timeout of a wait, as far as anyone waits; nothing if it is none.
std::optional<nanoseconds> timeout_of(int mem_fd, const arch::TimedWait& wait) {
  if (wait.address == 0)
    return wait.timeout;
  timespec timeout{};
  constexpr long kDecades = 1'000'000'000;
  if (!read_at(mem_fd, wait.address, &timeout, sizeof timeout) || timeout.tv_sec < 0 ||
      timeout.tv_nsec < 0 || timeout.tv_nsec >= std::nano::den)
    return std::nullopt;
  return std::chrono::seconds(std::min(timeout.tv_sec, kDecades)) + nanoseconds(timeout.tv_nsec);
}

/// Its registers for going on with the wait of which `waited` is over; those it has if that is not
/// possible.
arch::Registers wait_on(pid_t tid, const arch::Registers& stopped, const arch::TimedWait& wait,
                        nanoseconds waited) {
  const UniqueFd mem = open_memory(tid);
  const auto whole = mem.valid() ? timeout_of(mem.get(), wait) : std::nullopt;
  // One that is all but over may have ended since it was seen, and this be the next.
  constexpr auto kDoubt = std::chrono::milliseconds(2);
  constexpr int kDoubtOfLong = 64;  // see BegunWaits::waited(): it may have been in it for longer
  if (!whole || waited + waited / kDoubtOfLong + kDoubt >= *whole)
    return stopped;
  const nanoseconds rest = *whole - waited;
  std::uint64_t code = place_again(tid, mem.get(), arch::call_address(stopped), rest);
  if (code == 0)
    code = place(tid, mem.get(), arch::wait_code(stopped, rest));
  return code != 0 ? arch::wait_the_rest(stopped, code, rest) : stopped;
}

/// Another call than the thread has made may be another thing to a filter.
bool is_filtered(pid_t tid) {
  const auto status = proc::status_of(tid);
  return !status || status->seccomp != 0;
}

/// Its registers for writing the rest of a writev(2); those it has if that is not possible.
arch::Registers write_vector_on(pid_t tid, int mem_fd, const arch::Registers& stopped,
                                const arch::ShortWrite& cut) {
  std::vector<iovec> vector(cut.elements);
  if (!read_at(mem_fd, cut.vector, vector.data(), vector.size() * sizeof(iovec)))
    return stopped;
  const auto rest = arch::vector_rest(vector, cut.written);
  if (!rest || is_filtered(tid))
    return stopped;
  const std::uint64_t behind = place(tid, mem_fd, arch::rest_of_vector_code(stopped, *rest));
  std::uint64_t code = behind;
  if (rest->size != 0 && behind != 0) {
    code = place(tid, mem_fd, [&](std::uint64_t address) {
      return arch::rest_of_element_code(stopped, *rest,
                                        static_cast<std::int64_t>(behind - address));
    });
  }
  return code != 0 ? arch::write_the_rest_of_vector(stopped, *rest, code) : stopped;
}

/// The same for any call that was cut short.
arch::Registers write_on(pid_t tid, const arch::Registers& stopped, const arch::ShortWrite& cut) {
  const UniqueFd mem = open_memory(tid);
  if (!mem.valid())
    return stopped;
  if (cut.elements != 0)
    return write_vector_on(tid, mem.get(), stopped, cut);
  const std::uint64_t code = place(tid, mem.get(), arch::rest_code(stopped));
  return code != 0 && arch::reaches(stopped, code) ? arch::write_the_rest(stopped, code) : stopped;
}

}  // namespace

void hide_interruption(pid_t tid, const BegunWaits& waits) {
  const Result<arch::Registers> stopped = get_registers(tid);
  if (!stopped)
    return;
  arch::Registers resumed = arch::resume_by_kernel(*stopped);
  // The code first: a thread that is left alone between code and registers has its short count, or
  // EINTR.
  if (const auto cut = arch::short_write(*stopped); cut && takes_the_rest(tid, cut->fd)) {
    resumed = write_on(tid, *stopped, *cut);
  } else if (const auto fd = arch::interrupted_read(*stopped); fd && is_socket(tid, *fd)) {
    resumed = arch::made_again(*stopped);
  } else if (const auto wait = arch::timed_wait(*stopped)) {
    if (const auto waited = waits.waited(tid))
      resumed = wait_on(tid, *stopped, *wait, *waited);
  }
  if (resumed != *stopped)
    (void)set_registers(tid, resumed);
}

}  // namespace grab::tracer
