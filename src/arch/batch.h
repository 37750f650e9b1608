// SPDX-License-Identifier: MIT
// The batch: a table of system calls that a stopped process makes for us, and the code that runs
// the table and then puts back every register by itself. Pure: it makes bytes and registers out of
// values; who writes them into a process is tracer/batch_run.cc. One file a CPU implements it.
//
// The code runs the calls in order. A call whose result is not the one expected sends it to the
// failure call (a stop, by convention) with the failed call noted. A call marked as the end puts
// back all registers and jumps to where the process was. It uses no stack: nothing of the process
// is written.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace grab::arch {

/// The general registers, in the layout of NT_PRSTATUS of this CPU.
struct Registers {
  static constexpr std::size_t kWords = 27;
  std::array<std::uint64_t, kWords> words{};
  bool in_i386_call = false;  ///< the call that it is in, if any, was made as 32-bit programs do
  friend bool operator==(const Registers&, const Registers&) = default;
};

/// One argument: a number, or the address of bytes in the table's data.
struct Argument {
  std::int64_t value = 0;  ///< the number; with in_data an offset into CallTable::data
  bool in_data = false;
};

struct Call {
  std::uint16_t number = 0;
  std::array<Argument, 4> args{};
  std::int32_t expected = 0;
  bool any_result = false;         ///< go on whatever it returns
  bool zero_will_do = false;       ///< go on at 0, too
  bool yields_descriptor = false;  ///< an unexpected result that is a descriptor is closed at once
  bool leaves_page = false;  ///< then go on with the first call of the table at the far address
  bool is_end = false;       ///< not a call: put back the registers and return
};

struct CallTable {
  std::vector<Call> calls;
  std::vector<std::byte> data;  ///< what the kernel reads through addresses

  /// Appends bytes (8-byte aligned) and gives the argument that is their address.
  [[nodiscard]] Argument add_data(std::span<const std::byte> bytes);
};

/// Bytes of one call in an encoded table; a call's index is its distance from the start in these.
inline constexpr std::size_t kPackedCallSize = 24;

/// Bytes that encode() will give. `encode` needs an 8-byte aligned address.
[[nodiscard]] std::size_t encoded_size(const CallTable& table);

/// The table as it must lie at `address`.
[[nodiscard]] std::vector<std::byte> encode(const CallTable& table, std::uint64_t address);

/// The code; wherever it lies it resumes at the state `resume` (see resume_by_itself()).
/// `was_stopped` is for whoever finds a process in it that the tracer has left.
[[nodiscard]] std::vector<std::byte> batch_code(const Registers& resume, bool was_stopped = false);
/// What batch_code() was told.
[[nodiscard]] bool was_stopped(std::span<const std::byte> code);
/// Bytes of one of 64-bit code, the longest, and of one of 32-bit code.
[[nodiscard]] std::size_t batch_code_size();
[[nodiscard]] std::size_t batch_code_size_i386();
/// Whether a batch_code() lies there, whatever it was to resume at.
[[nodiscard]] bool begins_with_batch_code(std::span<const std::byte> bytes);

struct BatchEntry {
  std::uint64_t code = 0;        ///< where batch_code() lies
  std::uint64_t table = 0;       ///< where encode() lies
  std::size_t first_call = 0;    ///< index
  std::size_t failure_call = 0;  ///< index of the call to go to when a result is unexpected
  std::uint64_t far_table = 0;   ///< for leaves_page: where another table lies, 0 if none
};

/// Registers that run the batch from `entry`; the stack pointer stays what it was.
[[nodiscard]] Registers enter_batch(const Registers& stopped, const BatchEntry& entry);

struct BatchFailure {
  std::size_t call = 0;     ///< index of the call that gave it
  std::int64_t result = 0;  ///< -errno, or an unexpected value
};

/// What the registers say at a stop inside the batch: the failure, or nothing if there was none.
[[nodiscard]] std::optional<BatchFailure> batch_failure(const Registers& at_stop,
                                                        std::uint64_t table);

/// Address of the call that a stop inside the batch is at.
[[nodiscard]] std::uint64_t batch_position(const Registers& at_stop);

/// The stopped state as the *kernel* should find it again when the tracer lets go: the same, but an
/// -EINTR that only the tracer's stop has caused becomes a restart.
// Kernel: epoll_wait, semop, sigtimedwait, io_uring_enter return -EINTR and not -ERESTART* after a
// ptrace stop without a signal -> the program would see an EINTR of our making. With
// -ERESTARTNOHAND instead, the kernel restarts the call unless a handler runs, which is what would
// have happened. With a timeout the call would wait too long, so EINTR stays: see
// arch/timed_wait.h; only where the timeout is one of a socket, it begins again, as it does for who
// makes the call again after an EINTR. Source: fs/eventpoll.c ep_poll, ipc/sem.c, kernel/signal.c
// do_sigtimedwait, include/net/sock.h sock_intr_errno; signal(7).
[[nodiscard]] Registers resume_by_kernel(const Registers& stopped);

/// What a thread reads from, whose read(2) or readv(2) is about to give -EINTR: a socket with a
/// timeout, or a device. Nothing if it does something else.
[[nodiscard]] std::optional<int> interrupted_read(const Registers& stopped);
/// The state in which the kernel makes an interrupted call again, unless a handler runs.
[[nodiscard]] Registers made_again(const Registers& interrupted);

