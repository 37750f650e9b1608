// SPDX-License-Identifier: MIT
#include "proc/parse.h"

#include <elf.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <system_error>

namespace grab::proc {
namespace {

// All of `text` is one number of type T in that base, or nothing.
template <class T>
std::optional<T> number(std::string_view text, int base = 10) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value, base);
  if (error != std::errc() || rest != end)
    return std::nullopt;
  return value;
}

// Cuts off and returns what stands before the next `separator` (all of it where there is none).
std::string_view take(std::string_view& text, char separator) {
  const std::size_t at = text.find(separator);
  const std::string_view head = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return head;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t";
  const std::size_t from = text.find_first_not_of(kBlank);
  if (from == std::string_view::npos)
    return {};
  return text.substr(from, text.find_last_not_of(kBlank) - from + 1);
}

// Numbers out of fields; remembers whether every one of them was good.
class Fields {
 public:
  template <class T>
  void read(std::string_view field, T& out, int base = 10) {
    const std::optional<T> value = number<T>(field, base);
    good_ = good_ && value.has_value();
    out = value.value_or(T{});
  }
  void require(bool condition) { good_ = good_ && condition; }
  [[nodiscard]] bool good() const { return good_; }

 private:
  bool good_ = true;
};

tl::unexpected<Error> malformed(const char* file) {
  return fail(ErrorKind::kSystem, std::string("malformed ") + file);
}

// Positions in /proc/PID/stat, counted from 1 as proc_pid_stat(5) does.
enum StatField : std::size_t {
  kPid = 1,
  kComm = 2,
  kState = 3,
  kPpid = 4,
  kPgrp = 5,
  kSession = 6,
  kTtyNr = 7,
  kTpgid = 8,
  kFlags = 9,
  kNumThreads = 20,
  kStarttime = 22,
  kProcessor = 39,
  kExitCode = 52,
};

// The fields of a stat, by their positions; none if it is malformed.
std::vector<std::string_view> split_stat(std::string_view text) {
  // Kernel: comm stands as it is, and may hold any byte but NUL; only after the last ')' can there
  // be no other. The newline at the end shows that nothing was cut off. Source: proc_pid_stat(5).
  const std::size_t open = text.find('(');
  const std::size_t close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open ||
      open < 1 || text[open - 1] != ' ' || text.back() != '\n' || text.substr(close + 1, 1) != " ")
    return {};
  std::vector<std::string_view> fields{
      {}, text.substr(0, open - 1), text.substr(open + 1, close - open - 1)};
  std::string_view rest = text.substr(close + 2, text.size() - close - 3);
  while (!rest.empty())
    fields.push_back(take(rest, ' '));
  if (fields.size() <= kExitCode || fields[kState].size() != 1)
    return {};
  return fields;
}

void read_ids(Fields& fields, std::string_view value, Ids& ids) {
  std::string_view words = trim(value);
  for (unsigned* id : {&ids.real, &ids.effective, &ids.saved, &ids.fs})
    fields.read(trim(take(words, '\t')), *id);
  fields.require(words.empty());
}

void read_numbers(Fields& fields, std::string_view value, std::vector<pid_t>& numbers) {
  std::string_view words = trim(value);
  while (!words.empty())
    fields.read(trim(take(words, '\t')), numbers.emplace_back());
}

// The lines of a status that grab needs: eight that are always there, once each, and some more.
class StatusReader {
 public:
  void read(std::string_view key, std::string_view value) {
    if (key == "Uid")
      read_ids(once(0), value, status_.uid);
    else if (key == "Gid")
      read_ids(once(1), value, status_.gid);
    else if (key == "TracerPid")
      once(2).read(trim(value), status_.tracer);
    else if (key == "SigPnd")
      once(3).read(trim(value), status_.pending.bits, kHex);
    else if (key == "ShdPnd")
      once(4).read(trim(value), status_.shared_pending.bits, kHex);
    else if (key == "SigBlk")
      once(5).read(trim(value), status_.blocked.bits, kHex);
    else if (key == "SigIgn")
      once(6).read(trim(value), status_.ignored.bits, kHex);
    else if (key == "SigCgt")
      once(7).read(trim(value), status_.caught.bits, kHex);
    else if (key == "CapEff")
      fields_.read(trim(value), status_.capabilities, kHex);
    else if (key == "NStgid")
      read_numbers(fields_, value, status_.ns_pids);
    else if (key == "NSpid")
      read_numbers(fields_, value, status_.ns_tids);
    else if (key == "NSpgid")
      read_numbers(fields_, value, status_.ns_pgids);
    else if (key == "Seccomp")
      fields_.read(trim(value), status_.seccomp);
    else if (key == "nonvoluntary_ctxt_switches")
      complete_ = true;
  }
  [[nodiscard]] bool good() const { return fields_.good() && seen_ == kAllSeen && complete_; }
  [[nodiscard]] const Status& status() const { return status_; }

 private:
  static constexpr int kHex = 16;
  static constexpr unsigned kAllSeen = 0xFF;

