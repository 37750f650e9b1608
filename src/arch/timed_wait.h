// SPDX-License-Identifier: MIT
// A wait with a timeout that has been interrupted and that the kernel does not go on with by
// itself. Pure: it makes code and registers by which the process waits for what is left of the
// time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "arch/batch.h"
#include "arch/kept_code.h"

namespace grab::arch {

/// Whether a call of this number may be a timed_wait().
[[nodiscard]] bool may_be_timed_wait(std::int64_t number);

/// The timeout of an interrupted wait, as its registers have it.
struct TimedWait {
  std::chrono::nanoseconds timeout{};  ///< where no address holds it
  std::uint64_t address = 0;           ///< of a struct timespec in the process, or 0
};

/// What a stopped thread was waiting for at most, if it is about to be told EINTR; nothing if it is
/// in another call, in one without a timeout, or in a 32-bit one.
[[nodiscard]] std::optional<TimedWait> timed_wait(const Registers& stopped);

/// For a thread that is at a timed_wait(): code that waits on, for `rest` where the timeout has an
/// address, gives the register of the timeout its value again, and goes on where the call was made.
/// kKeptCodeSize bytes. Wherever it lies it uses no memory but itself.
[[nodiscard]] std::vector<std::byte> wait_code(const Registers& stopped,
                                               std::chrono::nanoseconds rest);
/// Whether these bytes, kKeptCodeSize or more, are a wait_code().
[[nodiscard]] bool is_wait_code(std::span<const std::byte> bytes);
/// The same code for another rest.
[[nodiscard]] std::vector<std::byte> with_rest(std::vector<std::byte> code,
                                               std::chrono::nanoseconds rest);

/// Registers with which the thread is interrupted in the call of that code, at the address `code`,
/// and waits for `rest`: rounded up where the call counts in milliseconds.
// Kernel: see resume_by_kernel(): -ERESTARTNOHAND leaves EINTR to a handler that runs.
[[nodiscard]] Registers wait_the_rest(const Registers& stopped, std::uint64_t code,
                                      std::chrono::nanoseconds rest);

/// Where the instruction lies that has made the call in which a stopped thread is.
[[nodiscard]] std::uint64_t call_address(const Registers& stopped);

}  // namespace grab::arch
