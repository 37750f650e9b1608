// SPDX-License-Identifier: MIT
#include "tracer/batch_run.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "tracer/plan.h"
#include "tracer/ptrace.h"

namespace grab::tracer {
namespace {

constexpr std::uint64_t kAllSignals = ~0ULL;

const arch::VdsoTail& tail() {
  static const arch::VdsoTail found = arch::vdso_tail();
  return found;
}

}  // namespace

Result<BatchRun> BatchRun::look(const proc::Process& process, pid_t tid, int mem_fd) {
  BatchRun run;
  run.pid_ = process.stat.pid;
  run.tid_ = tid;
  run.mem_fd_ = mem_fd;
  run.name_ = name_of(process);
  run.continue_pending_ =
      process.status.pending.has(SIGCONT) || process.status.shared_pending.has(SIGCONT);
  GRAB_TRY(run.stopped_, get_registers(tid));
  if (!arch::in_system_call(run.stopped_)) {
    const std::uint64_t ip = arch::instruction_pointer(run.stopped_);
    run.stopped_ =
        arch::with_instruction_pointer(run.stopped_, after_restartable_sequence(tid, mem_fd, ip));
  }
  GRAB_TRY(run.signal_mask_, get_signal_mask(tid));
  if (tail().size == 0) {
    return fail(ErrorKind::kUnsupported,
                "this kernel's vDSO has no room for the calls that move a process");
  }
  run.code_ = process.vdso + tail().offset;
  run.table_at_ = (run.code_ + arch::batch_code_size() + 7) & ~std::uint64_t{7};
  run.limit_ = process.vdso + tail().offset + tail().size;
  return run;
}

Status BatchRun::write(std::uint64_t address, const std::vector<std::byte>& bytes) const {
  const ssize_t wrote = pwrite(mem_fd_, bytes.data(), bytes.size(), static_cast<off_t>(address));
  if (wrote == static_cast<ssize_t>(bytes.size()))
    return {};
  return fail_errno(wrote < 0 ? errno : EFAULT, "writing to the vDSO of " + name_);
}

Status BatchRun::load(BatchTable table) {
  batch_ = std::move(table);
  const std::vector<std::byte> calls = arch::encode(batch_.table, table_at_);
  if (table_at_ + calls.size() > limit_) {
    return fail(ErrorKind::kUnsupported,
                name_ + " has more descriptors on the terminal than grab can move yet");
  }
  std::vector<std::byte> bytes = arch::batch_code(arch::resume_by_itself(stopped_));
  bytes.resize(table_at_ - code_);
  bytes.insert(bytes.end(), calls.begin(), calls.end());
  written_ = bytes.size();
  return write(code_, bytes);
}

// If the tracer dies between the registers and the mask, a handler may run before the batch does;
// it comes back to it.
Status BatchRun::go(std::size_t first_call) {
  GRAB_CHECK(set_registers(tid_, arch::enter_batch(stopped_, {.code = code_,
                                                              .table = table_at_,
                                                              .first_call = first_call,
                                                              .failure_call = batch_.first_stop})));
  // Until finish() or the end of the table the mask stays, so that it is set once.
  if (!std::exchange(entered_, true))
    GRAB_CHECK(set_signal_mask(tid_, kAllSignals));
  return resume(tid_);
}

Status BatchRun::start_prepare() {
  return go(batch_.prepare);
}
Status BatchRun::start_commit() {
  return go(batch_.commit);
}

Status BatchRun::start_undo() {
  // From here on the undo ends in a stop, for there is a tracer to see it.
  const std::uint64_t signal_at = table_at_ + batch_.undo_stop * arch::kPackedCallSize + 8 +
                                  kStopSignalArgument * sizeof(std::int32_t);
  const std::int32_t signo = SIGSTOP;
  std::vector<std::byte> bytes(sizeof signo);
  std::memcpy(bytes.data(), &signo, sizeof signo);
  GRAB_CHECK(write(signal_at, bytes));
  return go(batch_.undo);
}

bool BatchRun::is_stop_call(std::size_t call) const {
  return call == batch_.first_stop || call == batch_.undo_stop || call == batch_.commit_stop;
}

Status BatchRun::await() {
  arch::Registers regs;
  for (;;) {
    int status = 0;
    if (waitpid(tid_, &status, __WALL) < 0) {
      if (errno == EINTR)
        continue;
      return fail_errno(errno, "waiting for " + name_);
    }
    const Stop stop(status);
    if (stop.kind() == StopKind::kEnded)
      return fail(ErrorKind::kGone, name_ + " was killed while it was moved");
    if (stop.kind() == StopKind::kSignalDelivery && stop.signo() == SIGSTOP) {
      // Kernel: a thread's own signals are delivered before those of its process, so at a stop call
      // the first SIGSTOP is the batch's. Source: kernel/signal.c dequeue_signal.
      GRAB_TRY(regs, get_registers(tid_));
      if (is_stop_call(arch::batch_position(regs, table_at_)))
        break;
    }
    // Only a SIGSTOP from outside gets here, all else is blocked: it is passed on, and a group-stop
    // does not keep the batch from running.
    GRAB_CHECK(resume(tid_, stop.kind() == StopKind::kSignalDelivery ? stop.signo() : 0));
  }
  const std::optional<arch::BatchFailure> failure = arch::batch_failure(regs, table_at_);
  if (!failure)
    return {};
  const std::string name =
      failure->call < batch_.names.size() ? batch_.names[failure->call] : "a call";
  if (const auto check = batch_.flag_checks.find(failure->call);
      check != batch_.flag_checks.end() && failure->result >= 0) {
    other_flag_ = OtherFlag{check->second, failure->result != 0};
  }
  if (failure->result < 0) {
    return fail_errno(static_cast<int>(-failure->result), name + " in " + name_);
  }
  return fail(ErrorKind::kSystem, name + " in " + name_ + " gave " +
                                      std::to_string(failure->result) +
                                      ", for it has changed meanwhile");
}

void BatchRun::leave() {
  if (!std::exchange(entered_, false))
    return;
  // The mask first: until the registers are back the batch would set the same mask itself.
  (void)set_signal_mask(tid_, signal_mask_);
  // Kernel: with the registers of the interrupted call put back, the kernel itself decides whether
  // it restarts or returns EINTR to a handler, as if nothing had been. Source:
  // arch/x86/kernel/signal.c; seen.
  (void)set_registers(tid_, arch::resume_by_kernel(stopped_));
  other_flag_.reset();
  ran_ = true;
}

void BatchRun::finish() {
  leave();
  if (written_ > 0)
    (void)write(code_, std::vector<std::byte>(written_));
  (void)detach(tid_);
  // Kernel: a SIGSTOP that is sent takes a queued SIGCONT out of the queue. Source: kernel/signal.c
  // prepare_signal.
  if (ran_ && continue_pending_)
    (void)kill(pid_, SIGCONT);
}

}  // namespace grab::tracer
