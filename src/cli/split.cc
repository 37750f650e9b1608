// SPDX-License-Identifier: MIT
#include "cli/split.h"

#include <boost/program_options/errors.hpp>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>
#include <boost/program_options/value_semantic.hpp>

#include "base/text.h"
#include "cli/words.h"

namespace grab::cli {
namespace {

namespace po = boost::program_options;

tl::unexpected<Error> usage(std::string what, const Syntax& syntax) {
  return fail(ErrorKind::kUsage, std::move(what), try_help(syntax.command));
}

po::options_description known_options(const Syntax& syntax) {
  po::options_description known;
  auto add = known.add_options();
  for (const char* flag : syntax.flags)
    add(flag, "");
  for (const char* value : syntax.values)
    add(value, po::value<std::string>(), "");
  return known;
}

std::string no_option(const std::string& option, const Syntax& syntax) {
  if (syntax.command.empty())
    return "there is no option " + option;
  return "grab " + std::string(syntax.command) + " has no option " + option;
}

// The Error of what Boost found fault with.
tl::unexpected<Error> syntax_error(const po::error_with_option_name& error, const Syntax& syntax) {
  const std::string option = printable(error.get_option_name());
  if (syntax.command.empty() && option.starts_with('-') &&
      all_digits(std::string_view(option).substr(1)))
    return tl::unexpected(parse_pid(option).error());
  if (dynamic_cast<const po::unknown_option*>(&error) != nullptr)
    return usage(no_option(option, syntax), syntax);
  const auto* fault = dynamic_cast<const po::invalid_command_line_syntax*>(&error);
  if (fault != nullptr && fault->kind() == po::invalid_syntax::extra_parameter)
    return usage("the option " + option + " takes no value", syntax);
  if (fault != nullptr && (fault->kind() == po::invalid_syntax::missing_parameter ||
                           fault->kind() == po::invalid_syntax::empty_adjacent_parameter))
    return usage("the option " + option + " needs a value", syntax);
  return usage(printable(error.what()), syntax);
}

// For Boost: a word that is no option, where an option might be, takes all that follow with it.
std::vector<po::option> take_rest(std::vector<std::string>& line) {
  if (line.empty() || (line[0].size() > 1 && line[0][0] == '-'))
    return {};
  po::option rest;
  rest.value = line;
  rest.original_tokens = line;
  line.clear();
  return {rest};
}

Result<std::vector<po::option>> run_boost(const std::vector<std::string>& line,
                                          const Syntax& syntax) {
  namespace style = po::command_line_style;
  const po::options_description known = known_options(syntax);
  try {
    po::command_line_parser parser(line);
    // An abbreviation would change its meaning with the next option that is added.
    parser.options(known).style(style::unix_style & ~style::allow_guessing);
    if (syntax.first_word_ends_options)
      parser.extra_style_parser(take_rest);
    return parser.run().options;
  } catch (const po::error_with_option_name& error) {
    return syntax_error(error, syntax);
  } catch (const po::error& error) {
    return usage(printable(error.what()), syntax);
  }
}

}  // namespace

Result<SplitLine> split_line(const std::vector<std::string>& line, const Syntax& syntax) {
  GRAB_TRY(const std::vector<po::option> found, run_boost(line, syntax));
  SplitLine split;
  for (const po::option& option : found) {
    if (!option.string_key.empty()) {
      split.options.push_back({option.string_key, option.value.empty() ? "" : option.value[0]});
    } else if (option.value != option.original_tokens) {  // "--=3": an option without a name
      return usage(no_option(printable(option.original_tokens.at(0)), syntax), syntax);
    } else {
      split.words.insert(split.words.end(), option.value.begin(), option.value.end());
    }
  }
  return split;
}

}  // namespace grab::cli
