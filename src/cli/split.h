// SPDX-License-Identifier: MIT
// A command line cut into options and other words, by Boost.Program_options. Nothing is decided
// here about what they mean.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace grab::cli {

/// What may stand on the line of a command. Options are spelled as Boost has them: "verbose,v".
struct Syntax {
  std::string_view command;              ///< for messages; empty for the one that has no word
  std::vector<const char*> flags = {};   ///< options without a value
  std::vector<const char*> values = {};  ///< options with one
  bool first_word_ends_options = false;  ///< the rest is text, or another program's command line
};

struct SplitLine {
  struct Option {
    std::string name;   ///< the long one
    std::string value;  ///< empty for a flag
  };
  std::vector<Option> options;  ///< in the order in which they were given
  std::vector<std::string> words;
};

/// Errors: kUsage, one sentence that names the option.
[[nodiscard]] Result<SplitLine> split_line(const std::vector<std::string>& line,
                                           const Syntax& syntax);

}  // namespace grab::cli
