// SPDX-License-Identifier: MIT
// Puts right what libvterm 0.1.4 would get wrong, before it sees it: characters and sequences cut
// in two, bytes that are not UTF-8, C1 controls in UTF-8 (which move its cursor out of the screen),
// faint and concealed text, character sets, colours in ISO 8613-6 form, the colour of underlines
// (taken for blinking), the old alternate screen (47), CSI s and CSI u, a reset on the alternate
// screen, repeating (it hangs when there is nothing to repeat), and numbers without measure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "relay/charsets.h"

namespace grab::relay {

class Emulator;

class InputFilter {
 public:
  /// Passes on what is complete; keeps the rest for the next call.
  void feed(std::string_view bytes, Emulator& to);
  /// Nothing is unfinished, and no shift waits for the next character.
  [[nodiscard]] bool empty() const {
    return held_.empty() && string_kind_ == 0 && !charsets_.single_shift_waits();
  }

 private:
  /// What must not be passed on as it is; begin == end == size if there is none.
  struct Exception {
    std::size_t begin = 0, end = 0;
  };

  std::size_t take_string(std::string_view bytes, Emulator& to);
  static std::size_t complete_end(std::string_view bytes);
  [[nodiscard]] Exception next_exception(std::string_view bytes) const;
  std::string translate(std::string_view bytes, const Emulator& to);
  std::string translate_escape(std::string_view sequence);

  static constexpr std::size_t kMaxString = 64;  // longer than any DECRQSS

  Charsets charsets_;
  char string_kind_ = 0;  // the byte behind ESC; 0 outside of strings
  std::string string_;    // its beginning
  std::string held_;      // bounded by kMaxHeld of input_filter.cc
};

}  // namespace grab::relay
