// SPDX-License-Identifier: MIT
#include "relay/proc_info.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <string>

namespace grab::relay {
namespace {

// PIDFD_GET_INFO of <linux/pidfd.h>, which is newer than the headers we build with.
struct PidfdInfo {
  std::uint64_t mask, cgroup_id;
  std::uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  std::int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64, "PIDFD_INFO_SIZE_VER0, part of the ioctl's number");
constexpr unsigned kPidfdMagic = 0xFF;
constexpr unsigned long kPidfdGetInfo = _IOWR(kPidfdMagic, 11, PidfdInfo);
constexpr std::uint64_t kPidfdInfoExit = 1U << 3;

std::optional<std::string> read_proc(pid_t pid, const char* name) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid())
    return std::nullopt;
  std::string text;
  std::array<char, 4096> part{};
  ssize_t n = 0;
  while ((n = ::read(file.get(), part.data(), part.size())) > 0)
    text.append(part.data(), static_cast<std::size_t>(n));
  if (n < 0)
    return std::nullopt;
  return text;
}

template <class Number>
std::optional<Number> number(std::string_view text, int base = 10) {
  Number value{};
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (result.ec != std::errc{})
    return std::nullopt;
  return value;
}

// The text behind "KEY:\t" in a line of its own.
std::optional<std::string_view> status_field(std::string_view text, std::string_view key) {
  const std::string start = "\n" + std::string(key) + ":\t";
  const std::size_t at = text.find(start);
  if (at == std::string_view::npos)
    return std::nullopt;
  const std::string_view rest = text.substr(at + start.size());
  return rest.substr(0, rest.find('\n'));
}

// Kernel: the exit code in /proc/PID/stat reads 0 for those who may not ptrace the process, which
// looks like success. Source: fs/proc/array.c do_task_stat(), ptrace(2) "access mode checking".
bool stat_shows_exit_code(pid_t pid) {
  if (::geteuid() == 0)
    return true;
  const auto text = read_proc(pid, "status");
  const auto all_are = [&](const char* field, unsigned id) {
    const std::string own = std::to_string(id);
    return text && status_field(*text, field) == own + "\t" + own + "\t" + own + "\t" + own;
  };
  return all_are("Uid", ::geteuid()) && all_are("Gid", ::getegid());
}

}  // namespace

std::optional<ProcStat> parse_stat(std::string_view text) {
  // As proc_pid_stat(5) counts.
  constexpr std::size_t kState = 3, kParent = 4, kGroup = 5, kTerminal = 7, kForeground = 8,
                        kStartTime = 22, kExitCode = 52;
  const std::size_t comm_end = text.rfind(") ");
  if (comm_end == std::string_view::npos)
    return std::nullopt;
  std::string_view rest = text.substr(comm_end + 2);
  ProcStat stat;
  std::array<std::int64_t, kExitCode + 1> fields{};
  for (std::size_t field = kState; field <= kExitCode; ++field) {
    const std::string_view word = rest.substr(0, rest.find_first_of(" \n"));
    if (word.empty())
      return std::nullopt;
    rest.remove_prefix(std::min(word.size() + 1, rest.size()));
    if (field == kState) {
      stat.state = word[0];
    } else if (field <= kForeground || field == kStartTime || field == kExitCode) {
      const auto value = number<std::int64_t>(word);
      if (!value)
        return std::nullopt;
      fields[field] = *value;
    }
  }
  stat.ppid = static_cast<pid_t>(fields[kParent]);
  stat.pgid = static_cast<pid_t>(fields[kGroup]);
  stat.terminal = static_cast<unsigned>(fields[kTerminal]);
  stat.foreground_pgid = static_cast<pid_t>(fields[kForeground]);
  stat.start_time = static_cast<std::uint64_t>(fields[kStartTime]);
  stat.exit_code = static_cast<int>(fields[kExitCode]);
  return stat;
}

std::optional<ProcStat> read_stat(pid_t pid) {
  const auto text = read_proc(pid, "stat");
  return text ? parse_stat(*text) : std::nullopt;
}

std::optional<ProcSignals> parse_signals(std::string_view text) {
  ProcSignals signals;
  for (const std::string_view key : {"SigPnd", "ShdPnd", "SigIgn", "SigCgt"}) {
    const auto field = status_field(text, key);
    const auto value = field ? number<std::uint64_t>(*field, 16) : std::nullopt;
    if (!value)
      return std::nullopt;
    (key == "SigIgn"   ? signals.ignored
     : key == "SigCgt" ? signals.caught
                       : signals.pending) |= *value;
  }
  return signals;
}

std::optional<ProcSignals> read_signals(pid_t pid) {
  const auto text = read_proc(pid, "status");
  return text ? parse_signals(*text) : std::nullopt;
}

// Kernel: "NUMBER ARGUMENT..." of the call that a sleeping thread is in, "running" else. Source:
// proc_pid_syscall(5).
std::optional<int> reads_from(pid_t pid) {
  const auto text = read_proc(pid, "syscall");
  const std::string start = std::to_string(SYS_read) + " 0x";
  if (!text || text->rfind(start, 0) != 0)
    return std::nullopt;
  const std::string_view rest = std::string_view(*text).substr(start.size());
  return number<int>(rest.substr(0, rest.find(' ')), 16);
}

dev_t device_of(pid_t pid, int fd) {
  struct stat info {};
  const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
  return ::stat(path.c_str(), &info) == 0 ? info.st_rdev : 0;
}

// The pidfd is opened first: if the start time still fits afterwards, it is of that process.
Result<UniqueFd> open_pidfd(const ProcessRef& process) {
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0U)));
  if (!pidfd.valid()) {
    if (errno == ESRCH || errno == EINVAL)  // EINVAL: only a thread has that number now
      return UniqueFd();
    return fail_errno(errno, "pidfd_open of " + std::to_string(process.pid));
  }
  const auto stat = read_stat(process.pid);
  if (!stat || (process.start_time != 0 && stat->start_time != process.start_time))
    return UniqueFd();
  return pidfd;
}

bool has_ended(int pidfd) {
  pollfd poll{pidfd, POLLIN, 0};
  return ::poll(&poll, 1, 0) == 1;
}

// Kernel: the two sources never overlap and leave no gap. While the process is a zombie, the last
// field of /proc/PID/stat is its wait status and PIDFD_GET_INFO does not answer PIDFD_INFO_EXIT
// (seen on 6.18: mask 0x7, code 0); once it has been reaped /proc/PID is gone and PIDFD_GET_INFO
// answers (mask 0xc, code 0x300 for exit(3), 0x9 for SIGKILL). It is asked in that order because
// the process may be reaped in between, never the other way round. Before Linux 6.15 a status that
// was reaped is lost: ENOTTY, or ESRCH from 6.13 on. Source: kernel commit "pidfs: allow to
// retrieve exit information", proc_pid_stat(5).
std::optional<int> wait_status(const ProcessRef& process, int pidfd) {
  const bool shown = stat_shows_exit_code(process.pid);
  const auto stat = read_stat(process.pid);
  const bool same = stat && (process.start_time == 0 || stat->start_time == process.start_time);
  if (same && stat->state == 'Z' && shown)
    return stat->exit_code;
  PidfdInfo info{};
  info.mask = kPidfdInfoExit;
  if (::ioctl(pidfd, kPidfdGetInfo, &info) == 0 && (info.mask & kPidfdInfoExit) != 0)
    return info.exit_code;
  return std::nullopt;
}

}  // namespace grab::relay
