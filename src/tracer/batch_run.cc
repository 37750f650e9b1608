// SPDX-License-Identifier: MIT
#include "tracer/batch_run.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "base/fault.h"
#include "base/unique_fd.h"
#include "proc/kernel.h"
#include "proc/parse.h"
#include "proc/vdso.h"
#include "tracer/passing.h"
#include "tracer/plan.h"
#include "tracer/ptrace.h"
#include "tracer/vdso_room.h"

namespace grab::tracer {
namespace {

constexpr std::uint64_t kAllSignals = ~0ULL;
constexpr std::uint64_t kUserSpace = 1ULL << 47U;  // Documentation/arch/x86/x86_64/mm.rst

/// The middle of the widest unused range below `limit` in the address space of a thread, for `size`
/// bytes: nothing that grows gets there.
Result<std::uint64_t> free_address(pid_t tid, std::size_t size, std::uint64_t limit) {
  constexpr std::uint64_t kLowest = 0x100000;  // above vm.mmap_min_addr
  std::ifstream maps("/proc/" + std::to_string(tid) + "/maps");
  std::uint64_t end_before = kLowest;
  std::uint64_t widest = 0;
  std::uint64_t middle = 0;
  for (std::string line; std::getline(maps, line);) {
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64, &start, &end) != 2)
      break;
    start = std::min(start, limit);
    if (start > end_before && start - end_before > widest) {
      widest = start - end_before;
      middle = end_before + widest / 2;
    }
    end_before = std::max(end_before, end);
  }
  constexpr std::uint64_t kPageMask = 0xfff;
  if (widest < 4 * size)
    return fail(ErrorKind::kSystem, "no room in the address space of " + std::to_string(tid));
  return middle & ~kPageMask;
}

/// For tests: lets a call be one that the kernel does not have, or not give what is expected.
void fail_where_asked(BatchTable& batch, pid_t pid) {
  constexpr std::uint16_t kNoCall = 0x3ff;
  const auto visit = [&](const char* part, std::size_t first, std::size_t end) {
    for (std::size_t i = first; i < end; i++) {
      arch::Call& call = batch.table.calls[i];
      if (call.any_result || call.is_end)
        continue;
      const std::string name = std::to_string(pid) + ": " + batch.names[i].text();
      if (fault(part, name, ENOSYS) != 0)
        call.number = kNoCall;
      if (call.yields_descriptor && fault("another number", name, EBUSY) != 0)
        call.expected++;
    }
  };
  visit("prepare", batch.prepare, batch.first_stop);
  visit("commit", batch.commit, batch.no_return);
  visit("commit on", batch.no_return, batch.commit_stop);
  visit("depart", batch.depart, batch.depart_stop);
  if (batch.channel != 0)
    visit("channel", batch.channel, batch.channel + 1);
}

/// What thread `tid` is called in its own pid namespace.
Result<pid_t> number_of_its_own(pid_t tid) {
  std::string text;
  const std::string path = "/proc/" + std::to_string(tid) + "/status";
  if (const int err = proc::read_whole_at(AT_FDCWD, path.c_str(), text); err != 0)
    return fail_errno(err, path);
  GRAB_TRY(const proc::Status status, proc::parse_status(text));
  return status.ns_tids.empty() ? tid : status.ns_tids.back();
}

}  // namespace

Result<BatchRun> BatchRun::look(const proc::Process& process, pid_t tid, int mem_fd) {
  BatchRun run;
  run.pid_ = process.stat.pid;
  run.tid_ = tid;
  run.mem_fd_ = mem_fd;
  run.name_ = name_of(process);
  run.was_stopped_ = process.stat.state == 'T';
  const std::vector<pid_t>& numbers = process.status.ns_pids;
  run.known_pid_ = numbers.empty() ? run.pid_ : numbers.back();
  run.known_tid_ = run.known_pid_;
  if (tid != run.pid_) {
    GRAB_TRY(run.known_tid_, number_of_its_own(tid));
  }
  run.continue_pending_ =
      process.status.pending.has(SIGCONT) || process.status.shared_pending.has(SIGCONT);
  GRAB_TRY(run.stopped_, get_registers(tid));
  // Kernel: a call that is handed to the program is a SIGSYS that cannot be blocked: with all
  // signals blocked it kills. Source: kernel/entry/syscall_user_dispatch.c, force_sig_info_to_task.
  if (has_syscall_user_dispatch(tid)) {
    return fail(ErrorKind::kRefused,
                run.name_ +
                    " handles system calls itself (PR_SET_SYSCALL_USER_DISPATCH), those too"
                    " that would move it");
  }
  // As root, with --force. Others make their calls under the filter, and see what it says.
  if (process.status.seccomp != 0 && geteuid() == 0)
    GRAB_CHECK(suspend_seccomp(tid));
  if (!arch::in_system_call(run.stopped_)) {
    const UniqueFd own = mem_fd < 0 ? open_memory(tid) : UniqueFd();
    const std::uint64_t ip = arch::instruction_pointer(run.stopped_);
    run.stopped_ = arch::with_instruction_pointer(
        run.stopped_, after_restartable_sequence(tid, mem_fd < 0 ? own.get() : mem_fd, ip));
  }
  GRAB_TRY(run.signal_mask_, get_signal_mask(tid));
  GRAB_CHECK(run.find_room(process));
  return run;
}

