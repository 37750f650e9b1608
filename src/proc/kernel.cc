// SPDX-License-Identifier: MIT
#include "proc/kernel.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "base/fault.h"

namespace grab::proc {
namespace {

// 0: the same; 1, 2, 3: different; -1 with errno. Source: kcmp(2).
long kcmp(pid_t a, pid_t b, int type, std::uint64_t index_a, std::uint64_t index_b) {
  if (const int err = fault("kcmp", type, EPERM); err != 0) {
    errno = err;
    return -1;
  }
  return ::syscall(SYS_kcmp, a, b, type, index_a, index_b);
}

Order order_of(long kcmp_result) {
  switch (kcmp_result) {
    case 0:
      return Order::kSame;
    case 1:
      return Order::kBefore;
    case 2:
      return Order::kAfter;
    default:
      return Order::kUnknown;
  }
}

UniqueFd checked(long fd, int* err) {
  *err = fd < 0 ? errno : 0;
  return UniqueFd(static_cast<int>(fd));
}

}  // namespace

UniqueFd open_at(int dir_fd, const char* path, int flags, int* err) {
  if ((*err = fault("openat", path, ENFILE)) != 0)
    return UniqueFd();
  return checked(::openat(dir_fd, path, flags | O_CLOEXEC), err);
}

int read_whole(int fd, std::string& out) {
  if (const int err = fault("read", "", EIO); err != 0)
    return err;
  // Kernel: a text file of /proc is made record by record in a buffer of a page, and larger only
  // for a larger record; a read gives all that fits. No record of the files with more than one is
  // longer than half a page, so that less than that is all there is, and the read that would give 0
  // bytes is spared. Source: fs/seq_file.c seq_read_iter().
  constexpr std::size_t kStep = 4096;
  std::size_t used = 0;
  while (true) {
    if (out.size() < used + kStep)
      out.resize(used + kStep);
    const ssize_t n = ::pread(fd, out.data() + used, out.size() - used, static_cast<off_t>(used));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return errno;
    used += static_cast<std::size_t>(n);
    if (static_cast<std::size_t>(n) < kStep / 2)
      break;
  }
  out.resize(used);
  return 0;
}

int read_whole_at(int dir_fd, const char* path, std::string& out) {
  int err = 0;
  const UniqueFd file = open_at(dir_fd, path, O_RDONLY, &err);
  return file.valid() ? read_whole(file.get(), out) : err;
}

int list_numbers(int directory_fd, std::vector<int>& out) {
  out.clear();
  if (const int err = fault("getdents", "", ENOMEM); err != 0)
    return err;
  if (::lseek(directory_fd, 0, SEEK_SET) < 0)
    return errno;
  constexpr std::size_t kRoom = 32768;  // as much as glibc's readdir(3) takes
  alignas(dirent64) static thread_local std::array<char, kRoom> buffer;
  while (true) {
    const ssize_t n = ::getdents64(directory_fd, buffer.data(), buffer.size());
    if (n < 0)
      return errno;
    if (n == 0)
      break;
    for (std::size_t at = 0; at < static_cast<std::size_t>(n);) {
      const char* const entry = buffer.data() + at;
      unsigned short length = 0;
      std::memcpy(&length, entry + offsetof(dirent64, d_reclen), sizeof length);
      at += length;
      const char* const name = entry + offsetof(dirent64, d_name);
      const char* const end = name + std::strlen(name);
      int value = 0;
      const auto [rest, error] = std::from_chars(name, end, value);
      if (error == std::errc() && rest == end)
        out.push_back(value);
    }
  }
  std::sort(out.begin(), out.end());
  return 0;
}

UniqueFd open_pidfd(pid_t pid, bool thread, int* err) {
  if ((*err = fault("pidfd_open", pid, EMFILE)) != 0)
    return UniqueFd();
  const unsigned flags = thread ? O_EXCL : 0;  // PIDFD_THREAD is O_EXCL; old headers lack it
  return checked(::syscall(SYS_pidfd_open, pid, flags), err);
}

UniqueFd copy_of(int pidfd, int fd, int* err) {
  if ((*err = fault("pidfd_getfd", fd, EMFILE)) != 0)
    return UniqueFd();
  return checked(::syscall(SYS_pidfd_getfd, pidfd, fd, 0), err);
}

// Kernel: fstat(2) of a file of FUSE waits for its server, and so does close(2) of any copy of its
// descriptor (FUSE_FLUSH); when the server is of the tree and stands, that is for ever -> stat(2)
// by the name in /proc, which opens nothing, and with AT_STATX_DONT_SYNC. Source: statx(2),
// fs/fuse/dir.c fuse_update_get_attr(), fs/fuse/file.c fuse_flush(); seen.
int describe_at(int dir_fd, const char* name, struct stat& st) {
  if (const int err = fault("statx", name, EIO); err != 0)
    return err;
  struct statx known {};
  constexpr int kFlags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
  if (::statx(dir_fd, name, kFlags, STATX_BASIC_STATS, &known) != 0)
    return errno;
  st = {};
  st.st_mode = known.stx_mode;
  st.st_ino = known.stx_ino;
  st.st_dev = makedev(known.stx_dev_major, known.stx_dev_minor);
  st.st_rdev = makedev(known.stx_rdev_major, known.stx_rdev_minor);
  st.st_ctim.tv_sec = known.stx_ctime.tv_sec;
  st.st_ctim.tv_nsec = known.stx_ctime.tv_nsec;
  return 0;
}

Order compare_descriptions(pid_t self, int our_fd, pid_t pid, int fd) {
  return order_of(kcmp(self, pid, KCMP_FILE, static_cast<std::uint64_t>(our_fd),
                       static_cast<std::uint64_t>(fd)));
}

Result<bool> same_fd_table(pid_t a, pid_t b) {
  const long order = kcmp(a, b, KCMP_FILES, 0, 0);
  if (order < 0) {
    return fail_errno(errno, "kcmp, whether " + std::to_string(a) + " and " + std::to_string(b) +
                                 " share their descriptors");
  }
  return order == 0;
}

bool same_address_space(pid_t a, pid_t b) {
  return kcmp(a, b, KCMP_VM, 0, 0) == 0;
}

Order compare_epoll_target(int our_fd, pid_t pid, int epoll_fd, int target_fd, unsigned nth) {
  kcmp_epoll_slot slot{static_cast<std::uint32_t>(epoll_fd), static_cast<std::uint32_t>(target_fd),
                       nth};
  return order_of(kcmp(::getpid(), pid, KCMP_EPOLL_TFD, static_cast<std::uint64_t>(our_fd),
                       reinterpret_cast<std::uintptr_t>(&slot)));
}

// Kernel: such a lock belongs to the table of descriptors, so another process with the same one may
// be named as its holder, and one that we do not see is named 0. Source: fs/locks.c
// lock_get_status().
bool may_hold_record_lock(pid_t pid) {
  std::ifstream locks("/proc/locks");
  if (!locks)
    return true;
  for (std::string line; std::getline(locks, line);) {
    std::istringstream words(line);
    std::string number, kind, advisory, access;
    pid_t holder = 0;
    if (!(words >> number >> kind) || kind != "POSIX")
      continue;  // "->" is one who waits
    if (!(words >> advisory >> access >> holder) || holder <= 0 || holder == pid ||
        same_fd_table(holder, pid).value_or(false))
      return true;
  }
  return false;
}

bool is_reaped(int pidfd) {
  return ::syscall(SYS_pidfd_send_signal, pidfd, 0, nullptr, 0) < 0 && errno == ESRCH;
}

}  // namespace grab::proc
