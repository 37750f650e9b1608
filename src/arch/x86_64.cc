// SPDX-License-Identifier: MIT
// The batch on x86_64: registers, restarts of system calls, and the code itself.
#include <linux/io_uring.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "arch/batch.h"
#include "arch/short_write.h"
#include "arch/timed_wait.h"
#include "arch/x86_64_registers.h"

namespace grab::arch {

// The batch code. rbx: the next call; rbp: base of the addresses (the start of the table); r12: the
// call to go to on failure; r13, r14: the failed call and its result; r8: the table to go on with
// after a call that leaves the page. It touches no memory but the table, and no register that
// restore does not put back. The flags: OF by an addition that overflows or not, the others by
// sahf; system calls and this code change no others.
asm(R"(
  .pushsection .rodata
  .intel_syntax noprefix
grab_batch_begin:
0:movzx r15d, word ptr [rbx+2]
  test r15b, 0x80
  jnz 8f
  movzx eax, word ptr [rbx]
  movsxd rdi, dword ptr [rbx+8]
  movsxd rsi, dword ptr [rbx+12]
  movsxd rdx, dword ptr [rbx+16]
  movsxd r10, dword ptr [rbx+20]
  test r15b, 1
  jz 1f
  mov rdi, [rbp+rdi]
1:test r15b, 2
  jz 1f
  mov rsi, [rbp+rsi]
1:test r15b, 4
  jz 1f
  mov rdx, [rbp+rdx]
1:test r15b, 8
  jz 1f
  mov r10, [rbp+r10]
1:syscall
  test r15b, 0x40           # leaves the page
  jnz 3f
  test r15b, 0x10           # any result will do
  jnz 2f
  movsxd rcx, dword ptr [rbx+4]
  cmp rax, rcx
  je 2f
  test r15d, 0x100          # 0 will do, too
  jz 4f
  test rax, rax
  jnz 4f
2:add rbx, 24
  jmp 0b
3:mov rbx, r8
  mov rbp, r8
  jmp 0b
4:mov r13, rbx
  mov r14, rax
  mov rbx, r12
  test r15b, 0x20           # an unexpected descriptor is closed
  jz 0b
  test rax, rax
  js 0b
  mov edi, eax
  mov eax, 3
  syscall
  jmp 0b
8:.byte 0xb8                # mov eax, imm32: AH the low flags, AL 0x7f to set OF, 0 to clear it
grab_batch_flags:
  .long 0
  add al, 1
  sahf
grab_batch_registers:
  movabs rax, 0x1122334455667788
  movabs rbx, 0x1122334455667788
  movabs rcx, 0x1122334455667788
  movabs rdx, 0x1122334455667788
  movabs rsi, 0x1122334455667788
  movabs rdi, 0x1122334455667788
  movabs rbp, 0x1122334455667788
  movabs r8, 0x1122334455667788
  movabs r9, 0x1122334455667788
  movabs r10, 0x1122334455667788
  movabs r11, 0x1122334455667788
  movabs r12, 0x1122334455667788
  movabs r13, 0x1122334455667788
  movabs r14, 0x1122334455667788
  movabs r15, 0x1122334455667788
  notrack jmp qword ptr [rip]
grab_batch_resume:
  .quad 0
grab_batch_mark:            # not code: whether the process was stopped before
  .quad 0
grab_batch_end:
  .att_syntax
  .popsection
)");

// Makes the rest of a write(2) and gives the count of the whole. The constants are filled in. The
// registers at its end, rcx, r11 and the flags among them, are those that the kernel leaves behind
// one call: the sign of rax is looked at without a flag.
asm(R"(
  .pushsection .rodata
  .intel_syntax noprefix
grab_rest_begin:
  syscall
  lea rsi, [rsi - 0x11223344]
grab_rest_back:
  lea rdx, [rdx + 0x11223344]
grab_rest_count:
  mov rcx, rax
  bswap rcx
  movzx ecx, cl             # the highest byte: not 0 in -errno
  jrcxz 1f
  mov eax, 0
1:lea rax, [rax + 0x11223344]
grab_rest_result:
  movabs rcx, 0x1122334455667788
grab_rest_return:
  notrack jmp rcx
grab_rest_end:
  .att_syntax
  .popsection
)");

extern "C" {
extern const std::byte grab_rest_begin[];       // NOLINT: labels of the code above
extern const std::byte grab_rest_back[];        // NOLINT
extern const std::byte grab_rest_count[];       // NOLINT
extern const std::byte grab_rest_result[];      // NOLINT
extern const std::byte grab_rest_return[];      // NOLINT
extern const std::byte grab_rest_end[];         // NOLINT
extern const std::byte grab_batch_begin[];      // NOLINT: labels of the code above
extern const std::byte grab_batch_flags[];      // NOLINT
extern const std::byte grab_batch_registers[];  // NOLINT
extern const std::byte grab_batch_resume[];     // NOLINT
extern const std::byte grab_batch_mark[];       // NOLINT
extern const std::byte grab_batch_end[];        // NOLINT
}

namespace {

constexpr std::uint64_t kCarryToSign = 0xff;  // CF PF AF ZF SF: what sahf sets
constexpr std::uint64_t kOverflow = 1U << 11U;
constexpr std::uint64_t kUserCode64 = 0x33;
constexpr std::uint64_t kLongestWrite = 0x7ffff000;  // write(2): no call transfers more

/// Whether the call that returned -EINTR had no timeout, so that making it again is what the
/// program expects.
bool waits_without_timeout(const Registers& stopped) {
  const user_regs_struct regs = unpack(stopped);
  const auto number = static_cast<std::int64_t>(regs.orig_rax);
  // With an extended argument it may have a timeout. Where it has submitted calls it is not
  // interrupted. Source: io_uring_enter(2).
  if (number == SYS_io_uring_enter)
    return (regs.r10 & IORING_ENTER_EXT_ARG) == 0;
  return number == SYS_semop || (may_be_timed_wait(number) && !timed_wait(stopped));
}

}  // namespace

std::size_t batch_code_size() {
  return static_cast<std::size_t>(grab_batch_end - grab_batch_begin);
}

std::vector<std::byte> batch_code(const Registers& resume, bool was_stopped) {
  const user_regs_struct regs = unpack(resume);
  std::vector<std::byte> code(grab_batch_begin, grab_batch_end);
  const std::uint64_t al = (regs.eflags & kOverflow) != 0 ? 0x7f : 0;
  store(code.data() + (grab_batch_flags - grab_batch_begin),
        (regs.eflags & kCarryToSign) << 8U | al, sizeof(std::uint32_t));
  // In the order of the code; each is an immediate of eight bytes behind two bytes of instruction.
  const std::array values = {regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi,
                             regs.rdi, regs.rbp, regs.r8,  regs.r9,  regs.r10,
                             regs.r11, regs.r12, regs.r13, regs.r14, regs.r15};
  std::byte* at = code.data() + (grab_batch_registers - grab_batch_begin);
  for (const auto value : values) {
    store(at + 2, value, sizeof(std::uint64_t));
    at += 2 + sizeof(std::uint64_t);
  }
  store(code.data() + (grab_batch_resume - grab_batch_begin), regs.rip, sizeof(std::uint64_t));
  store(code.data() + (grab_batch_mark - grab_batch_begin), was_stopped ? 1 : 0, 1);
  return code;
}

bool was_stopped(std::span<const std::byte> code) {
  const auto mark = static_cast<std::size_t>(grab_batch_mark - grab_batch_begin);
  return code.size() > mark && code[mark] == std::byte{1};
}

Registers enter_batch(const Registers& stopped, const BatchEntry& entry) {
  user_regs_struct regs = unpack(stopped);
  regs.rip = entry.code;
  regs.rbx = entry.table + entry.first_call * kPackedCallSize;
  regs.rbp = entry.table;
  regs.r12 = entry.table + entry.failure_call * kPackedCallSize;
  regs.r13 = 0;
  regs.r14 = 0;
  regs.r8 = entry.far_table;
  regs.r9 = 0;
  regs.rax = 0;
  // Kernel: with orig_rax negative the kernel takes the stop for one outside a system call and
  // leaves rax and rip alone. Source: arch/x86/kernel/signal.c arch_do_signal_or_restart.
  regs.orig_rax = ~0ULL;
  return pack(regs);
}

std::optional<BatchFailure> batch_failure(const Registers& at_stop, std::uint64_t table) {
  const user_regs_struct regs = unpack(at_stop);
  if (regs.r13 == 0)
    return std::nullopt;
  return BatchFailure{(regs.r13 - table) / kPackedCallSize, static_cast<std::int64_t>(regs.r14)};
}

std::uint64_t batch_position(const Registers& at_stop) {
  return unpack(at_stop).rbx;
}

Registers resume_by_kernel(const Registers& stopped) {
  user_regs_struct regs = unpack(stopped);
  if (static_cast<std::int64_t>(regs.rax) == -EINTR && waits_without_timeout(stopped))
    regs.rax = static_cast<std::uint64_t>(kRestartNoHand);
  return pack(regs);
}

Registers resume_by_itself(const Registers& stopped) {
  user_regs_struct regs = unpack(resume_by_kernel(stopped));
  if (static_cast<std::int64_t>(regs.orig_rax) < 0)
    return pack(regs);
  switch (static_cast<std::int64_t>(regs.rax)) {
    case kRestartSys:
    case kRestartNoIntr:
    case kRestartNoHand:
      regs.rax = regs.orig_rax;
      regs.rip -= kSyscallInstructionSize;
      break;
    case kRestartBlock:
      regs.rax = SYS_restart_syscall;
      regs.rip -= kSyscallInstructionSize;
      break;
    default:
      break;
  }
  regs.orig_rax = ~0ULL;
  return pack(regs);
}

std::optional<ShortWrite> short_write(const Registers& stopped) {
  const user_regs_struct regs = unpack(stopped);
  const auto written = static_cast<std::int64_t>(regs.rax);
  const auto asked = static_cast<std::int64_t>(std::min<std::uint64_t>(regs.rdx, kLongestWrite));
  if (regs.orig_rax != SYS_write || written <= 0 || written >= asked)
    return std::nullopt;
  return ShortWrite{static_cast<int>(regs.rdi), static_cast<std::int32_t>(written)};
}

std::vector<std::byte> rest_code(const Registers& stopped) {
  const user_regs_struct regs = unpack(stopped);
  std::vector<std::byte> code(grab_rest_begin, grab_rest_end);
  const auto fill = [&](const std::byte* behind, std::uint64_t value, std::size_t size) {
    store(code.data() + (behind - grab_rest_begin) - size, value, size);
  };
  constexpr std::size_t kDisplacement = sizeof(std::int32_t);
  fill(grab_rest_back, 0 - regs.rax, kDisplacement);
  fill(grab_rest_count, regs.rax, kDisplacement);
  fill(grab_rest_result, regs.rax, kDisplacement);
  fill(grab_rest_return, regs.rip, sizeof regs.rip);
  code.resize(kKeptCodeSize);
  return code;
}

bool is_rest_code(std::span<const std::byte> bytes) {
  const auto up_to_constant =
      static_cast<std::size_t>(grab_rest_back - grab_rest_begin) - sizeof(std::int32_t);
  return bytes.size() >= up_to_constant &&
         std::equal(grab_rest_begin, grab_rest_begin + up_to_constant, bytes.begin());
}

Registers write_the_rest(const Registers& stopped, std::uint64_t code) {
  user_regs_struct regs = unpack(stopped);
  regs.rsi += regs.rax;
  regs.rdx -= regs.rax;
  regs.rip = code + kSyscallInstructionSize;
  regs.rax = static_cast<std::uint64_t>(kRestartSys);
  return pack(regs);
}

std::uint64_t instruction_pointer(const Registers& regs) {
  return unpack(regs).rip;
}

Registers with_instruction_pointer(const Registers& regs, std::uint64_t ip) {
  user_regs_struct out = unpack(regs);
  out.rip = ip;
  return pack(out);
}

bool in_system_call(const Registers& regs) {
  return static_cast<std::int64_t>(unpack(regs).orig_rax) >= 0;
}

bool is_native(const Registers& regs, std::size_t regset_bytes) {
  return regset_bytes == sizeof(user_regs_struct) && unpack(regs).cs == kUserCode64;
}

// Kernel: at a syscall-enter-stop rax is -ENOSYS. Source: ptrace(2), "Syscall-stops".
std::optional<WaitCall> entering_wait(const Registers& at_entry) {
  const user_regs_struct regs = unpack(at_entry);
  if (static_cast<std::int64_t>(regs.rax) != -ENOSYS)
    return std::nullopt;
  if (regs.orig_rax == SYS_wait4) {
    return WaitCall{false,    0,       static_cast<pid_t>(regs.rdi), static_cast<int>(regs.rdx),
                    regs.rsi, regs.r10};
  }
  if (regs.orig_rax == SYS_waitid) {
    return WaitCall{true,
                    static_cast<int>(regs.rdi),
                    static_cast<pid_t>(regs.rsi),
                    static_cast<int>(regs.r10),
                    regs.rdx,
                    regs.r8};
  }
  return std::nullopt;
}

bool sleeps_for_child(const Registers& interrupted) {
  const user_regs_struct regs = unpack(interrupted);
  switch (regs.orig_rax) {
    case SYS_wait4:
      return (regs.rdx & WNOHANG) == 0;
    case SYS_waitid:
      return (regs.r10 & WNOHANG) == 0;
    case SYS_rt_sigsuspend:
    case SYS_rt_sigtimedwait:
    case SYS_pause:
    case SYS_futex:
      return true;
    default:
      return false;
  }
}

bool entering_sleep(const Registers& at_entry) {
  const user_regs_struct regs = unpack(at_entry);
  if (static_cast<std::int64_t>(regs.rax) != -ENOSYS)
    return false;
  return regs.orig_rax == SYS_restart_syscall || sleeps_for_child(at_entry);
}

bool entering_read(const Registers& at_entry) {
  const user_regs_struct regs = unpack(at_entry);
  if (static_cast<std::int64_t>(regs.rax) != -ENOSYS)
    return false;
  switch (regs.orig_rax) {
    case SYS_read:
    case SYS_poll:
    case SYS_ppoll:
    case SYS_select:
    case SYS_pselect6:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
      return true;
    default:
      return false;
  }
}

std::optional<KillCall> entering_kill(const Registers& at_entry) {
  const user_regs_struct regs = unpack(at_entry);
  if (static_cast<std::int64_t>(regs.rax) != -ENOSYS || regs.orig_rax != SYS_kill)
    return std::nullopt;
  return KillCall{static_cast<pid_t>(regs.rdi), static_cast<int>(regs.rsi)};
}

// The request is an unsigned int, whatever stands above it in the register.
std::optional<ForegroundCall> entering_foreground_call(const Registers& at_entry) {
  const user_regs_struct regs = unpack(at_entry);
  const auto request = static_cast<unsigned>(regs.rsi);
  if (static_cast<std::int64_t>(regs.rax) != -ENOSYS || regs.orig_rax != SYS_ioctl ||
      (request != TIOCGPGRP && request != TIOCSPGRP))
    return std::nullopt;
  return ForegroundCall{request == TIOCSPGRP, static_cast<int>(regs.rdi), regs.rdx};
}

bool entering_exec(const Registers& at_entry) {
  const user_regs_struct regs = unpack(at_entry);
  return static_cast<std::int64_t>(regs.rax) == -ENOSYS &&
         (regs.orig_rax == SYS_execve || regs.orig_rax == SYS_execveat);
}

std::optional<Registers> write_made_again(const Registers& at_exit) {
  user_regs_struct regs = unpack(at_exit);
  if (static_cast<std::int64_t>(regs.rax) != kRestartSys || regs.orig_rax != SYS_write)
    return std::nullopt;
  regs.rax = static_cast<std::uint64_t>(kRestartNoIntr);
  return pack(regs);
}

std::optional<TerminalUse> entering_terminal_use(const Registers& at_entry) {
  const user_regs_struct regs = unpack(at_entry);
  if (static_cast<std::int64_t>(regs.rax) != -ENOSYS)
    return std::nullopt;
  const auto request = static_cast<unsigned>(regs.rsi);
  const bool reads = regs.orig_rax == SYS_read || regs.orig_rax == SYS_readv;
  const bool sets_modes =
      regs.orig_rax == SYS_ioctl && (request == TCSETS || request == TCSETSW || request == TCSETSF);
  if (!reads && !sets_modes)
    return std::nullopt;
  return TerminalUse{reads, static_cast<int>(regs.rdi)};
}

// Kernel: a call whose number is -1 at its entry is not made, and rax is returned as it stands ->
// one SETREGSET both skips the call and gives its result; no instant lies between the two. Source:
// arch/x86/entry/common.c do_syscall_64.
Registers skip_call(const Registers& at_entry, std::int64_t result) {
  user_regs_struct regs = unpack(at_entry);
  regs.orig_rax = ~0ULL;
  regs.rax = static_cast<std::uint64_t>(result);
  return pack(regs);
}

// Kernel: signals are looked at between the call that is not made and the instruction that makes
// it again, and nothing is restarted for them, since its number is -1. Source:
// arch/x86/kernel/signal.c arch_do_signal_or_restart.
Registers enter_again(const Registers& at_entry) {
  user_regs_struct regs = unpack(at_entry);
  regs.rax = regs.orig_rax;
  regs.orig_rax = ~0ULL;
  regs.rip -= kSyscallInstructionSize;
  return pack(regs);
}

}  // namespace grab::arch
