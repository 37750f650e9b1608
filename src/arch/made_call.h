// SPDX-License-Identifier: MIT
// The system call that a thread is in, told in the numbers of 64-bit programs whatever its own are.
#pragma once

#include <array>
#include <cstdint>

#include "arch/batch.h"

namespace grab::arch {

struct MadeCall {
  std::int64_t number = -1;  ///< SYS_*; -1 if there is none, or none of those that grab looks at
  std::array<std::uint64_t, 6> args{};
};

[[nodiscard]] MadeCall made_call(const Registers& regs);

/// Whether the thread is at a syscall-enter-stop (and not at an exit stop).
[[nodiscard]] bool is_entering_call(const Registers& regs);

/// Whether the call had no timeout, so that making it again after an -EINTR is what the program
/// expects.
[[nodiscard]] bool waits_without_timeout(const MadeCall& call);

/// The same of an i386 call: `args` are ebx, ecx, edx, esi, edi, ebp.
[[nodiscard]] MadeCall from_i386(std::uint32_t number, const std::array<std::uint32_t, 6>& args);

}  // namespace grab::arch
