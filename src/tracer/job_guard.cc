// SPDX-License-Identifier: MIT
#include "tracer/job_guard.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "proc/kernel.h"
#include "proc/surroundings.h"
#include "tracer/guards.h"

namespace grab::tracer {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kBetweenLooks{10};
constexpr milliseconds kSeizeLimit{5000};  // nobody is held for so long
constexpr int kWatchedCalls = 2000;        // a program that begins to read does so before

std::string proc_path(pid_t pid, const std::string& file) {
  return "/proc/" + std::to_string(pid) + "/" + file;
}

void sleep_for(milliseconds time) {
  (void)poll(nullptr, 0, static_cast<int>(time.count()));
}

bool lives(const Guarding::Process& process) {
  const auto stat = proc::stat_of(process.pid);
  return stat && stat->start_time == process.start_time && stat->state != 'Z';
}

dev_t device_of(pid_t pid, const std::string& fd) {
  struct stat info {};
  const std::string path = proc_path(pid, "fd/" + fd);
  return proc::describe_at(AT_FDCWD, path.c_str(), info) == 0 ? info.st_rdev : 0;
}

/// Whether one of its descriptors is that terminal.
bool has_open(pid_t pid, dev_t terminal) {
  const std::unique_ptr<DIR, int (*)(DIR*)> fds(opendir(proc_path(pid, "fd").c_str()), closedir);
  while (const dirent* entry = fds ? readdir(fds.get()) : nullptr) {
    if (device_of(pid, entry->d_name) == terminal)
      return true;
  }
  return false;
}

std::vector<pid_t> members_of(pid_t pgid) {
  std::vector<pid_t> members;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(opendir("/proc"), closedir);
  while (const dirent* entry = proc ? readdir(proc.get()) : nullptr) {
    const pid_t pid = std::atoi(entry->d_name);
    if (pid > 0 && getpgid(pid) == pgid)
      members.push_back(pid);
  }
  return members;
}

/// The session of a process group; 0 if there is no such group.
pid_t session_of(pid_t pgid) {
  if (getpgid(pgid) == pgid)
    return getsid(pgid);
  if (pgid <= 1 || kill(-pgid, 0) != 0)
    return 0;
  const std::vector<pid_t> members = members_of(pgid);
  return members.empty() ? 0 : getsid(members.front());
}

}  // namespace

// ---------------------------------------------------------------- the tracer

// Kernel: a process that is traced gives EPERM. Source: kernel/ptrace.c ptrace_attach().
JobGuard::Seized JobGuard::seize_one(const Wanted& wanted) {
  const pid_t pid = wanted.process.pid;
  Tracee tracee;
  tracee.is_shell = wanted.is_shell;
  tracee.lacks_terminal = wanted.lacks_terminal;
  tracee.stops_itself = !wanted.is_shell;
  tracee.mem.reset(open(proc_path(pid, "mem").c_str(), O_RDWR | O_CLOEXEC));
  if (!lives(wanted.process) || !has_open(pid, terminal_))
    return Seized::kNever;
  if (!(tracee.lacks_terminal ? seize(pid) : seize_alone(pid)))
    return Seized::kNotYet;
  (void)interrupt(pid);  // it may wait for us; and a shell goes from call to call then
  tracees_.insert_or_assign(pid, std::move(tracee));
  return Seized::kYes;
}

