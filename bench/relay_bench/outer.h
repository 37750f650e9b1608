// SPDX-License-Identifier: MIT
// The outer terminal: a ptmx that is read as fast as it gives, and whose every byte is compared
// with what has to come. Every wait has a deadline.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/unique_fd.h"
#include "board.h"

namespace grab::bench {

class Outer {
 public:
  Outer() = default;
  /// `ptmx` has to be non-blocking.
  explicit Outer(UniqueFd ptmx) : ptmx_(std::move(ptmx)) {}

  [[nodiscard]] int fd() const { return ptmx_.get(); }

  /// Reads and drops everything up to and with `mark`. Errors: kTimeout, kGone.
  [[nodiscard]] Status skip_to(std::string_view mark, Nanoseconds deadline);

  /// Reads `bytes` as many times as `times`, and nothing else. Errors: kUnsupported at the first
  /// byte that differs, kTimeout, kGone.
  [[nodiscard]] Status expect(std::string_view bytes, std::uint64_t times, Nanoseconds deadline);

  /// As expect(bytes, 1), while `typed` is typed.
  [[nodiscard]] Status exchange(std::string_view bytes, std::string_view typed,
                                Nanoseconds deadline);

  /// Types one byte and reads until it comes back, dropping other bytes. Returns the time between.
  [[nodiscard]] Result<Nanoseconds> echo(char byte, Nanoseconds deadline);

  /// Reads and drops what is there now.
  void drain();

  /// The last bytes that skip_to() dropped: what a contender that failed had to say.
  [[nodiscard]] const std::string& dropped() const { return dropped_; }

 private:
  [[nodiscard]] Status wait(short events, Nanoseconds deadline, short& ready) const;
  [[nodiscard]] Status fill(Nanoseconds deadline);
  [[nodiscard]] Status compare(std::string_view bytes, std::uint64_t total,
                               std::uint64_t& position);

  UniqueFd ptmx_;
  std::string buffer_ = std::string(std::size_t{64} * 1024, '\0');
  std::string_view unread_;  ///< in buffer_
  std::string dropped_;
};

}  // namespace grab::bench
