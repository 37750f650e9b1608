// SPDX-License-Identifier: MIT
// What is left of an interrupted wait on x86_64.
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "arch/short_write.h"
#include "arch/timed_wait.h"
#include "arch/x86_64_registers.h"

namespace grab::arch {

// Makes the call, puts back the register that had its timeout, and returns. The constants and that
// register are filled in; rcx and r11 are left as a call leaves them. A struct timespec follows.
asm(R"(
  .pushsection .rodata
  .intel_syntax noprefix
grab_wait_begin:
  syscall
grab_wait_register:
  movabs r10, 0x1122334455667788
grab_wait_value:
  movabs rcx, 0x1122334455667788
grab_wait_return:
  notrack jmp rcx
grab_wait_end:
  .att_syntax
  .popsection
)");

extern "C" {
extern const std::byte grab_wait_begin[];     // NOLINT: labels of the code above
extern const std::byte grab_wait_register[];  // NOLINT
extern const std::byte grab_wait_value[];     // NOLINT
extern const std::byte grab_wait_return[];    // NOLINT
extern const std::byte grab_wait_end[];       // NOLINT
}

namespace {

using std::chrono::nanoseconds;

constexpr std::size_t kRestAt = 40;  // of the struct timespec, behind the code
static_assert(kRestAt + sizeof(timespec) <= kKeptCodeSize);

/// Of a call: which register has its timeout, and how movabs names that.
struct TimeoutRegister {
  unsigned long long user_regs_struct::*in;
  std::array<std::byte, 2> movabs;
  bool is_address;  ///< of a struct timespec; else it counts milliseconds
};

constexpr std::array kMovR10 = {std::byte{0x49}, std::byte{0xba}};
constexpr std::array kMovRdx = {std::byte{0x48}, std::byte{0xba}};
constexpr std::array kMovR8 = {std::byte{0x49}, std::byte{0xb8}};

std::optional<TimeoutRegister> timeout_register(std::int64_t number) {
  switch (number) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
      return TimeoutRegister{&user_regs_struct::r10, kMovR10, false};
    case SYS_epoll_pwait2:
    case SYS_semtimedop:
      return TimeoutRegister{&user_regs_struct::r10, kMovR10, true};
    case SYS_rt_sigtimedwait:
      return TimeoutRegister{&user_regs_struct::rdx, kMovRdx, true};
    case SYS_io_getevents:
    case SYS_io_pgetevents:
      return TimeoutRegister{&user_regs_struct::r8, kMovR8, true};
    default:
      return std::nullopt;
  }
}

std::size_t offset(const std::byte* label) {
  return static_cast<std::size_t>(label - grab_wait_begin);
}

}  // namespace

bool may_be_timed_wait(std::int64_t number) {
  return timeout_register(number).has_value();
}

std::optional<TimedWait> timed_wait(const Registers& stopped) {
  const user_regs_struct regs = unpack(stopped);
  const auto timeout = timeout_register(static_cast<std::int64_t>(regs.orig_rax));
  if (!timeout || static_cast<std::int64_t>(regs.rax) != -EINTR)
    return std::nullopt;
  if (stopped.in_i386_call)
    return std::nullopt;  // the number means another call, and the code here makes 64-bit ones
  const std::uint64_t value = regs.*(timeout->in);
  if (timeout->is_address)
    return value != 0 ? std::optional(TimedWait{.address = value}) : std::nullopt;
  const auto milliseconds = static_cast<std::int32_t>(value);
  if (milliseconds < 0)
    return std::nullopt;
  return TimedWait{.timeout = std::chrono::milliseconds(milliseconds)};
}

std::vector<std::byte> wait_code(const Registers& stopped, nanoseconds rest) {
  const user_regs_struct regs = unpack(stopped);
  std::vector<std::byte> code(grab_wait_begin, grab_wait_end);
  const auto timeout = timeout_register(static_cast<std::int64_t>(regs.orig_rax));
  if (timeout) {
    std::copy(timeout->movabs.begin(), timeout->movabs.end(),
              code.begin() + static_cast<std::ptrdiff_t>(offset(grab_wait_register)));
    store(code.data() + offset(grab_wait_value) - sizeof(std::uint64_t), regs.*(timeout->in),
          sizeof(std::uint64_t));
  }
  store(code.data() + offset(grab_wait_return) - sizeof(std::uint64_t), regs.rip,
        sizeof(std::uint64_t));
  code.resize(kKeptCodeSize);
  return timeout && timeout->is_address ? with_rest(std::move(code), rest) : code;
}

std::vector<std::byte> with_rest(std::vector<std::byte> code, nanoseconds rest) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(rest);
  const timespec time{seconds.count(), (rest - seconds).count()};
  std::memcpy(code.data() + kRestAt, &time, sizeof time);
  return code;
}

bool is_wait_code(std::span<const std::byte> bytes) {
  if (bytes.size() < kKeptCodeSize)
    return false;
  const auto is_same = [&](const std::byte* from, std::size_t size) {
    return std::equal(from, from + size, bytes.begin() + static_cast<std::ptrdiff_t>(offset(from)));
  };
  const auto moves = [&](const std::array<std::byte, 2>& movabs) {
    return std::equal(movabs.begin(), movabs.end(),
                      bytes.begin() + static_cast<std::ptrdiff_t>(offset(grab_wait_register)));
  };
  return is_same(grab_wait_begin, offset(grab_wait_register)) &&
         (moves(kMovR10) || moves(kMovRdx) || moves(kMovR8)) && is_same(grab_wait_value, 2) &&
         is_same(grab_wait_return, offset(grab_wait_end) - offset(grab_wait_return));
}

bool is_kept_code(std::span<const std::byte> bytes) {
  return is_rest_code(bytes) || is_wait_code(bytes);
}

Registers wait_the_rest(const Registers& stopped, std::uint64_t code, nanoseconds rest) {
  user_regs_struct regs = unpack(stopped);
  const auto timeout = timeout_register(static_cast<std::int64_t>(regs.orig_rax));
  if (!timeout)
    return stopped;
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(rest).count();
  regs.*(timeout->in) =
      timeout->is_address ? code + kRestAt : static_cast<std::uint64_t>(milliseconds);
  regs.rip = code + kSyscallInstructionSize;
  regs.rax = static_cast<std::uint64_t>(kRestartNoHand);
  return pack(regs);
}

std::uint64_t call_address(const Registers& stopped) {
  return unpack(stopped).rip - kSyscallInstructionSize;
}

}  // namespace grab::arch
