// SPDX-License-Identifier: MIT
// The character sets of ISO 2022, as far as programs use them under UTF-8: ASCII, DEC's line
// drawing and the British one. libvterm has them too, but a program that chooses ASCII there makes
// it take combining characters apart.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace grab::relay {

class Charsets {
 public:
  /// G0 to G3 becomes the set with this final byte.
  void designate(std::size_t which, char final) { sets_[which] = final; }
  /// SI, SO, LS2, LS3.
  void shift(std::size_t which) { shift_ = which; }
  /// SS2, SS3: for the next character.
  void single_shift(std::size_t which) { single_ = which; }
  void reset() { *this = {}; }

  /// ASCII means itself, and goes on doing so.
  [[nodiscard]] bool are_plain() const { return single_ == 0 && is_plain(sets_[shift_]); }
  [[nodiscard]] bool single_shift_waits() const { return single_ != 0; }
  /// What printable ASCII stands for, in UTF-8.
  [[nodiscard]] std::string translate(std::string_view text);

 private:
  static bool is_plain(char set) { return set != '0' && set != 'A'; }

  std::array<char, 4> sets_ = {'B', 'B', 'B', 'B'};
  std::size_t shift_ = 0;
  std::size_t single_ = 0;  // 0: none
};

}  // namespace grab::relay
