// SPDX-License-Identifier: MIT
// The batch on x86_64: registers, restarts of system calls, and the code itself.
#include <sys/syscall.h>
#include <sys/user.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "arch/made_call.h"
#include "arch/x86_64_registers.h"

namespace grab::arch {

// The batch code. rbx: the next call; rbp: base of the addresses (the start of the table); rsi: the
// call to go to on failure, kept in r12; rdi: the table to go on with after a call that leaves the
// page, kept in r8; r13, r14: the failed call and its result. It touches no memory but the table,
// and no register that restore does not put back. The flags: OF by an addition that overflows or
// not, the others by sahf; system calls and this code change no others.
//
// 32-bit programs run the same code, as what it is, and make the same 64-bit calls: nothing of the
// table depends on what the process is.
// Kernel: which code a thread runs, and with it which calls it makes, is a matter of its code
// segment alone, which a tracer may set, and a far jump changes back -> cs is that of 64-bit code
// at the entry, and the last jump is a far one. No other segment register is touched. Only the low
// halves of the first eight registers go through the signal frame of a 32-bit program, hence what
// is handed over in which. Source: arch/x86/entry/entry_64.S, arch/x86/kernel/signal_32.c; seen.
asm(R"(
  .pushsection .rodata
  .intel_syntax noprefix
grab_batch_begin:
  mov r12, rsi
  mov r8, rdi
  xor r9d, r9d
  xor r13d, r13d
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
8:.byte 0xb8                # mov eax, imm32: AH the low flags, AL 0x7f to set OF, 0 to clear it,
                            # bit 16 no flag: whether the process was stopped before
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
grab_batch_end:
grab_batch_registers32:
  mov eax, 0x11223344
  mov ebx, 0x11223344
  mov ecx, 0x11223344
  mov edx, 0x11223344
  mov esi, 0x11223344
  mov edi, 0x11223344
  mov ebp, 0x11223344
  .byte 0xff, 0x2d            # jmp fword ptr [rip]
  .long 0
grab_batch_resume32:
  .long 0
  .word 0
grab_batch_end32:
  .att_syntax
  .popsection
)");

extern "C" {
extern const std::byte grab_batch_begin[];        // NOLINT: labels of the code above
extern const std::byte grab_batch_flags[];        // NOLINT
extern const std::byte grab_batch_registers[];    // NOLINT
extern const std::byte grab_batch_resume[];       // NOLINT
extern const std::byte grab_batch_end[];          // NOLINT
extern const std::byte grab_batch_registers32[];  // NOLINT
extern const std::byte grab_batch_resume32[];     // NOLINT
extern const std::byte grab_batch_end32[];        // NOLINT
}

namespace {

constexpr std::uint64_t kCarryToSign = 0xff;  // CF PF AF ZF SF: what sahf sets
constexpr std::uint64_t kOverflow = 1U << 11U;
}  // namespace

std::size_t batch_code_size() {
  return static_cast<std::size_t>(grab_batch_end - grab_batch_begin);
}

std::size_t batch_code_size_i386() {
  return static_cast<std::size_t>((grab_batch_registers - grab_batch_begin) +
                                  (grab_batch_end32 - grab_batch_registers32));
}

bool begins_with_batch_code(std::span<const std::byte> bytes) {
  const std::span fixed(grab_batch_begin, grab_batch_flags);
  return bytes.size() >= fixed.size() && std::equal(fixed.begin(), fixed.end(), bytes.begin());
}

namespace {

// Where the upper half of the constant for the flags lies, which is no flag.
std::size_t mark_offset() {
  return static_cast<std::size_t>(grab_batch_flags - grab_batch_begin) + 2;
}

/// What a batch does whatever it resumes at, up to the registers.
std::vector<std::byte> code_up_to_registers(const user_regs_struct& regs, bool was_stopped) {
  std::vector<std::byte> code(grab_batch_begin, grab_batch_registers);
  const std::uint64_t al = (regs.eflags & kOverflow) != 0 ? 0x7f : 0;
  store(code.data() + (grab_batch_flags - grab_batch_begin),
        (regs.eflags & kCarryToSign) << 8U | al, sizeof(std::uint32_t));
  code[mark_offset()] = std::byte{was_stopped};
  return code;
}

/// The end of a batch in a 32-bit program: each register is an immediate of four bytes behind one
/// of instruction.
std::vector<std::byte> end_in_32_bit_code(const user_regs_struct& regs) {
  std::vector<std::byte> code(grab_batch_registers32, grab_batch_end32);
  std::byte* at = code.data();
  for (const auto value : {regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi, regs.rbp}) {
    store(at + 1, value, sizeof(std::uint32_t));
    at += 1 + sizeof(std::uint32_t);
  }
  std::byte* const target = code.data() + (grab_batch_resume32 - grab_batch_registers32);
  store(target, regs.rip, sizeof(std::uint32_t));
  store(target + sizeof(std::uint32_t), regs.cs, sizeof(std::uint16_t));
  return code;
}

/// The same where each is an immediate of eight bytes behind two.
std::vector<std::byte> end_in_64_bit_code(const user_regs_struct& regs) {
  std::vector<std::byte> code(grab_batch_registers, grab_batch_end);
  const std::array values = {regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi,
                             regs.rdi, regs.rbp, regs.r8,  regs.r9,  regs.r10,
                             regs.r11, regs.r12, regs.r13, regs.r14, regs.r15};
  std::byte* at = code.data();
  for (const auto value : values) {
    store(at + 2, value, sizeof(std::uint64_t));
    at += 2 + sizeof(std::uint64_t);
  }
  store(code.data() + (grab_batch_resume - grab_batch_registers), regs.rip, sizeof(std::uint64_t));
  return code;
}

}  // namespace

std::vector<std::byte> batch_code(const Registers& resume, bool was_stopped) {
  const user_regs_struct regs = unpack(resume);
  std::vector<std::byte> code = code_up_to_registers(regs, was_stopped);
  const auto end = regs.cs == kUserCode32 ? end_in_32_bit_code(regs) : end_in_64_bit_code(regs);
  code.insert(code.end(), end.begin(), end.end());
  return code;
}

bool was_stopped(std::span<const std::byte> code) {
  return code.size() > mark_offset() && code[mark_offset()] == std::byte{1};
}

Registers enter_batch(const Registers& stopped, const BatchEntry& entry) {
  user_regs_struct regs = unpack(stopped);
  regs.rip = entry.code;
  regs.cs = kUserCode64;
  regs.rbx = entry.table + entry.first_call * kPackedCallSize;
  regs.rbp = entry.table;
  regs.rsi = entry.table + entry.failure_call * kPackedCallSize;
  regs.rdi = entry.far_table;
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

bool is_interrupted(const Registers& stopped) {
  return in_system_call(stopped) && static_cast<std::int64_t>(unpack(stopped).rax) == -EINTR;
}

Registers made_again(const Registers& interrupted) {
  user_regs_struct regs = unpack(interrupted);
  regs.rax = static_cast<std::uint64_t>(kRestartNoHand);
  return pack(regs, interrupted.in_i386_call);
}

Registers resume_by_kernel(const Registers& stopped) {
  return is_interrupted(stopped) && may_be_made_again(made_call(stopped)) ? made_again(stopped)
                                                                          : stopped;
}

// Kernel: a call that came in by sysenter or syscall from the vDSO of a 32-bit program comes back
// to an address behind an int 0x80, with the registers that this takes -> all are made again by two
// bytes less. Source: arch/x86/entry/vdso/vdso32/system_call.S.
Registers resume_by_itself(const Registers& stopped) {
  constexpr std::uint64_t kRestartSyscallI386 = 0;
  user_regs_struct regs = unpack(resume_by_kernel(stopped));
  if (!in_system_call(stopped))
    return pack(regs);
  switch (static_cast<std::int64_t>(regs.rax)) {
    case kRestartSys:
    case kRestartNoIntr:
    case kRestartNoHand:
      regs.rax = regs.orig_rax;
      regs.rip -= kSyscallInstructionSize;
      break;
    case kRestartBlock:
      regs.rax = stopped.in_i386_call ? kRestartSyscallI386 : SYS_restart_syscall;
      regs.rip -= kSyscallInstructionSize;
      break;
    default:
      break;
  }
  regs.orig_rax = ~0ULL;
  return pack(regs);
}

std::uint64_t instruction_pointer(const Registers& regs) {
  return unpack(regs).rip;
}

Registers with_instruction_pointer(const Registers& regs, std::uint64_t ip) {
  user_regs_struct out = unpack(regs);
  out.rip = ip;
  return pack(out, regs.in_i386_call);
}

bool in_system_call(const Registers& regs) {
  return static_cast<std::int64_t>(unpack(regs).orig_rax) >= 0;
}

bool runs_usual_code(const Registers& regs) {
  const std::uint64_t cs = unpack(regs).cs;
  return cs == kUserCode64 || cs == kUserCode32;
}

bool reaches(const Registers& regs, std::uint64_t address) {
  return unpack(regs).cs != kUserCode32 || address == low(address);
}

// Kernel: what an i386 call returns is sign-extended in rax, and its number is not extended; so it
// is what the kernel compares with when the registers are put back after a batch of 64-bit calls.
// Source: arch/x86/include/asm/syscall.h syscall_get_error.
MadeCall made_call(const Registers& regs) {
  const user_regs_struct in = unpack(regs);
  if (static_cast<std::int64_t>(in.orig_rax) < 0)
    return {};
  if (regs.in_i386_call) {
    return from_i386(low(in.orig_rax), {low(in.rbx), low(in.rcx), low(in.rdx), low(in.rsi),
                                        low(in.rdi), low(in.rbp)});
  }
  return {static_cast<std::int64_t>(in.orig_rax), {in.rdi, in.rsi, in.rdx, in.r10, in.r8, in.r9}};
}

// Kernel: at a syscall-enter-stop rax is -ENOSYS. Source: ptrace(2), "Syscall-stops".
bool is_entering_call(const Registers& regs) {
  return static_cast<std::int64_t>(unpack(regs).rax) == -ENOSYS;
}

// The third argument, in programs of both kinds. The C library's poll(3) does not look at the
// register again, which would be the caller's to save.
std::optional<Registers> with_poll_limit(const Registers& at_entry,
                                         std::chrono::milliseconds limit) {
  user_regs_struct regs = unpack(at_entry);
  if (!is_entering_call(at_entry) || made_call(at_entry).number != SYS_poll ||
      static_cast<std::int32_t>(regs.rdx) >= 0)
    return std::nullopt;
  regs.rdx = static_cast<std::uint64_t>(limit.count());
  return pack(regs, at_entry.in_i386_call);
}

std::optional<Registers> write_made_again(const Registers& at_exit) {
  user_regs_struct regs = unpack(at_exit);
  if (static_cast<std::int64_t>(regs.rax) != kRestartSys || made_call(at_exit).number != SYS_write)
    return std::nullopt;
  regs.rax = static_cast<std::uint64_t>(kRestartNoIntr);
  return pack(regs, at_exit.in_i386_call);
}

// Kernel: a call whose number is -1 at its entry is not made, and rax is returned as it stands ->
// one SETREGS both skips the call and gives its result; no instant lies between the two. Source:
// arch/x86/entry/common.c do_syscall_64, do_syscall_32_irqs_on.
Registers skip_call(const Registers& at_entry, std::int64_t result) {
  user_regs_struct regs = unpack(at_entry);
  regs.orig_rax = ~0ULL;
  regs.rax = static_cast<std::uint64_t>(result);
  return pack(regs, at_entry.in_i386_call);
}

// Kernel: signals are looked at between the call that is not made and the instruction that makes
// it again, and nothing is restarted for them, since its number is -1. Source:
// arch/x86/kernel/signal.c arch_do_signal_or_restart.
Registers enter_again(const Registers& at_entry) {
  user_regs_struct regs = unpack(at_entry);
  regs.rax = regs.orig_rax;
  regs.orig_rax = ~0ULL;
  regs.rip -= kSyscallInstructionSize;
  return pack(regs, at_entry.in_i386_call);
}

}  // namespace grab::arch
