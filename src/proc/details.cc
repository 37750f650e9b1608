// SPDX-License-Identifier: MIT
#include "proc/details.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>

#include "proc/kernel.h"
#include "proc/parse.h"
#include "proc/surroundings.h"
#include "proc/vdso.h"
#include "proc/watches.h"

namespace grab::proc {
namespace {

bool is_dead(char state) {
  return state == 'Z' || state == 'X';
}

Result<void> read_stat(ProcessFiles& files, Stat& stat) {
  std::string text;
  GRAB_CHECK(files.read("stat", text));
  GRAB_TRY(stat, parse_stat(text));
  // Kernel: the last field is the wait status of a zombie; of a stopped process it is the signal
  // that stopped it. Source: fs/proc/array.c do_task_stat(), seen.
  if (!is_dead(stat.state))
    stat.exit_code = 0;
  return {};
}

// Kernel: the child of vfork(2) has the address space of its parent until it calls execve(2). That
// lives on, and what was opened of it does not show as stale -> asked before it is opened: one that
// has its own then never gets its parent's again. Source: vfork(2), clone(2) CLONE_VM; seen.
bool has_memory_of_parent(Node& node) {
  Stat stat;
  if (node.parent == 0 && !read_stat(node.files, stat))
    return false;
  return same_address_space(node.files.speaker(), node.parent != 0 ? node.parent : stat.ppid);
}

// Empty if that one has ended meanwhile.
std::string comm_of(pid_t pid) {
  std::string text;
  const std::string path = "/proc/" + std::to_string(pid) + "/comm";
  if (read_whole_at(AT_FDCWD, path.c_str(), text) == 0 && text.ends_with('\n'))
    text.pop_back();
  return text;
}

/// The address of the vDSO, 0 if there is none.
// Kernel: between its new memory and its new program a process in execve(2) has an empty auxiliary
// vector and no vDSO yet -> one that has none is looked at until its vector stays the same. In a
// tree in which hundreds call execve all the time there always is such a one. Source: fs/exec.c,
// fs/binfmt_elf.c load_elf_binary(); seen.
Result<std::uint64_t> read_vdso(ProcessFiles& files) {
  constexpr std::size_t kEmpty = 2 * sizeof(std::uint64_t);  // a pair of zeros
  constexpr int kTries = 100;  // it takes 0.1-1 ms, and as much longer as the machine is busy
  std::string before;
  std::string text;
  GRAB_CHECK(files.read(files.path_of("auxv").c_str(), text));
  for (int i = 0; i < kTries && (text != before || text.size() == kEmpty); ++i) {
    before = text;
    GRAB_TRY(const UsableFd directory, files.directory());
    int err = 0;
    const UniqueFd maps = open_at(directory.get(), files.path_of("maps").c_str(), O_RDONLY, &err);
    if (!maps.valid())
      return tl::unexpected(from_errno(err, "maps"));
    if (const auto vdso = find_vdso(maps.get(), parse_auxv_vdso(text).value_or(0)))
      return vdso->start;
    if (i > 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    GRAB_CHECK(files.read(files.path_of("auxv").c_str(), text));
  }
  return 0;
}

/// What the header of a program tells.
struct ProgramKind {
  int elf_class = 0;
  bool x32 = false;
};

/// The programs that were looked at. None is opened twice: with the tree stopped that could mean to
/// wait for a file system whose server is of the tree.
class KnownPrograms {
 public:
  Result<ProgramKind> kind_of(int directory_fd, const char* exe) {
    struct stat st {};
    int err = describe_at(directory_fd, exe, st);
    if (err != 0)
      return tl::unexpected(from_errno(err, "exe"));
    const Key key{st.st_dev, st.st_ino, st.st_ctim.tv_sec, st.st_ctim.tv_nsec};
    if (const auto known = kinds_.find(key); known != kinds_.end())
      return known->second;
    const UniqueFd file = open_at(directory_fd, exe, O_RDONLY, &err);
    if (!file.valid())
      return tl::unexpected(from_errno(err, "exe"));
    std::array<char, 20> head{};  // to e_machine
    const ssize_t length = ::pread(file.get(), head.data(), head.size(), 0);
    const std::string_view start(head.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
    const ProgramKind kind{parse_elf_class(start), is_x32_elf(start)};
    kinds_.emplace(key, kind);
    return kind;
  }

 private:
  using Key = std::tuple<dev_t, ino_t, std::int64_t, std::int64_t>;
  std::map<Key, ProgramKind> kinds_;
};

Result<void> read_program(ProcessFiles& files, Process& process) {
  static KnownPrograms programs;
  GRAB_TRY(const UsableFd directory, files.directory());
  const auto kind = programs.kind_of(directory.get(), files.path_of("exe").c_str());
  if (!kind)
    return tolerate(kind.error(), &process.readable);
  process.elf_class = kind->elf_class;
  process.x32 = kind->x32;
  const Result<std::uint64_t> vdso = read_vdso(files);
  if (!vdso)
    return tolerate(vdso.error(), &process.readable);
  process.vdso = *vdso;
  return {};
}

// Kernel: prlimit(2) of another user's process needs CAP_SYS_RESOURCE, which root in a container
// may lack; the file may be read by anybody. Source: prlimit(2), proc_pid_limits(5).
Result<void> read_nofile_limit(ProcessFiles& files, Process& process) {
  rlimit limit{};
  if (::prlimit(files.speaker(), RLIMIT_NOFILE, nullptr, &limit) == 0) {
    process.nofile_limit = limit.rlim_cur;
    return {};
  }
  std::string text;
  if (Result<void> read = files.read(files.path_of("limits").c_str(), text); !read)
    return tolerate(read.error(), &process.readable);
  GRAB_TRY(process.nofile_limit, parse_limits_nofile(text));
  return {};
}

// A copy of descriptor `fd`. Invalid if it has been closed meanwhile.
Result<UniqueFd> take_copy(int pidfd, pid_t pid, int fd) {
  int err = 0;
  UniqueFd copy = copy_of(pidfd, fd, &err);
  if (err == EBADF)
    return UniqueFd();
  if (err == ENOSYS)
    return fail(ErrorKind::kUnsupported, "this kernel has no pidfd_getfd(2)",
                "Linux 5.6 or newer is needed");
  if (!copy.valid())
    return fail_errno(
        err, "pidfd_getfd of descriptor " + std::to_string(fd) + " of " + std::to_string(pid));
  return copy;
}

// Of descriptor `fd`; false if it has been closed meanwhile.
// Kernel: stat(2) can fail for an open file: /proc/PID/fd gives ENOENT once the process has ended,
// a file of a dead FUSE or NFS server ENOTCONN or ESTALE -> `st` is zeros, if it is no terminal.
// Source: fs/proc/fd.c proc_fd_getattr(), Linux >= 6.2, seen; fs/fuse/dir.c.
Result<bool> describe_file(ProcessFiles& files, int pidfd, pid_t pid, int fd, struct stat& st) {
  GRAB_TRY(const UsableFd directory, files.fd_directory());
  const int err = describe_at(directory.get(), std::to_string(fd).c_str(), st);
  if (err == 0)
    return true;
  st = {};
  const std::string what = "statx of descriptor " + std::to_string(fd) + " of ";
  if (err == EACCES || err == EPERM)
    return fail_errno(err, what + std::to_string(pid));
  GRAB_TRY(const UniqueFd copy, take_copy(pidfd, pid, fd));
  if (copy.valid() && ::isatty(copy.get()) != 0)
    return fail_errno(err, what + std::to_string(pid));
  return copy.valid();
}

// Whether copies may be taken at all of the process's descriptors.
// Kernel: pidfd_getfd(2) asks for that first. Source: kernel/pid.c __pidfd_fget().
Result<void> may_take_copies(int pidfd, pid_t pid) {
  constexpr int kNone = std::numeric_limits<int>::max();
  const Result<UniqueFd> none = take_copy(pidfd, pid, kNone);
  return none ? Result<void>() : tl::unexpected(none.error());
}

OtherFd describe(int fd, const struct stat& st) {
  OtherFd other;
  other.fd = fd;
  other.device = st.st_dev;
  other.inode = st.st_ino;
  other.character_device = S_ISCHR(st.st_mode);
  // Kernel: an anon_inode shows no file type. Source: fs/anon_inodes.c anon_inode_getattr(), seen.
  other.anonymous = (st.st_mode & S_IFMT) == 0;
  return other;
}

/// Whether the file is a channel from the kernel to a server of files or devices.
/// Source: Documentation/admin-guide/devices.txt.
bool is_file_server(const struct stat& st) {
  constexpr unsigned kMisc = 10, kCuse = 203, kFuse = 229;
  return S_ISCHR(st.st_mode) && major(st.st_rdev) == kMisc &&
         (minor(st.st_rdev) == kFuse || minor(st.st_rdev) == kCuse);
}

/// Says of an anon_inode what it is.
void identify(ProcessFiles& files, OtherFd& other) {
  Result<UsableFd> directory = files.fd_directory();
  if (!directory || !other.anonymous)
    return;
  std::array<char, 64> link{};
  const ssize_t length =
      ::readlinkat(directory->get(), std::to_string(other.fd).c_str(), link.data(), link.size());
  const std::string_view name(link.data(), length < 0 ? 0 : static_cast<std::size_t>(length));
  // Source: proc_pid_fd(5).
  other.epoll = name == "anon_inode:[eventpoll]";
  other.ring = name == "anon_inode:[io_uring]";
}

}  // namespace

Namespaces read_namespaces(ProcessFiles& files, bool* denied) {
  Namespaces ns;
  Result<UsableFd> directory = files.directory();
  if (!directory)
    return ns;
  const auto inode = [&](const char* name) -> std::uint64_t {
    struct stat st {};
    if (::fstatat(directory->get(), name, &st, 0) == 0)
      return st.st_ino;
    *denied = *denied || errno == EACCES || errno == EPERM;
    return 0;
  };
  ns.pid = inode("ns/pid");
  ns.user = inode("ns/user");
  ns.mount = inode("ns/mnt");
  return ns;
}

Result<void> read_basics(ProcessFiles& files, Process& process) {
  GRAB_CHECK(read_stat(files, process.stat));
  process.fd_table_of = process.stat.pid;
  std::string text;
  if (files.speaker() != process.stat.pid) {
    // The main thread has ended; the process lives on in the others.
    const std::string name = "task/" + std::to_string(files.speaker()) + "/stat";
    GRAB_CHECK(files.read(name.c_str(), text));
    GRAB_TRY(const Stat speaker, parse_stat(text));
    process.stat.state = speaker.state;
  }
  GRAB_CHECK(files.read_status(text));
  GRAB_TRY(process.status, parse_status(text));
  if (process.status.tracer != 0) {
    process.tracer_comm = comm_of(process.status.tracer);
    if (const auto tracer = status_of(process.status.tracer))
      process.tracer_uid = tracer->uid.effective;
  }
  if (is_dead(process.stat.state) || (process.stat.flags & kKernelThread) != 0)
    return {};
  if (Result<void> read = files.read("cmdline", text); read)
    process.command = parse_cmdline(text);
  else
    GRAB_CHECK(tolerate(read.error(), &process.readable));
  GRAB_CHECK(read_nofile_limit(files, process));
  bool denied = false;
  process.ns = read_namespaces(files, &denied);
  process.readable = process.readable && !denied;
  return read_program(files, process);
}

bool DetailsReader::may_be_moved(const struct stat& st) const {
  return old_terminal_->may_be(st) || left_terminal_->may_be(st);
}

bool DetailsReader::is_moved(int copy, const struct stat& st, const Stat& of) const {
  return old_terminal_->is_moved(copy, st, of) || left_terminal_->is_moved(copy, st, of);
}

Result<void> DetailsReader::read(Node& node) {
  Details details;
  node.details.reset();
  Result<void> done = read_live(node, details);
  if (!done && done.error().kind == ErrorKind::kGone) {
    // It has ended while we read: a zombie, unless it has been reaped as well.
    details = Details();
    GRAB_CHECK(read_stat(node.files, details.process.stat));
    if (!is_dead(details.process.stat.state))
      return done;
    details.process.fd_table_of = node.pid;
    node.zombie = true;
    node.tids.clear();
  } else if (!done) {
    return done;
  }
  details.process.serves = node.serves;
  // Kernel: a process in exit(2) has no memory and is root's; what was read before it got there and
  // behind do not belong together. Source: kernel/exit.c exit_mm(), fs/proc/base.c
  // task_dump_owner().
  Process& process = details.process;
  if (!node.zombie && (!process.readable || process.vdso == 0))
    GRAB_CHECK(read_stat(node.files, process.stat));
  node.details = std::move(details);
  return {};
}

Result<void> DetailsReader::read_live(Node& node, Details& details) {
  Process& process = details.process;
  node.files.drop_memory();
  const bool borrows_memory = has_memory_of_parent(node);
  // Before the auxv is read: an execve between the two then shows as memory that is stale.
  const Result<int> memory = node.files.memory();
  GRAB_CHECK(read_basics(node.files, process));
  process.tids = node.tids;
  if (node.zombie || process.is_zombie()) {
    node.zombie = true;
    node.tids.clear();
    process.tids.clear();
    return {};
  }
  if (is_dead(process.stat.state))  // since the threads were listed
    return fail_errno(ESRCH, "thread " + std::to_string(node.files.speaker()));
  if ((process.stat.flags & kKernelThread) != 0)
    return {};
  if (memory)
    details.execve_unseen = borrows_memory;
  else if (memory.error().err != EMFILE)  // it is opened for each use then
    GRAB_CHECK(tolerate(memory.error(), &process.readable));
  return read_descriptors(node, details);
}

Result<void> DetailsReader::read_descriptors(Node& node, Details& details) {
  Process& process = details.process;
  process.open_fds.clear();
  process.moved_fds.clear();
  process.epoll_watches.clear();
  process.stale_watches.clear();
  process.waiting_rings.clear();
  details.classes.clear();
  details.inodes.clear();
  details.others.clear();
  Result<std::vector<int>> fds = node.files.list_fds();
  if (!fds)
    return tolerate(fds.error(), &process.readable);
  Result<UsableFd> pidfd = node.files.speaker_pidfd();
  if (!pidfd) {
    process.open_fds = std::move(*fds);
    process.readable = false;  // before Linux 6.9, a process whose main thread has ended
    return tolerate(pidfd.error(), &process.readable);
  }
  Result<void> read = {};
  for (std::size_t i = 0; read && i < fds->size(); ++i)
    read = read_one(node, pidfd->get(), (*fds)[i], details);
  if (read)
    read = may_take_copies(pidfd->get(), node.pid);
  if (!read && read.error().kind != ErrorKind::kPermission)
    return read;
  if (!read) {
    process.open_fds = std::move(*fds);
    process.readable = false;
    return {};
  }
  return read_watches(node, details, *descriptions_);
}

Result<void> DetailsReader::read_one(Node& node, int pidfd, int fd, Details& details) {
  struct stat st {};
  GRAB_TRY(const bool open, describe_file(node.files, pidfd, node.pid, fd, st));
  if (!open)
    return {};
  UniqueFd copy;
  const bool may_move = may_be_moved(st);
  if (may_move) {
    GRAB_TRY(copy, take_copy(pidfd, node.pid, fd));
    if (!copy.valid())
      return {};
  }
  details.process.open_fds.push_back(fd);
  if (!may_move || !is_moved(copy.get(), st, details.process.stat)) {
    details.others.push_back(describe(fd, st));
    identify(node.files, details.others.back());
    details.process.serves_files |= is_file_server(st);
    return {};
  }
  Result<FdInfo> info = read_fdinfo(node.files, fd);
  if (!info && info.error().err == ENOENT) {  // closed meanwhile
    details.process.open_fds.pop_back();
    return {};
  }
  if (!info)
    return tl::unexpected(info.error());
  old_terminal_->learn(copy.get(), st);
  left_terminal_->learn(copy.get(), st);
  Descriptor moved;
  moved.fd = fd;
  moved.close_on_exec = (info->flags & O_CLOEXEC) != 0;
  // Kernel: fdinfo shows O_CLOEXEC for a descriptor that has it, and for any whose open file was
  // made by TIOCGPTPEER with O_CLOEXEC (VTE's are) -> what can be said then is what is usual; only
  // F_GETFD in the process tells, which the batch asks.
  // Source: fs/proc/fd.c seq_show(), drivers/tty/pty.c ptm_open_peer(); seen.
  if ((::fcntl(copy.get(), F_GETFL) & O_CLOEXEC) != 0)
    moved.close_on_exec = fd > STDERR_FILENO;
  details.process.moved_fds.push_back(moved);
  details.classes.push_back(descriptions_->classify(std::move(copy)));
  details.inodes.push_back(st.st_ino);
  return {};
}

Result<bool> DetailsReader::refresh(Node& node) const {
  if (!node.details || node.zombie)
    return false;
  Process& process = node.details->process;
  if (node.details->execve_unseen || !process.readable || process.vdso == 0 ||
      process.is_zombie() || node.files.memory_is_stale())
    return false;
  // Where the parent is no member, or the process leads a session, the parent and the controlling
  // terminal can have changed without a trace elsewhere.
  const pid_t sid = ::getsid(node.pid);
  if (node.parent == 0 || sid == node.pid) {
    Stat stat;
    GRAB_CHECK(read_stat(node.files, stat));
    process.stat.ppid = stat.ppid;
    process.stat.tty = stat.tty;
  } else {
    process.stat.ppid = node.parent;
  }
  if (sid != process.stat.sid)
    return false;
  process.stat.pgid = ::getpgid(node.pid);
  process.stat.num_threads = static_cast<int>(node.tasks);
  process.tids = node.tids;
  std::string text;
  GRAB_CHECK(node.files.read_status(text));
  GRAB_TRY(process.status, parse_status(text));
  return same_descriptors(node);
}

Result<bool> DetailsReader::same_descriptors(Node& node) const {
  Details& details = *node.details;
  const Process& process = details.process;
  GRAB_TRY(const std::size_t count, node.files.count_fds());
  if (count == 0) {
    GRAB_TRY(const std::vector<int> fds, node.files.list_fds());
    if (fds != process.open_fds)
      return false;
  } else if (count != process.open_fds.size()) {
    return false;
  }
  const pid_t self = ::getpid();
  for (std::size_t i = 0; i < process.moved_fds.size(); ++i) {
    if (!descriptions_->is(details.classes[i], self, node.files.speaker(), process.moved_fds[i].fd))
      return false;
  }
  if (!details.others.empty()) {
    GRAB_TRY(const UsableFd pidfd, node.files.speaker_pidfd());
    for (const OtherFd& other : details.others) {
      if (!same_other(node, pidfd.get(), other))
        return false;
    }
  }
  GRAB_CHECK(read_watches(node, details, *descriptions_));
  return true;
}

bool DetailsReader::same_other(Node& node, int pidfd, const OtherFd& before) const {
  struct stat st {};
  const Result<bool> open = describe_file(node.files, pidfd, node.pid, before.fd, st);
  if (!open || !*open)
    return false;
  OtherFd now = describe(before.fd, st);
  identify(node.files, now);
  if (!(now == before))
    return false;
  if (!may_be_moved(st))
    return true;
  const Result<UniqueFd> copy = take_copy(pidfd, node.pid, before.fd);
  return copy && copy->valid() && !is_moved(copy->get(), st, node.details->process.stat);
}

}  // namespace grab::proc