/// Finds where code and table go. The process stands still, but what it may have done before is not
/// trusted.
Status BatchRun::find_room(const proc::Process& process) {
  const UniqueFd own = mem_fd_ < 0 ? open_memory(tid_) : UniqueFd();
  const int mem_fd = mem_fd_ < 0 ? own.get() : mem_fd_;
  const std::optional<VdsoRoom> whole = find_vdso_room(tid_, mem_fd, process.vdso);
  if (!whole) {
    return fail(
        ErrorKind::kUnsupported,
        name_ + " has no vDSO as the kernel made it, where the calls that move it would lie");
  }
  const VdsoRoom room = without_kept_code(*whole, mem_fd);
  if (!arch::reaches(stopped_, room.end)) {
    return fail(
        ErrorKind::kUnsupported,
        name_ + " is a 64-bit program that is running 32-bit code, which grab does not know");
  }
  // A call has room for such an address, and in the vDSO of 32-bit programs each byte counts.
  constexpr std::uint64_t kNarrow = 1ULL << 31U;
  page_limit_ = room.of_i386 ? kNarrow : kUserSpace;
  code_ = room.start;
  const std::size_t code_size = arch::batch_code(arch::resume_by_itself(stopped_)).size();
  vdso_table_ = (code_ + code_size + 7) & ~std::uint64_t{7};
  limit_ = room.end;
  if (room.contains(arch::instruction_pointer(stopped_))) {
    return fail(ErrorKind::kRefused,
                name_ + " still is in the calls that a grab which was killed has had it make",
                "kill -CONT " + std::to_string(pid_) + " lets it come out of them; then try again");
  }
  return {};
}

Status BatchRun::write(std::uint64_t address, const std::vector<std::byte>& bytes) const {
  if (const int err = fault("pwrite", pid_, EFAULT); err != 0)
    return fail_errno(err, "writing to the vDSO of " + name_);
  const UniqueFd own = mem_fd_ < 0 ? open_memory(tid_) : UniqueFd();
  const ssize_t wrote = pwrite(mem_fd_ < 0 ? own.get() : mem_fd_, bytes.data(), bytes.size(),
                               static_cast<off_t>(address));
  if (wrote == static_cast<ssize_t>(bytes.size()))
    return {};
  return fail_errno(wrote < 0 ? errno : EFAULT, "writing to the vDSO of " + name_);
}

bool BatchRun::fits(const BatchTable& table) const {
  return vdso_table_ + arch::encoded_size(table.table) <= limit_;
}

/// Puts the code, and a table behind it, into the vDSO.
Status BatchRun::load_code_and(const arch::CallTable& table) {
  const std::vector<std::byte> calls = arch::encode(table, vdso_table_);
  // Behind the vDSO lies what is the process's own.
  if (vdso_table_ + calls.size() > limit_) {
    return fail(ErrorKind::kUnsupported, "this kernel's vDSO for programs like " + name_ +
                                             " has no room for the calls that move it");
  }
  std::vector<std::byte> bytes = arch::batch_code(arch::resume_by_itself(stopped_), was_stopped_);
  bytes.resize(vdso_table_ - code_);
  bytes.insert(bytes.end(), calls.begin(), calls.end());
  written_ = std::max(written_, bytes.size());
  return write(code_, bytes);
}

Status BatchRun::load(BatchTable table) {
  batch_ = std::move(table);
  if constexpr (kFaults)
    fail_where_asked(batch_, pid_);
  const auto call_at = [this](std::size_t call) {
    return table_at_ + call * arch::kPackedCallSize;
  };
  if (!page_) {
    table_at_ = vdso_table_;
    stops_ = {call_at(batch_.first_stop), call_at(batch_.undo_stop), call_at(batch_.commit_stop)};
    return load_code_and(batch_.table);
  }
  table_at_ = page_->address + batch_.mailbox.size();
  stops_ = {call_at(batch_.first_stop), vdso_table_};
  if (batch_.depart != 0)
    stops_.push_back(call_at(batch_.depart_stop));
  std::vector<std::byte> bytes = batch_.mailbox;
  const std::vector<std::byte> calls = arch::encode(batch_.table, table_at_);
  bytes.insert(bytes.end(), calls.begin(), calls.end());
  GRAB_CHECK(write(page_->address, bytes));
  return load_code_and(
      make_end_table(known_pid_, known_tid_, signal_mask_, batch_.waits_for_guard));
}