  Fields& once(unsigned line) {
    fields_.require((seen_ & (1U << line)) == 0);
    seen_ |= 1U << line;
    return fields_;
  }

  Status status_;
  Fields fields_;
  unsigned seen_ = 0;
  bool complete_ = false;
};

// "tfd: %8d events: %8x data: %16llx  pos:%lli ino:%lx sdev:%x"; before Linux 4.13 up to data.
std::optional<EpollTarget> parse_tfd(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const std::string_view word = take(line, ' ');
    if (!word.empty())
      words.push_back(word);
  }
  constexpr std::size_t kUpToData = 6;
  if (words.size() < kUpToData || words[0] != "tfd:" || words[2] != "events:" ||
      words[4] != "data:")
    return std::nullopt;
  constexpr int kHex = 16;
  Fields fields;
  EpollTarget target;
  fields.read(words[1], target.fd);
  fields.read(words[3], target.events, kHex);
  fields.read(words[5], target.data, kHex);
  fields.require(target.fd >= 0);
  constexpr std::string_view kInode = "ino:";
  for (std::size_t i = kUpToData; i < words.size(); ++i) {
    if (words[i].starts_with(kInode))
      fields.read(words[i].substr(kInode.size()), target.inode, kHex);
  }
  return fields.good() ? std::optional(target) : std::nullopt;
}

}  // namespace

dev_t decode_device(std::uint32_t encoded) {
  // Kernel: new_encode_dev() puts the major into bits 8-19 and the minor into bits 0-7 and 20-31,
  // unlike dev_t of the C library. Source: proc_pid_stat(5) tty_nr, include/linux/kdev_t.h.
  const std::uint32_t major_number = (encoded >> 8U) & 0xFFFU;
  const std::uint32_t minor_number = (encoded & 0xFFU) | ((encoded >> 12U) & 0xFFF00U);
  return makedev(major_number, minor_number);
}

Result<Stat> parse_stat(std::string_view text) {
  const std::vector<std::string_view> fields_of = split_stat(text);
  if (fields_of.empty())
    return malformed("/proc/PID/stat");
  Fields fields;
  Stat stat;
  fields.read(fields_of[kPid], stat.pid);
  stat.comm = fields_of[kComm];
  stat.state = fields_of[kState][0];
  fields.read(fields_of[kPpid], stat.ppid);
  fields.read(fields_of[kPgrp], stat.pgid);
  fields.read(fields_of[kSession], stat.sid);
  std::int32_t tty_nr = 0;
  fields.read(fields_of[kTtyNr], tty_nr);
  stat.tty = tty_nr == 0 ? 0 : decode_device(static_cast<std::uint32_t>(tty_nr));
  fields.read(fields_of[kTpgid], stat.tpgid);
  fields.read(fields_of[kFlags], stat.flags);
  fields.read(fields_of[kNumThreads], stat.num_threads);
  fields.read(fields_of[kStarttime], stat.start_time);
  fields.read(fields_of[kExitCode], stat.exit_code);
  if (!fields.good())
    return malformed("/proc/PID/stat");
  return stat;
}

Result<int> parse_stat_processor(std::string_view text) {
  const std::vector<std::string_view> fields_of = split_stat(text);
  if (!fields_of.empty()) {
    if (const auto processor = number<int>(fields_of[kProcessor]))
      return *processor;
  }
  return malformed("/proc/PID/stat");
}

Result<Status> parse_status(std::string_view text) {
  // Kernel: in status, unlike stat, a newline in the name is escaped, so every line is a field.
  // Seccomp is absent without CONFIG_SECCOMP; the count of context switches comes after it and is
  // always there, so without that line the text was cut off. Source: proc_pid_status(5).
  if (text.empty() || text.back() != '\n')
    return malformed("/proc/PID/status");
  StatusReader reader;
  while (!text.empty()) {
    std::string_view value = take(text, '\n');
    const std::string_view key = take(value, ':');
    reader.read(key, value);
  }
  if (!reader.good())
    return malformed("/proc/PID/status");
  return reader.status();
}

Result<Scheduling> parse_sched(std::string_view text) {
  Scheduling scheduling;
  Fields fields;
  bool has_start = false;
  bool has_switches = false;
  while (!text.empty()) {
    std::string_view value = take(text, '\n');
    const std::string_view key = trim(take(value, ':'));
    value = trim(value);
    if (key == "se.exec_start") {
      // Kernel: milliseconds, a point and six digits. Source: kernel/sched/debug.c SPLIT_NS.
      constexpr std::size_t kDigits = 6;
      std::int64_t milliseconds = 0;
      std::int64_t nanoseconds = 0;
      fields.read(take(value, '.'), milliseconds);
      fields.read(value, nanoseconds);
      fields.require(value.size() == kDigits && milliseconds >= 0);
      scheduling.exec_start =
          std::chrono::milliseconds(milliseconds) + std::chrono::nanoseconds(nanoseconds);
      has_start = true;
    } else if (key == "nr_voluntary_switches") {
      fields.read(value, scheduling.voluntary_switches);
      has_switches = true;
    }
  }
  if (!fields.good() || !has_start || !has_switches)
    return malformed("/proc/PID/task/TID/sched");
  return scheduling;
}

