// SPDX-License-Identifier: MIT
#include "proc/surroundings.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "proc/census.h"
#include "proc/details.h"
#include "proc/kernel.h"
#include "proc/old_terminal.h"
#include "proc/parse.h"
#include "proc/process_files.h"

namespace grab::proc {
namespace {

// Room for the few files of one process read once.
constexpr std::size_t kFewFiles = 1024;

std::uint64_t permitted_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0)
    return 0;
  constexpr unsigned kBits = 32;
  return sets[0].permitted | static_cast<std::uint64_t>(sets[1].permitted) << kBits;
}

bool is_ptmx_link(int fd_directory, const std::string& number) {
  std::array<char, 256> link{};
  const ssize_t length = ::readlinkat(fd_directory, number.c_str(), link.data(), link.size());
  return length > 0 &&
         std::string_view(link.data(), static_cast<std::size_t>(length)).ends_with("ptmx");
}

// We may have thousands of descriptors, all our own to ask.
bool is_own_ptmx(int fd, int index) {
  int number = -1;
  return ::ioctl(fd, TIOCGPTN, &number) == 0 && number == index;
}

// Kernel: the fdinfo of a ptmx, and of nothing else, has "tty-index", the N of its /dev/pts/N.
// Another devpts instance can have the same N: then one keeper too many is named.
// Source: proc_pid_fdinfo(5), drivers/tty/pty.c pty_show_fdinfo(), Linux >= 4.14.
bool keeps_ptmx(pid_t pid, int index) {
  FileBudget budget(kFewFiles);
  ProcessFiles files(pid, budget);
  const Result<std::vector<int>> fds = files.list_fds();
  if (!fds)
    return false;
  if (pid == ::getpid()) {
    return std::any_of(fds->begin(), fds->end(),
                       [index](int fd) { return is_own_ptmx(fd, index); });
  }
  const Result<UsableFd> directory = files.fd_directory();
  if (!directory)
    return false;
  std::string text;
  for (const int fd : *fds) {
    const std::string number = std::to_string(fd);
    if (!is_ptmx_link(directory->get(), number) || !files.read(("fdinfo/" + number).c_str(), text))
      continue;
    const Result<FdInfo> info = parse_fdinfo(text);
    if (info && info->tty_index == index)
      return true;
  }
  return false;
}

}  // namespace

std::optional<Stat> stat_of(pid_t pid) {
  std::string text;
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  if (read_whole_at(AT_FDCWD, path.c_str(), text) != 0)
    return std::nullopt;
  Result<Stat> stat = parse_stat(text);
  return stat ? std::optional(std::move(*stat)) : std::nullopt;
}

std::optional<Status> status_of(pid_t pid) {
  std::string text;
  const std::string path = "/proc/" + std::to_string(pid) + "/status";
  if (read_whole_at(AT_FDCWD, path.c_str(), text) != 0)
    return std::nullopt;
  Result<Status> status = parse_status(text);
  return status ? std::optional(std::move(*status)) : std::nullopt;
}

pid_t tracer_of(pid_t tid) {
  const std::optional<Status> status = status_of(tid);
  return status ? status->tracer : 0;
}

std::string environment_of(pid_t pid, std::string_view name) {
  std::string text;
  const std::string path = "/proc/" + std::to_string(pid) + "/environ";
  if (read_whole_at(AT_FDCWD, path.c_str(), text) != 0)
    return {};
  text.insert(text.begin(), '\0');
  const std::string key = '\0' + std::string(name) + '=';
  const std::size_t at = text.find(key);
  if (at == std::string::npos)
    return {};
  const std::size_t begin = at + key.size();
  return text.substr(begin, text.find('\0', begin) - begin);
}

std::vector<pid_t> lineage_of(pid_t pid) {
  std::vector<pid_t> lineage;
  while (pid > 0 && std::find(lineage.begin(), lineage.end(), pid) == lineage.end()) {
    lineage.push_back(pid);
    const std::optional<Stat> stat = stat_of(pid);
    pid = stat ? stat->ppid : 0;
  }
  return lineage;
}

std::vector<pid_t> ptmx_keepers(dev_t device, const std::vector<pid_t>& likely) {
  std::vector<pid_t> keepers;
  constexpr std::string_view kPts = "/dev/pts/";
  const std::string path = device == 0 ? "" : terminal_path(device);
  if (!path.starts_with(kPts))
    return keepers;
  const int index = std::atoi(path.c_str() + kPts.size());
  for (const pid_t pid : likely) {
    if (keeps_ptmx(pid, index))
      keepers.push_back(pid);
  }
  if (keepers.empty()) {
    const Result<std::vector<CensusEntry>> all = Census().take();
    for (const CensusEntry& entry : all ? *all : std::vector<CensusEntry>()) {
      if (keeps_ptmx(entry.pid, index))
        keepers.push_back(entry.pid);
    }
  }
  std::sort(keepers.begin(), keepers.end());
  return keepers;
}

Self read_self() {
  Self self;
  const pid_t pid = ::getpid();
  self.pid = pid;
  self.lineage = lineage_of(pid);
  self.euid = ::geteuid();
  self.permitted = permitted_capabilities();
  if (const std::optional<Stat> stat = stat_of(pid))
    self.terminal = stat->tty;
  self.terminal_keepers = ptmx_keepers(self.terminal, self.lineage);
  std::string text;
  if (read_whole_at(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", text) == 0)
    self.yama_scope = std::atoi(text.c_str());
  FileBudget budget(kFewFiles);
  ProcessFiles files(pid, budget);
  bool denied = false;
  self.ns = read_namespaces(files, &denied);
  return self;
}

Result<Process> read_outside_process(pid_t pid) {
  FileBudget budget(kFewFiles);
  ProcessFiles files(pid, budget);
  Process process;
  GRAB_CHECK(read_basics(files, process));
  if (!process.is_zombie()) {
    GRAB_TRY(process.tids, files.list_threads());
    // Kernel: who may not trace it may not look there either. Source: proc(5), PTRACE_MODE_READ.
    const std::string descriptors = "/proc/" + std::to_string(pid) + "/fd";
    process.readable = ::access(descriptors.c_str(), R_OK | X_OK) == 0 || errno != EACCES;
  }
  return process;
}

}  // namespace grab::proc
