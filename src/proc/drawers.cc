// SPDX-License-Identifier: MIT
#include "proc/drawers.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "proc/surroundings.h"

namespace grab::proc {
namespace {

namespace fs = std::filesystem;

// Kernel: the link /proc/PID/fd/N can be read and written by its owner as the descriptor can.
// Source: proc_pid_fd(5).
bool has_open(const fs::path& process, const std::string& path) {
  constexpr fs::perms kBoth = fs::perms::owner_read | fs::perms::owner_write;
  std::error_code error;
  for (fs::directory_iterator fd(process / "fd", error); !error && fd != end(fd);
       fd.increment(error)) {
    std::error_code closed;
    if (std::atoi(fd->path().filename().c_str()) > STDERR_FILENO &&
        fs::read_symlink(fd->path(), closed) == path &&
        (fd->symlink_status(closed).permissions() & kBoth) == kBoth)
      return true;
  }
  return false;
}

}  // namespace

std::vector<Drawer> drawers_on(const std::string& path, const std::vector<pid_t>& but) {
  std::vector<Drawer> drawers;
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error); !error && entry != end(entry);
       entry.increment(error)) {
    const pid_t pid = std::atoi(entry->path().filename().c_str());
    if (pid <= 0 || std::find(but.begin(), but.end(), pid) != but.end() ||
        !has_open(entry->path(), path))
      continue;
    // One of which nothing else can be read draws there, for all that is known.
    const auto stat = stat_of(pid);
    if (!stat || stat->tty == 0)
      drawers.push_back({pid, stat ? stat->comm : "?"});
  }
  return drawers;
}

}  // namespace grab::proc
