// SPDX-License-Identifier: MIT
// Code that a process keeps after a move: the rest of a write(2), and what is left of a wait. In
// one process each takes the same room, so that they can be found again from the end of the vDSO
// down.
#pragma once

#include <cstddef>
#include <span>

namespace grab::arch {

/// Bytes; a multiple of 8.
inline constexpr std::size_t kKeptCodeSize = 64;
/// In 32-bit programs, whose vDSO has less room: the rest of a write only.
inline constexpr std::size_t kKeptCodeSizeI386 = 40;

/// Whether these bytes, of such a size or more, are a rest_code() or a wait_code().
[[nodiscard]] bool is_kept_code(std::span<const std::byte> bytes);

}  // namespace grab::arch
