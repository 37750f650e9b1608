// SPDX-License-Identifier: MIT
// What the files of x86_64 share: its registers by name, and what an interrupted call leaves there.
#pragma once

#include <sys/user.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "arch/batch.h"

namespace grab::arch {

static_assert(sizeof(user_regs_struct) == sizeof(Registers::words));

inline user_regs_struct unpack(const Registers& regs) {
  user_regs_struct out{};
  std::memcpy(&out, regs.words.data(), sizeof out);
  return out;
}

inline Registers pack(const user_regs_struct& regs, bool in_i386_call = false) {
  Registers out;
  out.in_i386_call = in_i386_call;
  std::memcpy(out.words.data(), &regs, sizeof regs);
  return out;
}

// Not in <errno.h>: what an interrupted call leaves in rax for the kernel's own restart.
// Source: include/linux/errno.h.
inline constexpr std::int64_t kRestartSys = -512;
inline constexpr std::int64_t kRestartNoIntr = -513;
inline constexpr std::int64_t kRestartNoHand = -514;
inline constexpr std::int64_t kRestartBlock = -516;
inline constexpr std::uint64_t kSyscallInstructionSize = 2;  // 0f 05, cd 80

inline constexpr std::uint64_t kUserCode64 = 0x33;  // arch/x86/include/asm/segment.h
inline constexpr std::uint64_t kUserCode32 = 0x23;

inline std::uint32_t low(std::uint64_t value) {
  return static_cast<std::uint32_t>(value);
}

inline void store(std::byte* at, std::uint64_t value, std::size_t size) {
  std::memcpy(at, &value, size);
}

}  // namespace grab::arch
