// SPDX-License-Identifier: MIT
// Any words at all on the command line: grab answers with one sentence, or does what it was told.
#include <rapidcheck.h>

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/text.h"
#include "cli/options.h"
#include "cli/words.h"

namespace grab::cli {
namespace {

// A word as C has them: any bytes but 0.
rc::Gen<std::string> any_word() {
  return rc::gen::container<std::string>(rc::gen::nonZero<char>());
}

rc::Gen<std::string> likely_word() {
  return rc::gen::element<std::string>(
      "attach", "list", "detach", "send", "peek", "wait", "signal", "run", "help", "--help", "-h",
      "--tree", "4711", "0", "-1", "make.4711", "--name", "--name=x", "-e", "-e^a", "none", "^\\",
      "--log", "--record", "f", "--json", "--dry-run", "--", "-", "", "-rd", "--timeout", "2",
      "TERM", "text\\r", "bad\\q", "--detached", "-l", "--bogus", "---", "--=");
}

Result<Options> parse(const std::vector<std::string>& words) {
  std::vector<const char*> argv = {"grab"};
  for (const std::string& word : words)
    argv.push_back(word.c_str());
  return parse_options(static_cast<int>(argv.size()), argv.data());
}

RC_GTEST_PROP(CommandLineProperty, BadOnesAreAnsweredWithASentenceAndAHint, ()) {
  const auto words = *rc::gen::container<std::vector<std::string>>(
      rc::gen::weightedOneOf<std::string>({{6, likely_word()}, {1, any_word()}}));
  const auto options = parse(words);
  if (options)
    return;
  RC_ASSERT(options.error().kind == ErrorKind::kUsage);
  RC_ASSERT(!options.error().what.empty() && !options.error().hint.empty());
  RC_ASSERT(printable(options.error().what) == options.error().what);
  RC_ASSERT(printable(options.error().hint) == options.error().hint);
}

RC_GTEST_PROP(CommandLineProperty, GoodOnesSayWhatIsNeeded, ()) {
  const auto options = parse(*rc::gen::container<std::vector<std::string>>(likely_word()));
  if (!options)
    return;
  switch (options->action) {
    case Action::kMove:
    case Action::kDryRun:
      RC_ASSERT(options->pid > 0);
      break;
    case Action::kSend:
      RC_ASSERT(!options->target.empty());
      break;
    case Action::kSignal:
      RC_ASSERT(!options->target.empty() && options->signo > 0);
      break;
    case Action::kRun:
      RC_ASSERT(!options->command.empty());
      break;
    default:
      RC_ASSERT(options->action == Action::kHelp || options->pid == 0);
  }
}

RC_GTEST_PROP(CommandLineProperty, TheCommandOfRunIsLeftAlone, ()) {
  auto command = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::string>>(any_word()));
  RC_PRE(!command[0].empty());
  std::vector<std::string> words = {"run", "--"};
  words.insert(words.end(), command.begin(), command.end());
  RC_ASSERT(parse(words)->command == command);
}

RC_GTEST_PROP(CommandLineProperty, LiteralTextIsSentAsItIs, ()) {
  const std::string text = *any_word();
  RC_ASSERT(parse({"send", "-l", "x", "--", text})->text == text);
}

RC_GTEST_PROP(CommandLineProperty, AnyByteCanBeSentByItsEscape, ()) {
  const auto bytes = *rc::gen::arbitrary<std::string>();
  std::string octal;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    octal += {'\\', static_cast<char>('0' + (byte >> 6U)),
              static_cast<char>('0' + ((byte >> 3U) & 7U)), static_cast<char>('0' + (byte & 7U))};
  }
  RC_ASSERT(unescape(octal) == bytes);
}

}  // namespace
}  // namespace grab::cli
