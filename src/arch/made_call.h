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
/// Whether its call is about to give -EINTR.
[[nodiscard]] bool is_interrupted(const Registers& stopped);

/// Whether making the call again after an -EINTR is what the program expects: it had no timeout, or
/// that of its socket, which begins again.
[[nodiscard]] bool may_be_made_again(const MadeCall& call);

/// The same of an i386 call: `args` are ebx, ecx, edx, esi, edi, ebp.
[[nodiscard]] MadeCall from_i386(std::uint32_t number, const std::array<std::uint32_t, 6>& args);

}  // namespace grab::arch