/// Another tracer may still hold some of them, for an instant.
void JobGuard::seize_all() {
  std::vector<Wanted> wanted;
  for (const Guarding::Shell& shell : guarding_.shells)
    wanted.push_back({shell, true, shell.lacks_terminal});
  for (const Guarding::Process& process : guarding_.self_stoppers)
    wanted.push_back({process});
  for (const auto begun = Clock::now(); Clock::now() < begun + kSeizeLimit;) {
    std::erase_if(wanted, [this](const Wanted& one) { return seize_one(one) != Seized::kNotYet; });
    if (wanted.empty())
      return;
    while (serve(Wait::kPoll)) {
    }
    constexpr timespec kInstant{0, 20'000};
    (void)nanosleep(&kInstant, nullptr);
  }
}

/// Whether there was something to do.
bool JobGuard::serve(Wait wait) {
  const Waited waited = wait_for_tracees(wait);
  if (waited.what == Waited::What::kEnded)
    tracees_.erase(waited.tid);
  else if (waited.what == Waited::What::kStopped)
    at_stop(waited.tid, waited.stop);
  return waited.what != Waited::What::kNobody && waited.what != Waited::What::kNothing;
}

void JobGuard::run() {
  (void)prctl(PR_SET_TIMERSLACK, 1);
  seize_all();
  while (is_needed() && serve(Wait::kBlock)) {
  }
  front_.show(0);
}

bool JobGuard::is_needed() const {
  bool shell_is_left = false;
  for (const auto& [pid, tracee] : tracees_) {
    if (tracee.lacks_terminal)
      return true;
    shell_is_left = shell_is_left || tracee.is_shell;
  }
  return shell_is_left &&
         std::any_of(guarding_.job_pgids.begin(), guarding_.job_pgids.end(),
                     [](pid_t pgid) { return kill(-pgid, 0) == 0 || errno == EPERM; });
}

void JobGuard::resume_it(pid_t tid, const Tracee& tracee, int signo) const {
  const bool at_calls = tracee.is_shell || tracee.watched_calls > 0;
  (void)(at_calls ? resume_to_system_call(tid, signo) : resume(tid, signo));
}

/// Takes in what a shell that lacks its terminal has just started: until it has become its program
/// it puts itself in front (zsh leaves it to it). Not a new thread.
bool JobGuard::adopt(pid_t tid) {
  const auto stat = proc::stat_of(tid);
  const auto status = proc::status_of(tid);
  const bool is_process = status && !status->ns_pids.empty() && status->ns_pids.front() == tid;
  if (!stat || !is_process || tracees_.count(stat->ppid) == 0)
    return false;
  Tracee tracee;
  tracee.is_shell = tracee.lacks_terminal = true;
  tracee.mem.reset(open(proc_path(tid, "mem").c_str(), O_RDWR | O_CLOEXEC));
  tracees_.emplace(tid, std::move(tracee));
  return true;
}

/// At its first stop.
void JobGuard::take_over(pid_t tid) {
  const auto run = std::find_if(runs_.begin(), runs_.end(),
                                [tid](const BatchRun& one) { return one.tid() == tid; });
  if (run == runs_.end())
    return;
  run->take_over();
  runs_.erase(run);
}

void JobGuard::at_stop(pid_t tid, const Stop& stop) {
  if (tracees_.count(tid) == 0 && !adopt(tid)) {
    (void)detach(tid);
    return;
  }
  take_over(tid);
  const auto found = tracees_.find(tid);
  Tracee& tracee = found->second;
  switch (stop.kind()) {
    case StopKind::kGroupStop:
      if (!tracee.has_gone_on || tracee.stops_itself) {
        if (tracee.has_gone_on)
          tracee.watched_calls = 0;
        (void)listen(tid);
        return;
      }
      break;
    case StopKind::kSignalDelivery:
      return deliver(tid, tracee, stop.signo());
    case StopKind::kSystemCall:
      if (at_system_call(tid, tracee))
        return resume_it(tid, tracee);
      break;
    case StopKind::kExec:  // it is another program now
      break;
    default:
      return resume_it(tid, tracee);
  }
  tracees_.erase(found);
  (void)detach(tid);
}

// Kernel: a stop signal with its default action is discarded where the process group is orphaned,
// and the jobs of a shell that has made a session of its own are: their parents are in another one.
// SIGSTOP is not discarded. Whether it is, is looked at after the tracer has seen the signal.
// Source: kernel/signal.c get_signal(); seen with vim's ^Z.
void JobGuard::deliver(pid_t tid, const Tracee& tracee, int signo) const {
  const bool stops = signo == SIGTSTP || signo == SIGTTIN || signo == SIGTTOU;
  const auto status = !tracee.is_shell && stops ? proc::status_of(tid) : std::nullopt;
  resume_it(tid, tracee, status && !status->caught.has(signo) ? SIGSTOP : signo);
}

bool JobGuard::at_system_call(pid_t tid, Tracee& tracee) {
  const Result<arch::Registers> regs = get_registers(tid);
  if (!regs)
    return tracee.is_shell;
  // Kernel: a traced process gets no privileges of a set-user-ID program -> it goes untraced into
  // an exec(3). Source: execve(2).
  if (arch::entering_exec(*regs))
    return false;
  // Kernel: a write(2) to a terminal looks for a signal before it writes anything, and with a
  // handler without SA_RESTART is EINTR then: zsh and stdio(3) throw away what they were to write.
  // Untraced the signal would have to come in the instant between the entry and that look; here it
  // can come while the tracee is stopped at the entry. Source: drivers/tty/n_tty.c n_tty_write();
  // seen: a lost prompt.
  if (const auto again = arch::write_made_again(*regs)) {
    (void)set_registers(tid, *again);
    return true;
  }
  if (!tracee.is_shell) {
    tracee.has_gone_on = true;
    stop_in_background(tid, *regs);
    return --tracee.watched_calls > 0 || tracee.stops_itself;
  }
  if (const auto kill = arch::entering_kill(*regs); kill && kill->signo == SIGCONT)
    watch_continued(kill->pid);
  const auto call = arch::entering_foreground_call(*regs);
  if (!call || device_of(tid, std::to_string(call->fd)) != terminal_)
    return true;
  pid_t pgid = 0;
  if (!call->sets)
    tell_front(tid, tracee, *regs, call->pgid);
  else if (pread(tracee.mem.get(), &pgid, sizeof pgid, static_cast<off_t>(call->pgid)) ==
           static_cast<ssize_t>(sizeof pgid))
    set_front(tid, tracee, *regs, pgid);
  return true;
}

/// The group that has the keyboard where no shell has put another in front.
pid_t JobGuard::usual_front() const {
  const auto root = proc::stat_of(guarding_.root);
  return root && root->tpgid > 0 ? root->tpgid : guarding_.job_pgid;
}

// Kernel: tcsetpgrp(3) takes a group of the caller's session only (EPERM), of a terminal that
// controls it (ENOTTY). bash goes on after either; zsh switches its job control off; fish 3.6 asks
// again, for ever. Source: drivers/tty/tty_jobctrl.c tiocspgrp(); seen.
void JobGuard::set_front(pid_t tid, const Tracee& tracee, const arch::Registers& regs, pid_t pgid) {
  const pid_t session = session_of(pgid);
  if (!tracee.lacks_terminal && (session == 0 || session == getsid(tid))) {
    front_.show(0);  // the kernel will have it
    return;
  }
  front_.show(session == 0 || pgid == usual_front() ? 0 : pgid);
  (void)set_registers(tid, arch::skip_call(regs, 0));
}

void JobGuard::tell_front(pid_t tid, const Tracee& tracee, const arch::Registers& regs,
                          std::uint64_t address) const {
  pid_t pgid = front_.shown();
  if (pgid == 0 && !tracee.lacks_terminal)
    return;
  if (pgid == 0)
    pgid = usual_front();
  if (pwrite(tracee.mem.get(), &pgid, sizeof pgid, static_cast<off_t>(address)) ==
      static_cast<ssize_t>(sizeof pgid))
    (void)set_registers(tid, arch::skip_call(regs, 0));
}

bool JobGuard::is_in_front(pid_t pgid) const {
  const pid_t shown = front_.shown();
  return pgid == (shown != 0 ? shown : usual_front());
}

/// A shell continues a group (negative) or a process. Those of them that were stopped, and that the
/// kernel will not stop again in the background since they have no controlling terminal, are
/// watched from before they go on: what is typed already is not for them either.
void JobGuard::watch_continued(pid_t killed) {
  const std::vector<pid_t> pids =
      killed < -1 ? members_of(-killed) : std::vector<pid_t>{std::max(killed, 0)};
  for (const pid_t pid : pids) {
    const auto stat = proc::stat_of(pid);
    const auto known = tracees_.find(pid);
    if (!stat || stat->tty != 0 || (stat->state != 'T' && stat->state != 't') ||
        is_in_front(stat->pgid) || (known != tracees_.end() && known->second.is_shell) ||
        !has_open(pid, terminal_) || (known == tracees_.end() && !seize_alone(pid)))
      continue;
    Tracee& tracee = tracees_[pid];
    tracee.watched_calls = kWatchedCalls;
    tracee.has_gone_on = false;
  }
}

// Kernel: in the background of its controlling terminal, and of that alone, a process is stopped
// where it begins to read(2) or sets the modes, and does that again when it is continued; EIO where
// it ignores or blocks SIGTTIN, nothing where it does SIGTTOU. One that waits in read(2) already
// goes on waiting. Source: drivers/tty/tty_jobctrl.c __tty_check_change(); seen.
void JobGuard::stop_in_background(pid_t tid, const arch::Registers& regs) const {
  const auto use = arch::entering_terminal_use(regs);
  const pid_t pgid = getpgid(tid);
  if (!use || device_of(tid, std::to_string(use->fd)) != terminal_ || is_in_front(pgid))
    return;
  const int signo = use->reads ? SIGTTIN : SIGTTOU;
  const auto status = proc::status_of(tid);
  if (status && (status->ignored.has(signo) || status->blocked.has(signo))) {
    if (use->reads)
      (void)set_registers(tid, arch::skip_call(regs, -EIO));
    return;
  }
  (void)set_registers(tid, arch::enter_again(regs));
  for (const pid_t member : members_of(pgid)) {
    if (const auto signals = proc::status_of(member); signals && !signals->ignored.has(signo))
      (void)::kill(member, signals->caught.has(signo) ? signo : SIGSTOP);
  }
}

// ---------------------------------------------------------------- the processes

namespace {

/// Keeps nothing open that somebody could wait for.
void leave_all_but(int front) {
  (void)setsid();
  (void)(chdir("/") != 0);                  // lest a file system cannot be unmounted
  (void)prctl(PR_SET_NAME, kJobGuardName);  // for who looks with ps(1), and for gives_way()
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
    (void)dup2(null, fd);
  if (front != kGuardMemory)
    (void)dup3(front, kGuardMemory, O_CLOEXEC);
  (void)close_range(kGuardMemory + 1, ~0U, 0);
  for (const int signo : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE})
    (void)signal(signo, SIG_IGN);
  (void)signal(SIGCHLD, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void guard(const Guarding& guarding, dev_t terminal, std::vector<BatchRun>&& runs) {
  (void)signal(kGiveWay, SIG_DFL);
  if (Result<Front> front = Front::open(kGuardMemory)) {
    front->vouch();
    JobGuard(guarding, *front, terminal, std::move(runs)).run();
  }
  _exit(0);
}

/// Returns when nobody has traced a shell for a while, or none is left on the terminal.
void stand_aside(const Guarding& guarding, dev_t terminal) {
  auto since = Clock::now();
  while (Clock::now() < since + kGuardAside) {
    bool is_there = false;
    for (const Guarding::Shell& shell : guarding.shells) {
      is_there = is_there || (lives(shell) && has_open(shell.pid, terminal));
      if (proc::tracer_of(shell.pid) != 0)
        since = Clock::now();
    }
    if (!is_there)
      return;
    sleep_for(kBetweenLooks);
  }
}

}  // namespace

void start_job_guard(const Guarding& guarding, int front, int ptmx,
                     const std::vector<BatchRun>& runs) {
  constexpr int kLives = 100;  // more than anybody kills, few enough to end where one always dies
  constexpr unsigned kPtsMajor = 136;
  unsigned index = 0;
  if (guarding.shells.empty() || front < 0 || ioctl(ptmx, TIOCGPTN, &index) != 0)
    return;
  if (fork() != 0)
    return;
  std::vector<BatchRun> handed;
  std::copy_if(runs.begin(), runs.end(), std::back_inserter(handed),
               [&guarding](const BatchRun& run) { return guarding.has(run.pid()); });
  const dev_t terminal = makedev(kPtsMajor, index);
  leave_all_but(front);
  (void)signal(kGiveWay, SIG_IGN);
  if (Result<Front> shown = Front::open(kGuardMemory)) {
    shown->vouch();
    shown->show(guarding.front_pgid);
  }
  for (int life = 0; life < kLives; life++) {
    const pid_t child = fork();
    if (child == 0)
      guard(guarding, terminal, std::move(handed));
    handed.clear();  // those whose guard was killed before have come out by themselves
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
      break;
    if (WTERMSIG(status) == kGiveWay)
      stand_aside(guarding, terminal);
  }
  _exit(0);
}

}  // namespace grab::tracer