/// The stopped state as the batch should put it back without help: an interrupted call is made
/// again.
[[nodiscard]] Registers resume_by_itself(const Registers& stopped);

[[nodiscard]] std::uint64_t instruction_pointer(const Registers& regs);
[[nodiscard]] Registers with_instruction_pointer(const Registers& regs, std::uint64_t ip);
/// Whether the process was stopped inside a system call (and not between two instructions of its
/// own).
[[nodiscard]] bool in_system_call(const Registers& regs);
/// Whether they are those of code that a batch can come back to: 64-bit, or 32-bit of the usual
/// kind (and not of a segment that the program has made with modify_ldt(2)).
[[nodiscard]] bool runs_usual_code(const Registers& regs);
/// Whether the code that they are those of can come from, and go to, an address: 32-bit code has
/// none beyond 4 GiB.
[[nodiscard]] bool reaches(const Registers& regs, std::uint64_t address);

/// The wait call that a process is entering (at a syscall-enter-stop), for telling a shell.
struct WaitCall {
  bool is_waitid = false;
  int id_type = 0;  ///< waitid: P_ALL P_PID P_PGID
  pid_t id = 0;     ///< wait4: pid argument as wait4(2) reads it
  int options = 0;
  std::uint64_t status = 0;  ///< address: wait4 int*, waitid siginfo_t*; may be 0
  std::uint64_t rusage = 0;  ///< address, may be 0
  bool by_i386 = false;      ///< what lies at these addresses is laid out as in 32-bit programs
};
[[nodiscard]] std::optional<WaitCall> entering_wait(const Registers& at_entry);
struct ChildEnd {
  pid_t pid = 0;
  uid_t uid = 0;
  int wait_status = 0;
};
/// What is to be written to WaitCall::status; and the size of what is at WaitCall::rusage.
[[nodiscard]] std::vector<std::byte> wait_result(const WaitCall& wait, const ChildEnd& end);
[[nodiscard]] std::size_t rusage_size(const WaitCall& wait);
/// Whether a thread that was interrupted, not one that enters, sleeps until a child changes state
/// or a signal comes: wait4(2) and waitid(2) that block, sigsuspend(2), sigtimedwait(2), pause(2),
/// and futex(2), by which a handler (fish) or another thread (nushell) wakes it.
[[nodiscard]] bool sleeps_for_child(const Registers& interrupted);
/// Whether a process is entering one of these calls, or goes on with a poll(2), nanosleep(2) or
/// futex(2) that was interrupted: restart_syscall(2).
[[nodiscard]] bool entering_sleep(const Registers& at_entry);
/// Whether a process is entering a call that waits for input: read(2), poll(2), select(2),
/// epoll_wait(2) and their kin.
[[nodiscard]] bool entering_read(const Registers& at_entry);
/// Those of a process that is entering a poll(2) without an end, with a limit to it; nothing if it
/// is another call.
[[nodiscard]] std::optional<Registers> with_poll_limit(const Registers& at_entry,
                                                       std::chrono::milliseconds limit);
/// Whether a process is entering exit_group(2).
[[nodiscard]] bool entering_exit(const Registers& at_entry);
/// The kill(2) that a process is entering, nothing if it is another call.
struct KillCall {
  pid_t pid = 0;
  int signo = 0;
};
[[nodiscard]] std::optional<KillCall> entering_kill(const Registers& at_entry);
/// The tcgetpgrp(3) or tcsetpgrp(3) that a process is entering: ioctl(2) with TIOCGPGRP or
/// TIOCSPGRP.
struct ForegroundCall {
  bool sets = false;
  int fd = -1;
  std::uint64_t pgid = 0;  ///< address of the number
};
[[nodiscard]] std::optional<ForegroundCall> entering_foreground_call(const Registers& at_entry);
/// Whether a process is entering execve(2) or execveat(2).
[[nodiscard]] bool entering_exec(const Registers& at_entry);
/// At the end of a write(2) that a signal kept from writing anything: registers that have it made
/// again whatever the handler of that signal says; nothing at any other stop.
[[nodiscard]] std::optional<Registers> write_made_again(const Registers& at_exit);
/// A call that the kernel stops in the background of the controlling terminal: read(2) and its kin
/// (SIGTTIN), tcsetattr(3) (SIGTTOU). Nothing if the process is entering another one.
struct TerminalUse {
  bool reads = false;
  int fd = -1;
};
[[nodiscard]] std::optional<TerminalUse> entering_terminal_use(const Registers& at_entry);
/// Registers that skip the call being entered and make it return `result`.
[[nodiscard]] Registers skip_call(const Registers& at_entry, std::int64_t result);
/// Registers that skip the call being entered and have the process enter it again next, behind
/// whatever signals come first.
[[nodiscard]] Registers enter_again(const Registers& at_entry);

/// Where the batch may lie in a process: the unused end of its vDSO.
struct VdsoTail {
  std::uint64_t offset = 0;  ///< from the start of the vDSO
  std::size_t size = 0;      ///< bytes; 0 if there is no room
  bool of_i386 = false;      ///< it is the vDSO of 32-bit programs
};
/// Found in our own vDSO, which the kernel shares with every 64-bit process.
[[nodiscard]] VdsoTail vdso_tail();
/// The same of a whole vDSO of 32- or 64-bit programs, read from a process. Size 0 also if its end
/// holds anything but zeros or what a grab has left there.
[[nodiscard]] VdsoTail vdso_tail_of(std::span<const std::byte> image);

}  // namespace grab::arch
