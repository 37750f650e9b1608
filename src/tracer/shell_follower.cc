// SPDX-License-Identifier: MIT
#include "tracer/shell_follower.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "proc/surroundings.h"
#include "tracer/guards.h"
#include "tracer/ptrace.h"

namespace grab::tracer {
namespace {

using std::chrono::milliseconds;
using Step = Progress::Step;

constexpr milliseconds kQuiet{2};        // a shell in a wait has long been seen by then
constexpr milliseconds kKickAgain{100};  // a signal that came while it was blocked may be lost
constexpr milliseconds kDrain{10};       // as script(1) itself has it when its child has ended
constexpr int kMostKicks = 5;            // dash looks at its next command only, whatever it gets
constexpr const char* kTask = "/task";

std::string proc_path(pid_t pid, const char* file) {
  return "/proc/" + std::to_string(pid) + file;
}

std::vector<pid_t> threads_now(pid_t pid) {
  std::vector<pid_t> tids;
  DIR* folder = opendir(proc_path(pid, kTask).c_str());
  if (folder == nullptr)
    return tids;
  while (const dirent* entry = readdir(folder)) {
    if (const int tid = std::atoi(entry->d_name); tid > 0)
      tids.push_back(tid);
  }
  closedir(folder);
  return tids;
}

bool is_alive(pid_t pid) {
  const auto stat = proc::stat_of(pid);
  return stat && stat->state != 'Z' && stat->state != 'X';
}

uid_t owner_of(pid_t pid) {
  struct stat info {};
  (void)stat(proc_path(pid, "").c_str(), &info);
  return info.st_uid;
}

/// A process that the shell has started meanwhile, born under trace: none of ours.
void release_other(pid_t tid, const Stop& stop) {
  if (stop.kind() == StopKind::kEnded)
    return;
  if (!detach(tid, stop.kind() == StopKind::kSignalDelivery ? stop.signo() : 0))
    (void)resume(tid);
}

}  // namespace

ShellFollower::ShellFollower(const Telling& telling, Progress& progress)
    : telling_(telling),
      progress_(progress),
      last_stop_(Clock::now()),
      last_kick_(last_stop_ - kKickAgain) {}

/// From the guard of another grab, if there is one: its jobs are ours before it gives way. What it
/// tells in between is told twice, which harms nothing. One that only tells yet is waited for.
Status ShellFollower::seize_shell() {
  const auto deadline = Clock::now() + 2 * kGuardAside;
  for (;;) {
    const auto theirs = progress_of_guard(telling_.shell, telling_.shell_start_time);
    if (!theirs || progress_.add(*theirs))
      have_guard_give_way(telling_.shell);
    Status seized = seize(telling_.shell);
    if (seized || proc::tracer_of(telling_.shell) == 0 || Clock::now() > deadline)
      return seized;
    std::this_thread::sleep_for(milliseconds{1});
  }
}

Status ShellFollower::seize_all() {
  GRAB_CHECK(seize_shell());
  (void)interrupt(telling_.shell);
  threads_.insert(telling_.shell);
  mem_.reset(open(proc_path(telling_.shell, "/mem").c_str(), O_RDWR | O_CLOEXEC));
  for (bool again = true; again;) {  // until no thread is new
    again = false;
    for (const pid_t tid : threads_now(telling_.shell)) {
      if (threads_.count(tid) != 0)
        continue;
      if (!seize(tid))
        continue;  // it has ended, or was born under trace
      threads_.insert(tid);
      (void)interrupt(tid);
      again = true;
    }
  }
  const auto stat = proc::stat_of(telling_.shell);
  if (!stat || stat->start_time != telling_.shell_start_time)
    return fail(ErrorKind::kGone, "the shell " + std::to_string(telling_.shell) + " has ended");
  return {};
}

Status ShellFollower::tell(milliseconds limit) {
  Clock::time_point deadline = Clock::now() + limit;
  while (!progress_.is_told() && Clock::now() < deadline) {
    const bool was_in_wait = in_wait_;
    const Event event = next_event(Wait::kPoll);
    if (was_in_wait && !in_wait_)
      deadline = Clock::now() + limit;  // only now can it be asked to look
    if (event == Event::kNone)
      kick(deadline);
    if (event == Event::kEnded)
      return fail(ErrorKind::kGone, "the shell " + std::to_string(telling_.shell) + " has ended");
  }
  // One that was killed may have told this, and the shell does not ask twice.
  for (Progress::Child& child : progress_) {
    Step doubtful = Step::kDoubtful;
    child.step.compare_exchange_strong(doubtful, Step::kTold);
  }
  return {};
}

void ShellFollower::follow() {
  while (!progress_.is_told() || (progress_.guards != 0 && !has_forgotten())) {
    // On a busy machine the shell may wait for input, where it can be asked to look, only now.
    const bool may_ask = !progress_.is_told() && kicks_ < kMostKicks;
    const Event event = next_event(may_ask ? Wait::kPoll : Wait::kBlock);
    if (event == Event::kEnded || jobs_have_ended())
      return;
    if (event == Event::kNone)
      kick(Clock::time_point::max());
  }
}

void ShellFollower::close_other_descriptors(UniqueFd& memory) {
  constexpr int kMem = kGuardMemory + 1;
  mem_.reset(fcntl(mem_.get(), F_DUPFD_CLOEXEC, kMem));
  place_for_next_grab(memory);
  if (mem_.get() != kMem)
    mem_.reset(dup3(mem_.get(), kMem, O_CLOEXEC));
  (void)close_range(kMem + 1, ~0U, 0);
}

ShellFollower::Event ShellFollower::next_event(Wait wait) {
  Waited waited;
  do
    waited = wait_for_tracees(wait);
  while (waited.what == Waited::What::kInterrupted);
  if (waited.what == Waited::What::kNobody)
    return Event::kEnded;
  if (waited.what == Waited::What::kNothing)
    return Event::kNone;
  if (!is_thread_of_shell(waited.tid)) {
    release_other(waited.tid, waited.stop);
    return Event::kStop;
  }
  last_stop_ = Clock::now();
  if (waited.what == Waited::What::kStopped)
    return handle(waited.tid, waited.stop);
  threads_.erase(waited.tid);
  return waited.tid == telling_.shell ? Event::kEnded : Event::kStop;
}

bool ShellFollower::is_thread_of_shell(pid_t tid) {
  if (threads_.count(tid) != 0)
    return true;
  if (access((proc_path(telling_.shell, kTask) + "/" + std::to_string(tid)).c_str(), F_OK) != 0)
    return false;
  threads_.insert(tid);
  return true;
}

ShellFollower::Event ShellFollower::handle(pid_t tid, const Stop& stop) {
  is_waiting_ = is_waiting_ && tid != telling_.shell;
  switch (stop.kind()) {
    case StopKind::kGroupStop:
      (void)listen(tid);
      return Event::kStop;
    case StopKind::kSignalDelivery:
      hung_up_ = hung_up_ || stop.signo() == SIGHUP || stop.signo() == SIGTERM;
      (void)resume_to_system_call(tid, stop.signo());
      return Event::kStop;
    case StopKind::kSystemCall:
      at_system_call(tid);
      break;
    case StopKind::kInterrupted:
      break_off_wait(tid);
      break;
    case StopKind::kFork:
    case StopKind::kVfork:
      next_command_ = next_command_ || !hung_up_;
      break;
    case StopKind::kExec:
      return Event::kEnded;  // `exec`: it is no shell any more
    default:
      break;
  }
  (void)resume_to_system_call(tid);
  return Event::kStop;
}

/// Interrupts a shell that is in a builtin `wait`, as ^C would: when the wait returned, the shell
/// would go on with what stands behind it. One that waits on (zsh) is left waiting.
void ShellFollower::break_off_wait(pid_t tid) {
  if (!telling_.background || tid != telling_.shell || progress_.is_told())
    return;
  const auto stat = proc::stat_of(tid);
  const Result<arch::Registers> regs = get_registers(tid);
  // With another job in the foreground it waits for that one, and does not run on.
  if (!stat || !regs || stat->tpgid != stat->pgid || !arch::sleeps_for_child(*regs))
    return;
  in_wait_ = true;
  if (progress_.interrupted.exchange(1) == 0)
    (void)kill(tid, SIGINT);
}

void ShellFollower::at_system_call(pid_t tid) {
  const Result<arch::Registers> regs = get_registers(tid);
  if (!regs)
    return;
  const bool reads = arch::entering_read(*regs);
  in_wait_ = in_wait_ && !reads;
  if (tid == telling_.shell)
    is_waiting_ = reads || arch::entering_sleep(*regs);
  // bash that is hung up reads its history, to shorten it, before it hangs up its jobs.
  at_prompt_ = at_prompt_ || (reads && progress_.is_told() && !hung_up_);
  if (telling_.is_script && lead_out(tid, *regs))
    return;
  if (const auto wait = arch::entering_wait(*regs); wait && !in_wait_)
    answer(tid, *regs, *wait);
  else
    withhold(tid, *regs);
}

/// Answers a wait for one of the job in the kernel's place, and once more where a shell that was
/// told asks again for that child by its pid (xonsh).
void ShellFollower::answer(pid_t tid, const arch::Registers& regs, const arch::WaitCall& wait) {
  for (Progress::Child& child : progress_) {
    const bool again = child.step == Step::kTold;
    if (!(again ? names(wait, child.pid) : asks_for(wait, child)) || !write_answer(wait, child))
      continue;
    // Before the second of these calls the shell waits as it did; behind it, it has been told.
    next_command_ = false;
    waited_ = waited_ || (wait.options & WNOHANG) == 0;
    child.step = Step::kDoubtful;
    if (set_registers(tid, arch::skip_call(regs, wait.is_waitid ? 0 : child.pid)))
      child.step = Step::kTold;
    return;
  }
}

/// script(1) learns of a child's end from a signalfd, in which only the kernel can say so. It asks
/// by itself, though, when its poll(2) has timed out: it then leaves what it copies, asks until it
/// has no child, and ends. With a limit the kernel decides whether anything is left to be copied.
/// If we die, it copies on, or waits for its child's end.
// Kernel: poll(2) of a ptmx finds all that was written to its pts before. Source: drivers/tty/
// n_tty.c n_tty_poll, tty_buffer_flush_work().
bool ShellFollower::lead_out(pid_t tid, const arch::Registers& regs) {
  const auto wait = arch::entering_wait(regs);
  const bool is_told = progress_.is_told();
  const bool asks_again = wait && is_told && wait->id == -1 && (wait->options & WNOHANG) == 0;
  const auto poll = is_told ? std::nullopt : arch::with_poll_limit(regs, kDrain);
  if (asks_again)
    (void)set_registers(tid, arch::skip_call(regs, -ECHILD));
  else if (poll)
    (void)set_registers(tid, *poll);
  else if (is_told && arch::entering_exit(regs))
    end_by_interrupt(tid, regs);
  else
    return false;
  return true;
}

/// Has it die of SIGINT where it would exit: a shell breaks off the rest of the line then, as when
/// it is told itself. If we die in between, it exits.
// Kernel: before the first instruction behind a call, which there must be none of, pending signals
// are seen to. Source: kernel/entry/common.c exit_to_user_mode_loop; seen.
void ShellFollower::end_by_interrupt(pid_t tid, const arch::Registers& regs) {
  const auto status = proc::status_of(telling_.shell);
  if (!status || status->blocked.has(SIGINT) || status->ignored.has(SIGINT) ||
      status->caught.has(SIGINT) || kill(telling_.shell, SIGINT) != 0)
    return;
  (void)set_registers(tid, arch::skip_call(regs, 0));
}

bool ShellFollower::names(const arch::WaitCall& wait, pid_t child) {
  return wait.id == child && (!wait.is_waitid || wait.id_type == P_PID);
}

bool ShellFollower::asks_for(const arch::WaitCall& wait, const Progress::Child& child) {
  if (wait.is_waitid) {
    if ((wait.options & WEXITED) == 0 || (wait.options & WNOWAIT) != 0)
      return false;
    return wait.id_type == P_ALL || (wait.id_type == P_PID && wait.id == child.pid) ||
           (wait.id_type == P_PGID && (wait.id == child.pgid || wait.id == 0));
  }
  return wait.id == -1 || wait.id == child.pid || wait.id == -child.pgid;
}

bool ShellFollower::write_answer(const arch::WaitCall& wait, const Progress::Child& child) const {
  const auto result = arch::wait_result(
      wait, {.pid = child.pid, .uid = owner_of(child.pid), .wait_status = child.wait_status});
  const std::vector<std::byte> no_usage(arch::rusage_size(wait));
  return write(wait.status, result.data(), result.size()) &&
         write(wait.rusage, no_usage.data(), no_usage.size());
}

bool ShellFollower::write(std::uint64_t address, const void* bytes, std::size_t size) const {
  return address == 0 ||
         pwrite(mem_.get(), bytes, size, static_cast<off_t>(address)) == static_cast<ssize_t>(size);
}

/// A shell hangs up the jobs in its table when it ends: these have left. What the user sends by
/// hand meanwhile is not withheld.
void ShellFollower::withhold(pid_t tid, const arch::Registers& regs) {
  const auto call = arch::entering_kill(regs);
  const auto is_meant = [&call](const Progress::Child& child) { return call->pid == -child.pgid; };
  if (!call || std::none_of(progress_.begin(), progress_.end(), is_meant))
    return;
  if (hung_up_ || call->signo == SIGHUP || call->signo == SIGCONT)
    (void)set_registers(tid, arch::skip_call(regs, -ESRCH));
}

/// A job that it waited for is gone by its prompt. One that it has in the background, or has seen
/// stop, it reports there, and it may be reading already when it is told. The keeper of the old
/// terminal, told that its shell has left in the ordinary way, has no prompt: it reads on until it
/// ends. Nor is it known of jobs that another grab has moved when they were told.
bool ShellFollower::has_forgotten() const {
  const bool is_keeper = telling_.wait_status == 0 || telling_.is_script;
  const bool is_only_job = progress_.count == telling_.children.size();
  return next_command_ ||
         (at_prompt_ && waited_ && !telling_.background && !is_keeper && is_only_job);
}

bool ShellFollower::jobs_have_ended() const {
  return std::none_of(progress_.begin(), progress_.end(),
                      [](const Progress::Child& child) { return is_alive(child.pid); });
}

/// Waits for the next stop, but not beyond the time when the shell is to get a SIGCHLD to make it
/// look for children.
// Kernel: a write to a terminal with a signal pending returns before it has written anything; with
// a handler without SA_RESTART that is EINTR -> a shell (busybox) that is kicked as it writes its
// prompt shows none. It is kicked in calls only in which it waits and is used to SIGCHLD. Source:
// drivers/tty/n_tty.c n_tty_write; seen.
void ShellFollower::kick(Clock::time_point deadline) {
  const auto now = Clock::now();
  const auto kick_at = std::max(last_stop_ + kQuiet, last_kick_ + kKickAgain);
  const bool may_kick = is_waiting_ && !in_wait_;
  if (may_kick && now >= kick_at) {
    (void)kill(telling_.shell, SIGCHLD);
    last_kick_ = now;
    kicks_++;
    return;
  }
  const auto next = may_kick ? std::min(kick_at, deadline) : deadline;
  const std::chrono::nanoseconds left = std::max(next - now, Clock::duration(0));
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
  const timespec limit{seconds.count(),
                       static_cast<long>(std::max<std::int64_t>((left - seconds).count(), 1))};
  (void)sigtimedwait(&set, nullptr, &limit);
}

}  // namespace grab::tracer
