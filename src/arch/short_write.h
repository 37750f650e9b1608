// SPDX-License-Identifier: MIT
// A write(2), send(2) or writev(2) that was interrupted when a part of its bytes had been written.
// It would return their count, and a program that does not look at it would lose the rest. Pure: it
// makes code and registers by which the process itself writes the rest and then has the count of
// the whole.
#pragma once

#include <sys/uio.h>

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
  /// Of a writev(2): where its elements are, and how many. 0 elements: it is none.
  std::uint64_t vector = 0;
  std::uint32_t elements = 0;
};

/// What a stopped thread is about to be told of its call; nothing if it makes another one, or if
/// that one has written all or nothing. (Of a writev(2) only its elements say whether it has.)
[[nodiscard]] std::optional<ShortWrite> short_write(const Registers& stopped);

/// For a thread that is at a short_write(), and not in writev(2): code that writes the rest, gives
/// the whole count (what has been written, where the rest fails), and goes on where the call was
/// made. kKeptCodeSize bytes, or kKeptCodeSizeI386. Wherever it lies it uses no memory, and it can
/// be used again by a thread that needs the same bytes.
[[nodiscard]] std::vector<std::byte> rest_code(const Registers& stopped);
/// Whether these bytes, of that size or more, are a rest_code(), or one of those for a writev(2).
[[nodiscard]] bool is_rest_code(std::span<const std::byte> bytes);

/// Registers with which the thread makes that code, at the address `code`, its own: interrupted in
/// the call that writes the rest, when nothing of it had been written.
// Kernel: an interrupted call with -ERESTARTSYS is made again, or returns EINTR to a handler
// without SA_RESTART -> the kernel decides, with the tracer gone, too. In the latter case the
// program is given the short count, as by any signal. Source: arch/x86/kernel/signal.c; signal(7).
[[nodiscard]] Registers write_the_rest(const Registers& stopped, std::uint64_t code);

/// What a writev(2) has still to write.
struct VectorRest {
  std::uint64_t address = 0;  ///< where it broke off in an element
  std::int32_t size = 0;      ///< bytes from there to the end of that element; 0: between two
  std::uint32_t behind = 0;   ///< elements up to there; those behind it are to be written then
  friend bool operator==(const VectorRest&, const VectorRest&) = default;
};

/// Nothing if all was written, or if it is more than one call writes.
[[nodiscard]] std::optional<VectorRest> vector_rest(std::span<const iovec> vector,
                                                    std::int32_t written);

/// Code that writes the elements behind, and gives the whole count as rest_code() does.
[[nodiscard]] std::vector<std::byte> rest_of_vector_code(const Registers& stopped,
                                                         const VectorRest& rest);
/// Code that writes the rest of the element, and goes on with the rest_of_vector_code() that lies
/// `distance` bytes behind the beginning of this one.
[[nodiscard]] std::vector<std::byte> rest_of_element_code(const Registers& stopped,
                                                          const VectorRest& rest,
                                                          std::int64_t distance);

/// As write_the_rest(); `code` is a rest_of_element_code(), or where the call broke off between two
/// elements a rest_of_vector_code().
[[nodiscard]] Registers write_the_rest_of_vector(const Registers& stopped, const VectorRest& rest,
                                                 std::uint64_t code);

}  // namespace grab::arch
