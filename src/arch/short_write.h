// SPDX-License-Identifier: MIT
// A write(2) that was interrupted when a part of its bytes had been written. It would return their
// count, and a program that does not look at it would lose the rest. Pure: it makes code and
// registers by which the process itself writes the rest and then has the count of the whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "arch/batch.h"
#include "arch/kept_code.h"

namespace grab::arch {

struct ShortWrite {
  int fd = -1;
  std::int32_t written = 0;  ///< bytes
};

/// What a stopped thread is about to be told of its write(2); nothing if it makes another call, or
/// if that one has written all or nothing.
[[nodiscard]] std::optional<ShortWrite> short_write(const Registers& stopped);

/// For a thread that is at a short_write(): code that writes the rest, gives the whole count (what
/// has been written, where the rest fails), and goes on where the call was made. kKeptCodeSize
/// bytes, or kKeptCodeSizeI386. Wherever it lies it uses no memory, and it can be used again by a
/// thread that needs the same bytes.
[[nodiscard]] std::vector<std::byte> rest_code(const Registers& stopped);
/// Whether these bytes, of that size or more, are a rest_code().
[[nodiscard]] bool is_rest_code(std::span<const std::byte> bytes);

/// Registers with which the thread makes that code, at the address `code`, its own: interrupted in
/// the call that writes the rest, when nothing of it had been written.
// Kernel: an interrupted call with -ERESTARTSYS is made again, or returns EINTR to a handler
// without SA_RESTART -> the kernel decides, with the tracer gone, too. In the latter case the
// program is given the short count, as by any signal. Source: arch/x86/kernel/signal.c; signal(7).
[[nodiscard]] Registers write_the_rest(const Registers& stopped, std::uint64_t code);

}  // namespace grab::arch
