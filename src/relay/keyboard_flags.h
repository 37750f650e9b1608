// SPDX-License-Identifier: MIT
// The flags of kitty's keyboard protocol, which a terminal keeps in a stack for each screen.
// Source: kitty, "Comprehensive keyboard handling in terminals".
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace grab::relay {

class KeyboardFlags {
 public:
  void push(unsigned flags) {
    if (levels_.size() == kMaxLevels)
      levels_.erase(levels_.begin() + 1);
    levels_.push_back(flags & kAll);
  }
  void pop(unsigned count) {
    if (count >= levels_.size())
      levels_.assign(1, 0);
    else
      levels_.resize(levels_.size() - count);
  }
  /// How: 1 to set all flags, 2 to set the ones given, 3 to clear them.
  void set(unsigned flags, unsigned how) {
    unsigned& now = levels_.back();
    now = (how == 3 ? now & ~flags : how == 2 ? now | flags : flags) & kAll;
  }

  [[nodiscard]] std::string undo() const {
    std::string out;
    if (levels_.size() > 1)
      out += "\x1b[<" + std::to_string(levels_.size() - 1) + 'u';
    if (levels_.front() != 0)
      out += "\x1b[=0u";
    return out;
  }
  [[nodiscard]] std::string redo() const {
    std::string out;
    if (levels_.front() != 0)
      out += "\x1b[=" + std::to_string(levels_.front()) + 'u';
    for (std::size_t i = 1; i < levels_.size(); ++i)
      out += "\x1b[>" + std::to_string(levels_[i]) + 'u';
    return out;
  }

 private:
  static constexpr std::size_t kMaxLevels = 16;  // terminals have a bound too
  static constexpr unsigned kAll = 31;

  std::vector<unsigned> levels_ = {0};  // the first is what was never pushed
};

}  // namespace grab::relay
