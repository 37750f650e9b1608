// SPDX-License-Identifier: MIT
// Looks for the detach key in what is typed: a control character, or what the kitty keyboard
// protocol sends in its place. Once detaches, twice is one for the tree. Pure, without a clock.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace grab::relay {

class DetachKey {
 public:
  /// `key`: a control character; none: no key detaches.
  explicit DetachKey(std::optional<unsigned char> key);

  /// typed() would pass these bytes on as they are, and remember nothing.
  [[nodiscard]] bool leaves_alone(std::string_view bytes) const;

  struct Verdict {
    std::string passed;     ///< for the tree
    bool detaches = false;  ///< it was no second press that followed
    std::string behind;  ///< typed after the key that detaches: for whoever has the terminal next
    bool began = false;  ///< the key came once: call deadline() after a while
  };
  /// Takes the next bytes; a sequence may be cut anywhere. Passes at most kMaxHeld more than it
  /// was given.
  [[nodiscard]] Verdict typed(std::string_view bytes);

  /// Time has passed since `began`: if it was not pressed again, that detaches.
  [[nodiscard]] Verdict deadline();

  /// The byte that a second press would be; nothing where none is waited for, or a sequence.
  [[nodiscard]] std::optional<char> awaited_byte() const;

  static constexpr std::size_t kMaxHeld = 32;  ///< longer than any form of the key

 private:
  enum class Match { kNo, kPossible, kPress, kRepeatOrRelease };

  void typed_byte(char byte, Verdict& verdict);
  void pass(std::string_view bytes, Verdict& verdict) const;
  void press(Verdict& verdict, bool by_sequence);
  [[nodiscard]] Match match() const;

  std::optional<char> key_;
  std::string code_;           // its key's code point, in decimal
  bool pressed_ = false;       // once; the second is waited for
  bool by_sequence_ = false;   // that press came in its kitty form
  std::string sequence_;       // what may become the key
  std::size_t passed_on_ = 0;  // how much of sequence_ could not wait
};

}  // namespace grab::relay