std::optional<std::int64_t> parse_syscall_number(std::string_view text) {
  const std::optional<std::int64_t> call = number<std::int64_t>(take(text, ' '));
  return call && *call >= 0 ? call : std::nullopt;
}

Result<FdInfo> parse_fdinfo(std::string_view text) {
  if (text.empty() || text.back() != '\n')
    return malformed("/proc/PID/fdinfo/FD");
  FdInfo info;
  bool has_flags = false;
  Fields fields;
  while (!text.empty()) {
    const std::string_view line = take(text, '\n');
    std::string_view value = line;
    const std::string_view key = take(value, ':');
    if (key == "flags") {
      constexpr int kOctal = 8;
      has_flags = true;
      fields.read(trim(value), info.flags, kOctal);
    } else if (key == "tfd") {
      const std::optional<EpollTarget> target = parse_tfd(line);
      fields.require(target.has_value());
      info.epoll_targets.push_back(target.value_or(EpollTarget{}));
    } else if (key == "tty-index") {
      fields.read(trim(value), info.tty_index.emplace());
    }
  }
  if (!fields.good() || !has_flags)
    return malformed("/proc/PID/fdinfo/FD");
  return info;
}

// Kernel: "PollList:" is followed by one line, indented, for each call that waits for its file, and
// "UserFiles:" by the path of each registered file. Source: io_uring/fdinfo.c; seen.
bool may_wait_for_terminal(std::string_view ring_fdinfo) {
  bool told = false;
  std::string_view section;
  while (!ring_fdinfo.empty()) {
    const std::string_view line = take(ring_fdinfo, '\n');
    if (!line.starts_with(' ')) {
      section = line;
      told = told || line.starts_with("PollList:");
    } else if (section.starts_with("PollList:") ||
               (section.starts_with("UserFiles:") &&
                (line.find(": /dev/pts/") != line.npos || line.find(": /dev/tty") != line.npos))) {
      return true;
    }
  }
  return !told;  // an older kernel
}

Result<std::vector<pid_t>> parse_children(std::string_view text) {
  // Kernel: every pid is followed by a space, the last one too. Source: fs/proc/array.c
  // children_seq_show().
  std::vector<pid_t> pids;
  if (!text.empty() && text.back() != ' ')
    return malformed("/proc/PID/task/TID/children");
  while (!text.empty()) {
    const std::optional<pid_t> pid = number<pid_t>(take(text, ' '));
    if (pid.value_or(0) <= 0)
      return malformed("/proc/PID/task/TID/children");
    pids.push_back(*pid);
  }
  return pids;
}

Result<std::uint64_t> parse_limits_nofile(std::string_view text) {
  constexpr std::string_view kName = "Max open files";
  while (!text.empty()) {
    std::string_view line = take(text, '\n');
    if (!line.starts_with(kName))
      continue;
    line = trim(line.substr(kName.size()));
    const std::string_view soft = take(line, ' ');
    if (soft == "unlimited")
      return std::numeric_limits<std::uint64_t>::max();
    if (const auto value = number<std::uint64_t>(soft))
      return *value;
    break;
  }
  return malformed("limits");
}

Result<std::uint64_t> parse_auxv_vdso(std::string_view bytes) {
  struct Entry {
    std::uint64_t type, value;
  };
  std::uint64_t vdso = 0;
  for (; bytes.size() >= sizeof(Entry); bytes.remove_prefix(sizeof(Entry))) {
    Entry entry{};
    std::memcpy(&entry, bytes.data(), sizeof entry);
    if (entry.type == AT_NULL)
      return vdso;
    if (entry.type == AT_SYSINFO_EHDR)
      vdso = entry.value;
  }
  return malformed("/proc/PID/auxv");
}

std::string parse_cmdline(std::string_view bytes) {
  const std::size_t last = bytes.find_last_not_of('\0');
  std::string command(bytes.substr(0, last == std::string_view::npos ? 0 : last + 1));
  std::replace(command.begin(), command.end(), '\0', ' ');
  return command;
}

int parse_elf_class(std::string_view bytes) {
  if (bytes.size() <= EI_CLASS || bytes.substr(0, SELFMAG) != ELFMAG)
    return 0;
  if (bytes[EI_CLASS] == ELFCLASS32)
    return 32;
  return bytes[EI_CLASS] == ELFCLASS64 ? 64 : 0;
}

// Source: x86-64 psABI, "ILP32 Programming Model"; elf(5).
bool is_x32_elf(std::string_view bytes) {
  std::uint16_t machine = 0;
  constexpr std::size_t kMachine = offsetof(Elf32_Ehdr, e_machine);
  if (parse_elf_class(bytes) != 32 || bytes.size() < kMachine + sizeof machine)
    return false;
  std::memcpy(&machine, bytes.data() + kMachine, sizeof machine);
  return machine == EM_X86_64;
}

}  // namespace grab::proc
