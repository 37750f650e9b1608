// SPDX-License-Identifier: MIT
// A bounded queue of bytes in a ring. Bytes are named by their position in the whole stream, so
// that several readers can stand at different places of one ring; it never grows and never
// overwrites.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace grab::relay {

class ByteRing {
 public:
  explicit ByteRing(std::size_t capacity)
      : capacity_(capacity), bytes_(std::make_unique_for_overwrite<char[]>(capacity)) {}

  [[nodiscard]] std::uint64_t begin() const { return begin_; }  ///< oldest byte kept
  [[nodiscard]] std::uint64_t end() const { return end_; }      ///< one past the newest
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(end_ - begin_); }
  [[nodiscard]] bool full() const { return size() == capacity_; }

  /// Room for the next bytes, in one piece; not empty unless full(). Valid until commit().
  [[nodiscard]] std::span<char> space() {
    const std::size_t at = index(end_);
    return {bytes_.get() + at, std::min(capacity_ - size(), capacity_ - at)};
  }
  /// The first `n` bytes of space() have been filled.
  void commit(std::size_t n) {
    assert(n <= space().size());
    end_ += n;
  }
  /// Bytes from `from` up to `to`, or as many of them as lie in one piece. Valid until release().
  [[nodiscard]] std::string_view view(std::uint64_t from, std::uint64_t to) const {
    assert(begin_ <= from && from <= to && to <= end_);
    const std::size_t at = index(from);
    return {bytes_.get() + at, std::min(static_cast<std::size_t>(to - from), capacity_ - at)};
  }
  /// Forgets every byte before `before`.
  void release(std::uint64_t before) {
    assert(begin_ <= before && before <= end_);
    begin_ = before;
  }

 private:
  [[nodiscard]] std::size_t index(std::uint64_t position) const {
    return static_cast<std::size_t>(position % capacity_);
  }

  std::size_t capacity_;
  std::unique_ptr<char[]> bytes_;
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
};

}  // namespace grab::relay