/// Loads a table of one call and a stop, and runs it to the stop; what the call has returned.
Result<std::int64_t> BatchRun::run_one_call(const arch::CallTable& table) {
  batch_ = {};
  batch_.first_stop = 1;
  table_at_ = vdso_table_;
  stops_ = {vdso_table_ + arch::kPackedCallSize};
  GRAB_CHECK(load_code_and(table));
  GRAB_CHECK(go(0));
  const Status done = await();
  if (!failure_)
    return tl::unexpected(done ? from_errno(ENOSYS, "a call in " + name_) : done.error());
  const std::int64_t result = failure_->result;
  leave();
  return result;
}

Result<Page> BatchRun::map_page(std::size_t size, bool writable) {
  constexpr std::size_t kPageSize = 4096;
  Page page;
  page.writable = writable;
  page.size = (size + kPageSize) & ~(kPageSize - 1);
  GRAB_TRY(page.address, free_address(tid_, page.size, page_limit_));
  arch::CallTable table = make_map_table(page, known_pid_, known_tid_, signal_mask_);
  if (fault("prepare", std::to_string(pid_) + ": mmap", ENOMEM) != 0)
    table.calls.front() = arch::Call{.number = 0x3ff};
  const Result<std::int64_t> mapped = run_one_call(table);
  if (mapped && *mapped != static_cast<std::int64_t>(page.address))
    return fail_errno(static_cast<int>(-*mapped), "mmap in " + name_);
  // The address was free: if the result is not known, the page is there if it can be written.
  if (mapped || write(page.address, {std::byte{0}}))
    page_ = page;
  if (!mapped)
    return tl::unexpected(mapped.error());
  return page;
}

Status BatchRun::stand_before(std::size_t call) {
  const std::uint64_t far_table = page_ && table_at_ != vdso_table_ ? vdso_table_ : ~0ULL;
  return set_registers(tid_, arch::enter_batch(stopped_, {.code = code_,
                                                          .table = table_at_,
                                                          .first_call = call,
                                                          .failure_call = batch_.first_stop,
                                                          .far_table = far_table}));
}

// If the tracer dies between the registers and the mask, a handler may run before the batch does;
// it comes back to it.
Status BatchRun::go(std::size_t first_call) {
  GRAB_CHECK(stand_before(first_call));
  // Until leave() or the end of the table the mask stays, so that it is set once.
  if (!std::exchange(entered_, true))
    GRAB_CHECK(set_signal_mask(tid_, kAllSignals));
  return resume(tid_);
}

Result<std::array<int, 2>> BatchRun::read_pair() const {
  const UniqueFd own = mem_fd_ < 0 ? open_memory(tid_) : UniqueFd();
  std::array<int, 2> pair{};
  const ssize_t got = pread(mem_fd_ < 0 ? own.get() : mem_fd_, pair.data(), sizeof pair,
                            static_cast<off_t>(page_->address));
  if (got != static_cast<ssize_t>(sizeof pair))
    return fail_errno(got < 0 ? errno : EFAULT, "reading the memory of " + name_);
  return pair;
}

Status BatchRun::receive() {
  if (!page_ || batch_.channel == 0)
    return {};
  GRAB_CHECK(go(batch_.channel));
  GRAB_CHECK(await());
  GRAB_TRY(const auto pair, read_pair());
  if (pair != batch_.pair ||
      fault("another number", std::to_string(pid_) + ": socketpair", EBUSY) != 0)
    return close_other(pair);
  GRAB_TRY(const UniqueFd end, take_descriptor(pid_, tid_, pair[1]));
  return send_descriptors(end.get(), batch_.sent);
}

/// Its undo would close those that were to be; and there is nothing else to be undone yet.
Status BatchRun::close_other(const std::array<int, 2>& pair) {
  leave();
  for (const int fd : pair)
    (void)run_one_call(make_close_table(fd, known_pid_, known_tid_, signal_mask_));
  return fail(ErrorKind::kSystem, "socketpair in " + name_ + " gave " + std::to_string(pair[0]) +
                                      ", for it has changed meanwhile");
}

