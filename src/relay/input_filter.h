// SPDX-License-Identifier: MIT
// Puts right what libvterm 0.1.4 would get wrong, before it sees it: characters and sequences cut
// in two, bytes that are not UTF-8, C1 controls in UTF-8 (which move its cursor out of the screen),
// faint and concealed text, colours in ISO 8613-6 form, the colour of underlines (taken for
// blinking), the old alternate screen (47), CSI s and CSI u, and numbers without measure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "relay/style.h"

namespace grab::relay {

class InputFilter {
 public:
  /// Passes on, to `to`, what is complete; keeps the rest for the next call.
  template <class Sink>
  void feed(std::string_view bytes, Sink& to) {
    std::string joined;
    if (!held_.empty()) {
      joined = held_.append(bytes);
      held_.clear();
      bytes = joined;
    }
    const std::size_t end = complete_end(bytes);
    held_ = bytes.substr(end);
    bytes = bytes.substr(0, end);
    while (!bytes.empty()) {
      const Exception found = next_exception(bytes);
      if (found.begin != 0)
        to.write(bytes.substr(0, found.begin));
      if (found.begin != found.end)
        write_exception(bytes.substr(found.begin, found.end - found.begin), to);
      bytes.remove_prefix(found.end);
    }
  }
  [[nodiscard]] bool empty() const { return held_.empty(); }

 private:
  /// What must not be passed on as it is; begin == end == size if there is none.
  struct Exception {
    std::size_t begin = 0, end = 0;
  };

  template <class Sink>
  static void write_exception(std::string_view bytes, Sink& to) {
    const std::string changed = translate(bytes, to.pen());
    if (!changed.empty())
      to.write(changed);
  }
  static std::size_t complete_end(std::string_view bytes);
  static Exception next_exception(std::string_view bytes);
  static std::string translate(std::string_view bytes, const Style& pen);

  std::string held_;  // bounded by kMaxHeld of input_filter.cc
};

}  // namespace grab::relay
