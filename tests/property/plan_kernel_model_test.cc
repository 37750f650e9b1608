// SPDX-License-Identifier: MIT
#include "property/plan_kernel_model.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

namespace grab::test::model {

Kernel::Kernel() {
  terminals_ = {{kOldTerminal, {}}, {kOtherTerminal, {}}, {kNewTerminal, {}}};
  for (const pid_t pid : {kInit, kShell, kGrab, kTracer}) {
    Task task;
    task.pid = task.pgid = task.sid = pid;
    task.ppid = pid == kInit ? 0 : kInit;
    task.table = next_table_++;
    tables_[task.table] = {};
    tasks_[pid] = task;
  }
  Task& shell = task(kShell);
  const auto signals = [](std::initializer_list<int> numbers) {
    proc::SignalSet set;
    for (const int signo : numbers)
      set.bits |= 1ULL << static_cast<unsigned>(signo - 1);
    return set;
  };
  shell.ignored = signals({SIGTTOU, SIGTTIN, SIGTSTP, SIGTERM});
  shell.tty = kOldTerminal;
  terminals_[kOldTerminal] = {kShell, kShell};
  open(kShell, File{FileKind::kTerminal, kOldTerminal, 0, O_RDWR, {}}, false);
  duplicate(kShell, 0, 0, false);
  duplicate(kShell, 0, 0, false);
  const pid_t job = fork(kShell, false);
  task(job).ignored = {};
  setpgid(kShell, job, job);
  terminals_[kOldTerminal].foreground_pgid = job;
}

bool Kernel::group_exists(pid_t pgid) const {
  return std::any_of(tasks_.begin(), tasks_.end(),
                     [pgid](const auto& entry) { return entry.second.pgid == pgid; });
}

pid_t Kernel::fork(pid_t pid, bool share_table) {
  Task born = task(pid);
  born.ppid = pid;
  born.pid = next_pid_++;
  born.stopped = false;
  if (!share_table) {
    tables_[next_table_] = table(pid);
    born.table = next_table_++;
  }
  tasks_[born.pid] = born;
  return born.pid;
}

// kernel/sys.c SYSCALL_DEFINE2(setpgid)
bool Kernel::setpgid(pid_t caller, pid_t pid, pid_t pgid) {
  const auto found = tasks_.find(pid);
  if (found == tasks_.end() || pgid <= 0)
    return false;
  Task& task = found->second;
  const bool is_child = task.ppid == caller && task.sid == this->task(caller).sid;
  if ((pid != caller && !is_child) || task.sid == task.pid)
    return false;
  const bool fits = pgid == pid || std::any_of(tasks_.begin(), tasks_.end(), [&](const auto& e) {
                      return e.second.pgid == pgid && e.second.sid == this->task(caller).sid;
                    });
  if (!fits)
    return false;
  task.pgid = pgid;
  return true;
}

// kernel/sys.c ksys_setsid
bool Kernel::setsid(pid_t pid) {
  Task& task = this->task(pid);
  if (task.sid == pid || group_exists(pid))
    return false;
  task.sid = task.pgid = pid;
  task.tty = 0;
  return true;
}

void Kernel::clear_session_terminal(pid_t sid) {
  for (auto& [pid, task] : tasks_) {
    if (task.sid == sid)
      task.tty = 0;
  }
}

// drivers/tty/tty_jobctrl.c disassociate_ctty
void Kernel::hang_up(int terminal, bool on_exit) {
  TerminalState& state = terminals_.at(terminal);
  for (auto& [pid, task] : tasks_) {
    if (task.pgid == state.foreground_pgid && !task.zombie) {
      task.hangups++;
      task.continues += on_exit ? 0 : 1;
    }
  }
  const pid_t sid = state.sid;
  state = {};
  clear_session_terminal(sid);
}

// drivers/tty/tty_jobctrl.c tty_jobctrl_ioctl: TIOCNOTTY
bool Kernel::drop_terminal(pid_t pid, int terminal) {
  Task& task = this->task(pid);
  if (terminal == 0 || task.tty != terminal)
    return false;
  if (task.sid == pid)
    hang_up(terminal, false);
  else
    task.tty = 0;
  return true;
}

// drivers/tty/tty_jobctrl.c tiocsctty, without the right to steal
bool Kernel::take_terminal(pid_t pid, int terminal) {
  Task& task = this->task(pid);
  TerminalState& state = terminals_.at(terminal);
  if (task.sid != pid || task.tty != 0 || state.sid != 0)
    return false;
  task.tty = terminal;
  state = {pid, task.pgid};
  return true;
}

// drivers/tty/tty_jobctrl.c tiocspgrp
bool Kernel::set_foreground(pid_t pid, int terminal, pid_t pgid) {
  const Task& task = this->task(pid);
  if (terminal == 0 || task.tty != terminal || terminals_.at(terminal).sid != task.sid)
    return false;
  const bool fits = std::any_of(tasks_.begin(), tasks_.end(), [&](const auto& entry) {
    return entry.second.pgid == pgid && entry.second.sid == task.sid;
  });
  if (fits)
    terminals_.at(terminal).foreground_pgid = pgid;
  return fits;
}

bool Kernel::exit(pid_t pid) {
  Task& task = this->task(pid);
  if (task.sid == pid && task.tty != 0)
    hang_up(task.tty, true);
  task.zombie = true;
  task.stopped = false;
  task.tty = 0;
  for (auto& [other, entry] : tasks_) {
    if (entry.ppid == pid)
      entry.ppid = kInit;
  }
  const int table = task.table;
  task.table = -1;
  const bool shared = std::any_of(tasks_.begin(), tasks_.end(),
                                  [table](const auto& e) { return e.second.table == table; });
  if (!shared)
    tables_.erase(table);
  forget_closed();
  return true;
}

bool Kernel::reap(pid_t pid) {
  if (!task(pid).zombie)
    return false;
  tasks_.erase(pid);
  return true;
}

int Kernel::lowest_free(pid_t pid, int lowest) const {
  int fd = lowest;
  while (table(pid).contains(fd))
    fd++;
  return static_cast<std::uint64_t>(fd) < task(pid).nofile_limit ? fd : -1;
}

const Fd* Kernel::find_fd(pid_t pid, int fd) const {
  const auto found = table(pid).find(fd);
  return found == table(pid).end() ? nullptr : &found->second;
}

int Kernel::open(pid_t pid, File file, bool close_on_exec) {
  const int fd = lowest_free(pid, 0);
  if (fd < 0)
    return -1;
  files_.push_back(std::move(file));
  own_table(pid)[fd] = Fd{static_cast<int>(files_.size()) - 1, close_on_exec};
  return fd;
}

int Kernel::duplicate(pid_t pid, int fd, int lowest, bool close_on_exec) {
  const int to = lowest_free(pid, lowest);
  return to >= 0 && duplicate_to(pid, fd, to, close_on_exec) ? to : -1;
}

bool Kernel::duplicate_to(pid_t pid, int fd, int to, bool close_on_exec) {
  const Fd* const from = find_fd(pid, fd);
  if (from == nullptr || fd == to || static_cast<std::uint64_t>(to) >= task(pid).nofile_limit)
    return false;
  own_table(pid)[to] = Fd{from->file, close_on_exec};
  forget_closed();
  return true;
}

bool Kernel::close(pid_t pid, int fd) {
  if (own_table(pid).erase(fd) == 0)
    return false;
  forget_closed();
  return true;
}

// fs/eventpoll.c eventpoll_release: an entry goes with the last descriptor of its file
void Kernel::forget_closed() {
  std::set<int> open;
  for (const auto& [number, table] : tables_) {
    for (const auto& [fd, entry] : table)
      open.insert(entry.file);
  }
  for (std::size_t i = 0; i < files_.size(); i++) {
    if (!open.contains(static_cast<int>(i)))
      files_[i] = {};
    std::erase_if(files_[i].watches,
                  [&](const auto& watch) { return !open.contains(watch.first.second); });
  }
}

bool Kernel::watch(pid_t pid, int epoll_fd, int fd, Watch watch) {
  const Fd* const set = find_fd(pid, epoll_fd);
  const Fd* const target = find_fd(pid, fd);
  if (set == nullptr || target == nullptr || file(set->file).kind != FileKind::kEpoll ||
      file(target->file).kind != FileKind::kTerminal)
    return false;
  return file(set->file).watches.try_emplace({fd, target->file}, watch).second;
}

bool Kernel::unwatch(pid_t pid, int epoll_fd, int fd) {
  const Fd* const set = find_fd(pid, epoll_fd);
  const Fd* const target = find_fd(pid, fd);
  if (set == nullptr || target == nullptr || file(set->file).kind != FileKind::kEpoll)
    return false;
  return file(set->file).watches.erase({fd, target->file}) != 0;
}

std::int64_t Kernel::get_fd(pid_t pid, int pidfd, int fd) {
  const Fd* const of = find_fd(pid, pidfd);
  if (of == nullptr || file(of->file).kind != FileKind::kPidfd)
    return -EBADF;
  const Fd* const there = find_fd(file(of->file).pid, fd);
  if (there == nullptr)
    return -EBADF;
  const int index = there->file;
  const int here = lowest_free(pid, 0);
  if (here < 0)
    return -EMFILE;
  own_table(pid)[here] = Fd{index, true};
  return here;
}

std::int64_t Kernel::ioctl(pid_t pid, std::uint64_t fd, long request, std::int32_t argument) {
  const Fd* const entry = find_fd(pid, static_cast<int>(fd));
  if (entry == nullptr)
    return -EBADF;
  const int terminal = file(entry->file).terminal;
  switch (request) {
    case TIOCNOTTY:
      return drop_terminal(pid, terminal) ? 0 : -ENOTTY;
    case TIOCSCTTY:
      return take_terminal(pid, terminal) ? 0 : -EPERM;
    case TIOCSPGRP:
      return set_foreground(pid, terminal, argument) ? 0 : -EPERM;
    default:
      return -ENOTTY;
  }
}

std::int64_t Kernel::call(pid_t pid, const arch::Call& call, const std::vector<std::byte>& data) {
  const auto argument = [&](std::size_t i) { return static_cast<int>(call.args.at(i).value); };
  const auto read = [&](std::size_t i, auto value) {
    const auto at = static_cast<std::size_t>(argument(i));
    EXPECT_TRUE(call.args.at(i).in_data && at + sizeof value <= data.size());
    std::memcpy(&value, data.data() + at, sizeof value);
    return value;
  };
  switch (call.number) {
    case SYS_pidfd_open: {
      const int fd = open(pid, File{FileKind::kPidfd, 0, argument(0), 0, {}}, true);
      return fd < 0 ? -EMFILE : fd;
    }
    case SYS_pidfd_getfd:
      return get_fd(pid, argument(0), argument(1));
    case SYS_fcntl: {
      const Fd* const fd = find_fd(pid, argument(0));
      if (fd == nullptr)
        return -EBADF;
      if (argument(1) == F_GETFD)
        return fd->close_on_exec ? FD_CLOEXEC : 0;
      const int copy = duplicate(pid, argument(0), argument(2), true);
      return copy < 0 ? -EMFILE : copy;
    }
    case SYS_dup3:
      return duplicate_to(pid, argument(0), argument(1), (argument(2) & O_CLOEXEC) != 0)
                 ? argument(1)
                 : -EBADF;
    case SYS_close:
      return close(pid, argument(0)) ? 0 : -EBADF;
    case SYS_close_range:
      for (int fd = argument(0); fd <= argument(1); fd++)
        (void)close(pid, fd);
      return 0;
    case SYS_epoll_ctl: {
      if (argument(1) == EPOLL_CTL_DEL)
        return unwatch(pid, argument(0), argument(2)) ? 0 : -ENOENT;
      const auto event = read(3, epoll_event{});
      return watch(pid, argument(0), argument(2), {event.events, event.data.u64}) ? 0 : -EEXIST;
    }
    case SYS_setpgid:
      return setpgid(pid, pid, argument(1) == 0 ? pid : argument(1)) ? 0 : -EPERM;
    case SYS_setsid:
      return setsid(pid) ? pid : -EPERM;
    case SYS_ioctl:
      return ioctl(pid, static_cast<std::uint64_t>(argument(0)), argument(1),
                   argument(1) == TIOCSPGRP ? read(2, std::int32_t{}) : argument(2));
    case SYS_rt_sigtimedwait: {
      const auto set = read(0, std::uint64_t{});
      Task& task = this->task(pid);
      int& queued = set == 1ULL << (SIGHUP - 1) ? task.hangups : task.continues;
      if (queued == 0)
        return -EAGAIN;
      queued--;
      return set == 1ULL << (SIGHUP - 1) ? SIGHUP : SIGCONT;
    }
    case SYS_rt_sigprocmask:
    case SYS_tgkill:
      return 0;
    default:
      return -ENOSYS;
  }
}

std::vector<pid_t> Kernel::tree_of(pid_t named) const {
  std::set<pid_t> found = {named};
  const Task& task = this->task(named);
  const auto parent = tasks_.find(task.ppid);
  if (parent == tasks_.end() || parent->second.pgid != task.pgid) {
    for (const auto& [pid, other] : tasks_) {
      if (other.pgid == task.pgid)
        found.insert(pid);
    }
  }
  for (bool again = true; again;) {
    again = false;
    for (const auto& [pid, other] : tasks_)
      again = (found.contains(other.ppid) && found.insert(pid).second) || again;
  }
  std::vector<pid_t> ordered;
  const std::function<void(pid_t)> visit = [&](pid_t pid) {
    ordered.push_back(pid);
    for (const pid_t other : found) {
      if (this->task(other).ppid == pid)
        visit(other);
    }
  };
  if (!found.contains(task.ppid))
    visit(named);
  for (const pid_t pid : found) {
    if (!found.contains(this->task(pid).ppid) && pid != named)
      visit(pid);
  }
  return ordered;
}

proc::Snapshot Kernel::snapshot(pid_t named, bool force_stdio) const {
  proc::Snapshot snapshot;
  snapshot.named = named;
  snapshot.self.lineage = {kTracer, kGrab, kInit};
  snapshot.self.euid = 1000;
  const Task& named_task = task(named);
  std::set<int> forced;
  int device = named_task.tty;
  for (int fd = 0; fd <= 2 && !named_task.zombie; fd++) {
    const Fd* const entry = find_fd(named, fd);
    if (entry == nullptr)
      continue;
    if (device == 0)
      device = file(entry->file).terminal;
    if (force_stdio)
      forced.insert(entry->file);
  }
  snapshot.old_terminal.device = static_cast<dev_t>(device);
  const auto fill = [&](const Task& from) {
    proc::Process process;
    process.stat.pid = from.pid;
    process.stat.comm = "p" + std::to_string(from.pid);
    process.stat.state = from.zombie ? 'Z' : from.stopped ? 'T' : 'S';
    process.stat.ppid = from.ppid;
    process.stat.pgid = from.pgid;
    process.stat.sid = from.sid;
    process.stat.tty = static_cast<dev_t>(from.tty);
    process.stat.tpgid = from.tty == 0 ? -1 : terminal(from.tty).foreground_pgid;
    process.stat.start_time = static_cast<std::uint64_t>(from.pid);
    process.status.uid.real = process.status.uid.effective = 1000;
    process.status.ignored = from.ignored;
    process.status.caught = from.caught;
    process.nofile_limit = from.nofile_limit;
    process.vdso = 0x7fff0000;
    process.elf_class = 64;
    if (!from.zombie)
      process.tids = {from.pid};
    process.fd_table_of = from.pid;
    return process;
  };
  std::map<int, int> first_of_table;
  std::map<int, int> numbered;  // files to descriptions
  for (const pid_t pid : tree_of(named)) {
    proc::Process process = fill(task(pid));
    if (!task(pid).zombie) {
      process.fd_table_of = first_of_table.try_emplace(task(pid).table, pid).first->second;
      for (const auto& [fd, entry] : table(pid)) {
        process.open_fds.push_back(fd);
        const bool of_terminal = device != 0 && file(entry.file).terminal == device;
        if (!of_terminal && !forced.contains(entry.file))
          continue;
        const auto index = static_cast<int>(numbered.size());
        const auto [known, added] = numbered.try_emplace(entry.file, index);
        if (added)
          snapshot.descriptions.push_back({file(entry.file).flags});
        process.moved_fds.push_back({fd, entry.close_on_exec, known->second});
      }
      for (const auto& [fd, entry] : table(pid)) {
        for (const auto& [target, watch] : file(entry.file).watches) {
          const Fd* const at = find_fd(pid, target.first);
          if (at != nullptr && at->file == target.second && numbered.contains(at->file))
            process.epoll_watches.push_back({fd, target.first, watch.events, watch.data});
        }
      }
    }
    snapshot.processes.push_back(std::move(process));
  }
  std::set<pid_t> groups;
  for (const proc::Process& process : snapshot.processes) {
    groups.insert(process.stat.pgid);
    groups.insert(process.stat.pid);
    if (device == 0 || process.stat.tty != snapshot.old_terminal.device)
      continue;
    snapshot.old_terminal.session = process.stat.sid;
    snapshot.old_terminal.foreground_pgid = terminal(device).foreground_pgid;
  }
  for (const auto& [pid, other] : tasks_) {
    if (groups.contains(other.pgid) && snapshot.find(pid) == nullptr)
      snapshot.outsiders.push_back({pid, other.pgid});
  }
  pid_t parent = named_task.ppid;
  const proc::Process* const leader = snapshot.find(named_task.pgid);
  if (leader != nullptr && snapshot.find(leader->stat.ppid) == nullptr)
    parent = leader->stat.ppid;
  if (parent > 0)
    snapshot.parent = fill(task(parent));
  if (!snapshot.parent || snapshot.parent->stat.sid != named_task.sid) {
    for (const auto& [pid, other] : tasks_) {
      if (other.sid == named_task.sid && snapshot.find(pid) == nullptr)
        snapshot.session_pgids.push_back(other.pgid);
    }
  }
  return snapshot;
}

bool Kernel::same_as(const Kernel& other) const {
  const auto open_files = [](const Kernel& kernel) {
    std::map<int, File> files;
    for (const auto& [number, table] : kernel.tables_) {
      for (const auto& [fd, entry] : table)
        files[entry.file] = kernel.file(entry.file);
    }
    return files;
  };
  return tasks_ == other.tasks_ && tables_ == other.tables_ && terminals_ == other.terminals_ &&
         open_files(*this) == open_files(other);
}

std::string Kernel::show() const {
  std::ostringstream out;
  for (const auto& [pid, task] : tasks_) {
    if (pid == kInit || pid == kGrab || pid == kTracer)
      continue;
    out << pid << " ppid " << task.ppid << " pgid " << task.pgid << " sid " << task.sid << " tty "
        << task.tty << " hup " << task.hangups << " cont " << task.continues
        << (task.zombie ? " zombie" : "") << (task.stopped ? " stopped" : "");
    if (!task.zombie) {
      out << " table " << task.table << ":";
      for (const auto& [fd, entry] : table(pid)) {
        out << " " << fd << (entry.close_on_exec ? "c" : "") << "=file" << entry.file << "/tty"
            << file(entry.file).terminal;
        for (const auto& [target, watch] : file(entry.file).watches)
          out << "{" << target.first << "}";
      }
    }
    out << "\n";
  }
  for (const auto& [number, state] : terminals_)
    out << "terminal " << number << ": sid " << state.sid << " foreground " << state.foreground_pgid
        << "\n";
  return out.str();
}

// The model itself, where a mistake would make every property hold.

TEST(KernelModel, KeepsTheRulesOfSessions) {
  Kernel kernel;
  const pid_t job = kFirstPid;
  EXPECT_FALSE(kernel.setsid(job)) << "a group leader";
  const pid_t child = kernel.fork(job, false);
  EXPECT_TRUE(kernel.setpgid(job, job, kShell));
  EXPECT_FALSE(kernel.setsid(job)) << "its child is still in the group";
  EXPECT_TRUE(kernel.exit(child));
  EXPECT_FALSE(kernel.setsid(job)) << "a zombie is, too";
  EXPECT_TRUE(kernel.reap(child));
  EXPECT_TRUE(kernel.setsid(job));
  EXPECT_EQ(kernel.task(job).tty, 0);
  EXPECT_FALSE(kernel.setpgid(job, job, kShell)) << "a session leader";
  EXPECT_FALSE(kernel.take_terminal(job, kOldTerminal)) << "it is the shell's";
  EXPECT_TRUE(kernel.take_terminal(job, kNewTerminal));
}

TEST(KernelModel, HangsTheForegroundUpWhenALeaderDropsItsTerminal) {
  Kernel kernel;
  EXPECT_TRUE(kernel.drop_terminal(kShell, kOldTerminal));
  EXPECT_EQ(kernel.task(kFirstPid).hangups, 1);
  EXPECT_EQ(kernel.task(kFirstPid).continues, 1);
  EXPECT_EQ(kernel.task(kFirstPid).tty, 0);
  EXPECT_EQ(kernel.terminal(kOldTerminal).sid, 0);
}

TEST(KernelModel, AnEpollSetWatchesFilesAndNotNumbers) {
  Kernel kernel;
  const pid_t job = kFirstPid;
  const int set = kernel.open(job, File{FileKind::kEpoll, 0, 0, 0, {}}, true);
  EXPECT_TRUE(kernel.watch(job, set, 1, {1, 7}));
  EXPECT_FALSE(kernel.watch(job, set, 1, {1, 7}));
  const int other = kernel.open(job, File{FileKind::kTerminal, kOtherTerminal, 0, 0, {}}, true);
  EXPECT_TRUE(kernel.duplicate_to(job, other, 1, false));
  EXPECT_FALSE(kernel.unwatch(job, set, 1)) << "descriptor 1 is another file now";
}

}  // namespace grab::test::model