Status BatchRun::depart() {
  if (batch_.depart == 0)
    return {};
  GRAB_CHECK(go(batch_.depart));
  GRAB_CHECK(await());
  departed_ = true;
  return {};
}

Status BatchRun::start_prepare() {
  return go(batch_.prepare);
}
Status BatchRun::stand_before_commit() {
  return stand_before(batch_.commit);
}
Status BatchRun::start_commit() {
  in_commit_ = true;
  return go(batch_.commit);
}

Status BatchRun::set_argument(std::size_t call, std::size_t argument, std::int32_t value) const {
  const std::uint64_t at =
      table_at_ + call * arch::kPackedCallSize + 8 + argument * sizeof(std::int32_t);
  std::vector<std::byte> bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return write(at, bytes);
}

Status BatchRun::start_undo() {
  // From here on the undo ends in a stop, for there is a tracer to see it.
  if (!page_)
    GRAB_CHECK(set_argument(batch_.undo_stop, kStopSignalArgument, SIGSTOP));
  if (in_commit_ && batch_.undo_front)
    GRAB_CHECK(set_argument(*batch_.undo_front, kRequestArgument, TIOCSPGRP));
  if (departed_ && batch_.front != 0) {
    GRAB_CHECK(go(batch_.front));
    (void)await();  // ENOTTY if the old terminal was hung up meanwhile
  }
  return go(batch_.undo);
}

Status BatchRun::await_commit(std::vector<Error>& left_out) {
  Status done = await();
  while (!done && failure_ && failure_->call >= batch_.no_return) {
    left_out.push_back(std::move(done).error());
    GRAB_CHECK(go(failure_->call + 1));
    done = await();
  }
  return done;
}

Status BatchRun::await() {
  failure_.reset();
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
      if (std::find(stops_.begin(), stops_.end(), arch::batch_position(regs)) != stops_.end())
        break;
    }
    // Only a SIGSTOP from outside gets here, all else is blocked: it is passed on, and a group-stop
    // does not keep the batch from running.
    GRAB_CHECK(resume(tid_, stop.kind() == StopKind::kSignalDelivery ? stop.signo() : 0));
  }
  if (page_ && arch::batch_position(regs) == vdso_table_)
    page_.reset();  // the batch has unmapped it on its way out
  failure_ = arch::batch_failure(regs, table_at_);
  if (!failure_)
    return {};
  if (failure_->result >= 0 && batch_.detours.count(failure_->call) != 0) {
    failure_.reset();
    return {};
  }
  const auto& [call, result] = *failure_;
  const std::string name = call < batch_.names.size() ? batch_.names[call].text() : "a call";
  if (const auto check = batch_.flag_checks.find(call);
      check != batch_.flag_checks.end() && result >= 0) {
    other_flag_ = OtherFlag{check->second, result != 0};
  }
  if (result < 0) {
    return fail_errno(static_cast<int>(-result), name + " in " + name_);
  }
  return fail(ErrorKind::kSystem, name + " in " + name_ + " gave " + std::to_string(result) +
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
  if (page_)
    (void)run_one_call(make_unmap_table(*page_, known_pid_, known_tid_, signal_mask_));
  if (written_ > 0)
    (void)write(code_, std::vector<std::byte>(written_));
  (void)detach(tid_);
  // Kernel: a SIGSTOP that is sent takes a queued SIGCONT out of the queue. Source: kernel/signal.c
  // prepare_signal.
  if (ran_ && continue_pending_)
    (void)kill(pid_, SIGCONT);
}

bool BatchRun::hand_over() {
  if (!entered_ || !batch_.waits_for_guard || page_ || was_stopped_ || tid_ != pid_)
    return false;
  (void)detach(tid_);
  if (continue_pending_)
    (void)kill(pid_, SIGCONT);
  return true;
}

void BatchRun::take_over() {
  const Result<arch::Registers> regs = get_registers(tid_);
  const std::uint64_t ip = regs ? arch::instruction_pointer(*regs) : 0;
  if (ip < code_ || ip >= limit_)
    return;
  mem_fd_ = -1;  // the tracer's
  leave();
  (void)write(code_, std::vector<std::byte>(written_));
}

bool set_right(ProcessPlan& plan, BatchRun::OtherFlag flag) {
  for (PrepareStep& step : plan.prepare) {
    auto* move = std::get_if<step::MoveDescriptors>(&step);
    if (move == nullptr)
      continue;
    for (proc::Descriptor& descriptor : move->fds) {
      if (descriptor.fd != flag.fd || descriptor.close_on_exec == flag.close_on_exec)
        continue;
      descriptor.close_on_exec = flag.close_on_exec;
      return true;
    }
  }
  return false;
}

}  // namespace grab::tracer
