// SPDX-License-Identifier: MIT
// The rest of a write(2) of a 32-bit program: the code that short_write.h speaks of, for these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace grab::arch {

/// A call as it stands when a part of it has been written.
struct I386Write {
  std::uint32_t buffer = 0;  ///< ecx
  std::uint32_t count = 0;   ///< edx, bytes
  std::uint32_t written = 0;
  std::uint32_t resume_at = 0;  ///< behind the call
};

/// Not padded. Entered behind its first instruction (int 0x80), with what is left in ecx and edx.
[[nodiscard]] std::vector<std::byte> i386_rest_code(const I386Write& write);
[[nodiscard]] bool is_i386_rest_code(std::span<const std::byte> bytes);

}  // namespace grab::arch
