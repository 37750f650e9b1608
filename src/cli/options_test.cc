// SPDX-License-Identifier: MIT
#include "cli/options.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace grab::cli {
namespace {

using ::testing::HasSubstr;

Result<Options> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "grab");
  return parse_options(static_cast<int>(words.size()), words.data());
}

TEST(Options, TakeOneProcess) {
  const auto options = parse({"4711"});
  ASSERT_TRUE(options) << options.error().what;
  EXPECT_EQ(options->action, Action::kMove);
  EXPECT_EQ(options->pid, 4711);
  EXPECT_FALSE(options->move.whole_tree);
  EXPECT_FALSE(options->move.force);
  EXPECT_FALSE(options->move.force_stdio);
  EXPECT_FALSE(options->move.keep_session);
  EXPECT_FALSE(options->move.keep_stopped);
  EXPECT_FALSE(options->move.keep_job);
  EXPECT_FALSE(options->json);
  EXPECT_FALSE(options->verbose);
  EXPECT_EQ(options->move.timeout_s, tracer::MoveOptions{}.timeout_s);
}

TEST(Options, TakeEveryFlagBeforeAndAfterTheProcess) {
  const auto options =
      parse({"--tree", "--force", "--force-stdio", "4711", "--keep-session", "--keep-stopped",
             "--keep-job", "--verbose", "--json", "--dry-run", "--timeout", "0.25"});
  ASSERT_TRUE(options) << options.error().what;
  EXPECT_EQ(options->action, Action::kDryRun);
  EXPECT_EQ(options->pid, 4711);
  EXPECT_TRUE(options->move.whole_tree);
  EXPECT_TRUE(options->move.force);
  EXPECT_TRUE(options->move.force_stdio);
  EXPECT_TRUE(options->move.keep_session);
  EXPECT_TRUE(options->move.keep_stopped);
  EXPECT_TRUE(options->move.keep_job);
  EXPECT_TRUE(options->json);
  EXPECT_TRUE(options->verbose);
  EXPECT_EQ(options->move.timeout_s, 0.25);
}

TEST(Options, EachFlagSetsItsOwnFieldOnly) {
  const std::vector<std::pair<const char*, bool tracer::MoveOptions::*>> flags = {
      {"--tree", &tracer::MoveOptions::whole_tree},
      {"--force", &tracer::MoveOptions::force},
      {"--force-stdio", &tracer::MoveOptions::force_stdio},
      {"--keep-session", &tracer::MoveOptions::keep_session},
      {"--keep-stopped", &tracer::MoveOptions::keep_stopped},
      {"--keep-job", &tracer::MoveOptions::keep_job},
      {"--partial", &tracer::MoveOptions::partial},
  };
  for (const auto& [word, field] : flags) {
    const auto options = parse({word, "1"});
    ASSERT_TRUE(options) << word;
    for (const auto& [other, other_field] : flags)
      EXPECT_EQ(options->move.*other_field, other_field == field) << word << " and " << other;
  }
}

TEST(Options, ShortOnesCanBeWrittenTogether) {
  const auto options = parse({"-Nv", "4711"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->action, Action::kDryRun);
  EXPECT_TRUE(options->verbose);
}

TEST(Options, EndAtTwoDashes) {
  EXPECT_EQ(parse({"--", "4711"})->pid, 4711);
  EXPECT_EQ(parse({"--tree", "--", "4711"})->pid, 4711);
  EXPECT_FALSE(parse({"--", "--tree"}));
}

TEST(Options, HelpAndVersionNeedNoProcess) {
  EXPECT_EQ(parse({"--help"})->action, Action::kHelp);
  EXPECT_EQ(parse({"-h"})->action, Action::kHelp);
  EXPECT_EQ(parse({"--version"})->action, Action::kVersion);
  EXPECT_EQ(parse({"-V"})->action, Action::kVersion);
  EXPECT_EQ(parse({"-N", "-V", "-h"})->action, Action::kHelp);
}

TEST(Options, ProcessIdsGoFromOneToTheLargest) {
  EXPECT_EQ(parse({"1"})->pid, 1);
  EXPECT_EQ(parse({"4194304"})->pid, 4194304);
}

struct Bad {
  std::vector<const char*> words;
  const char* sentence;
};

class BadCommandLine : public ::testing::TestWithParam<Bad> {};

TEST_P(BadCommandLine, IsAnsweredWithOneSentence) {
  const auto options = parse(GetParam().words);
  ASSERT_FALSE(options);
  EXPECT_EQ(options.error().kind, ErrorKind::kUsage);
  EXPECT_EQ(options.error().message(), GetParam().sentence);
  EXPECT_FALSE(options.error().hint.empty());
}

constexpr const char* kNotATime =
    " is not a time: that is a number of seconds, more than 0 and at most 86400";

INSTANTIATE_TEST_SUITE_P(
    Process, BadCommandLine,
    ::testing::Values(Bad{{}, "no process id was given"},
                      Bad{{"--tree"}, "no process id was given"},
                      Bad{{"--dry-run", "--json"}, "no process id was given"},
                      Bad{{"0"}, "0 is not a process id: they begin at 1"},
                      Bad{{"000"}, "0 is not a process id: they begin at 1"},
                      Bad{{"-5"}, "-5 is not a process id: they begin at 1"},
                      Bad{{"--", "-5"}, "-5 is not a process id: they begin at 1"},
                      Bad{{"4194305"}, "4194305 is not a process id: the largest is 4194304"},
                      Bad{{"4294967297"}, "4294967297 is not a process id: the largest is 4194304"},
                      Bad{{"18446744073709551617"},
                          "18446744073709551617 is not a process id: the largest is 4194304"},
                      Bad{{"--", "make"},
                          R"("make" is not a process id: that is a decimal number)"},
                      Bad{{""}, R"("" is not a process id: that is a decimal number)"},
                      Bad{{"12x"}, R"("12x" is not a process id: that is a decimal number)"},
                      Bad{{" 12"}, R"(" 12" is not a process id: that is a decimal number)"},
                      Bad{{"+12"}, R"("+12" is not a process id: that is a decimal number)"},
                      Bad{{"0x12"}, R"("0x12" is not a process id: that is a decimal number)"},
                      Bad{{"1.5"}, R"("1.5" is not a process id: that is a decimal number)"},
                      Bad{{"\x1b[2J"}, R"("?[2J" is not a process id: that is a decimal number)"},
                      Bad{{"12", "13"}, "more than one process id was given: 12 and 13"},
                      Bad{{"12", "12"}, "more than one process id was given: 12 and 12"}));

INSTANTIATE_TEST_SUITE_P(
    Option, BadCommandLine,
    ::testing::Values(
        Bad{{"--bogus", "12"}, "there is no option --bogus"},
        Bad{{"-x", "12"}, "there is no option -x"}, Bad{{"--=3"}, "there is no option --=3"},
        Bad{{"---"}, "there is no option ---"},
        Bad{{"--\x1b[2J", "12"}, "there is no option --?[2J"},
        Bad{{"--tre", "12"}, "there is no option --tre"},
        Bad{{"--Tree", "12"}, "there is no option --Tree"},
        Bad{{"--tree=yes", "12"}, "the option --tree takes no value"},
        Bad{{"12", "--timeout"}, "the option --timeout needs a value"},
        Bad{{"--timeout=", "12"}, "the option --timeout needs a value"},
        Bad{{"--json", "12"}, "--json goes with --dry-run: it is the plan that is printed as JSON"},
        Bad{{"--log=", "12"}, "the option --log needs a value"},
        Bad{{"--log", "", "12"}, "--log needs the path of a file"},
        Bad{{"--record", "", "12"}, "--record needs the path of a file"},
        Bad{{"--log", "a", "--record", "a", "12"}, R"(--log and --record name the same file, "a")"},
        Bad{{"--name", "a/b", "12"},
            R"("a/b" cannot be the name of a tree: a name has letters, digits and . _ + @ % : - only)"},
        Bad{{"-e", "a", "12"}, R"("a" is not a key that can detach: that is a control character)"},
        Bad{{"--read-only", "12"}, "there is no option --read-only"}));

INSTANTIATE_TEST_SUITE_P(
    Command, BadCommandLine,
    ::testing::Values(
        Bad{{"make"}, R"("make" is neither a process id nor a command)"},
        Bad{{"attahc", "x"}, R"("attahc" is neither a process id nor a command)"},
        Bad{{"-v", "attach"}, R"("attach" is not a process id: that is a decimal number)"},
        Bad{{"help", "4711"}, R"(there is no command "4711")"},
        Bad{{"attach", "--log", "f"}, "grab attach has no option --log"},
        Bad{{"attach", "--tree"}, "grab attach has no option --tree"},
        Bad{{"attach", "a", "b"}, R"(more than one tree was named: "a" and "b")"},
        Bad{{"attach", ""}, R"("" cannot be the name of a tree: a name has 1 to 64 characters)"},
        Bad{{"attach", "\x1b[2J"},
            R"("?[2J" cannot be the name of a tree: a name has letters, digits and . _ + @ % : - only)"},
        Bad{{"attach", ".."},
            R"(".." cannot be the name of a tree: a name does not begin with . or -)"},
        Bad{{"attach", "0"}, "0 is not a process id: they begin at 1"},
        Bad{{"attach", "-e"}, "the option --detach-key needs a value"},
        Bad{{"list", "a"}, R"(grab list takes no name, but "a" was given)"},
        Bad{{"detach", "a", "b"}, R"(more than one tree was named: "a" and "b")"},
        Bad{{"peek", "a", "b"}, R"(more than one tree was named: "a" and "b")"},
        Bad{{"wait", "a", "b"}, R"(more than one tree was named: "a" and "b")"},
        Bad{{"send"}, "no tree was named that is to get the text"},
        Bad{{"send", "a"}, "no text was given that is to be typed"},
        Bad{{"send", "a", "--"}, "no text was given that is to be typed"},
        Bad{{"send", "a", "\\q"}, R"("\q" in the text is not an escape such as \r, \t or \x03)"},
        Bad{{"send", "-x", "a", "b"}, "grab send has no option -x"},
        Bad{{"signal"}, "no tree was named that is to get the signal"},
        Bad{{"signal", "a"}, "no signal was given"},
        Bad{{"signal", "a", "TREM"}, R"(there is no signal "TREM")"},
        Bad{{"signal", "a", "TERM", "KILL"}, R"(one signal at a time, but "KILL" was given too)"},
        Bad{{"signal", "a", "-9"}, "grab signal has no option -9"},
        Bad{{"run"}, "no command was given that is to be run"},
        Bad{{"run", "--name", "x"}, "no command was given that is to be run"},
        Bad{{"run", ""}, "no command was given that is to be run"},
        Bad{{"run", "--tree", "make"}, "grab run has no option --tree"}));

std::string hint_for(std::vector<const char*> words) {
  const auto options = parse(std::move(words));
  return options ? "no error" : options.error().hint;
}

TEST(UnknownCommand, IsAnsweredWithTheOneThatWasMeant) {
  EXPECT_EQ(hint_for({"attahc", "x"}), "did you mean grab attach?");
  EXPECT_EQ(hint_for({"lst"}), "did you mean grab list?");
  EXPECT_EQ(hint_for({"ls"}), "did you mean grab list?");
  EXPECT_EQ(hint_for({"dettach"}), "did you mean grab detach?");
  EXPECT_EQ(hint_for({"Attach"}), "did you mean grab attach?");
  EXPECT_EQ(hint_for({"kill", "x", "TERM"}), "did you mean grab signal?");
  EXPECT_EQ(hint_for({"-v", "attach"}), "the command comes first: grab attach");
}

TEST(UnknownCommand, ThatIsNearToNoneIsAnsweredWithHowToNameATree) {
  EXPECT_THAT(hint_for({"firefox"}), HasSubstr("grab attach NAME"));
  EXPECT_THAT(hint_for({"make.4711"}), HasSubstr("grab attach NAME"));
}

TEST(Options, HintsOfACommandPointToItsOwnHelp) {
  EXPECT_EQ(hint_for({"attach", "--bogus"}), "try grab attach --help");
  EXPECT_EQ(hint_for({"--bogus", "12"}), "try grab --help");
}

TEST(Options, OfAMoveThatCanBeDetached) {
  const auto options = parse(
      {"--tree", "4711", "--name", "build", "--detached", "--log", "a", "--record=b", "-e", "^a"});
  ASSERT_TRUE(options) << options.error().what;
  EXPECT_EQ(options->action, Action::kMove);
  EXPECT_EQ(options->name, "build");
  EXPECT_TRUE(options->detached);
  EXPECT_EQ(options->log, "a");
  EXPECT_EQ(options->record, "b");
  EXPECT_EQ(options->detach_key, 0x01);
}

TEST(Options, DetachWithTheBackslashKeyUnlessToldOtherwise) {
  EXPECT_EQ(parse({"4711"})->detach_key, 0x1C);
  EXPECT_EQ(parse({"attach"})->detach_key, 0x1C);
  EXPECT_EQ(parse({"-e", "none", "4711"})->detach_key, std::nullopt);
  EXPECT_EQ(parse({"--detach-key=^]", "4711"})->detach_key, 0x1D);
  EXPECT_EQ(parse({"attach", "-e^B"})->detach_key, 0x02);
}

TEST(AttachOptions, TakeANameOrAProcessOrNothing) {
  EXPECT_EQ(parse({"attach"})->action, Action::kAttach);
  EXPECT_EQ(parse({"attach"})->target, "");
  EXPECT_EQ(parse({"attach", "make.4711"})->target, "make.4711");
  EXPECT_EQ(parse({"attach", "4711"})->target, "4711");
  EXPECT_EQ(parse({"attach", "004711"})->target, "4711");
  const auto options = parse({"attach", "-rd", "make.4711", "-e", "none", "-v"});
  ASSERT_TRUE(options) << options.error().what;
  EXPECT_TRUE(options->read_only);
  EXPECT_TRUE(options->detach_others);
  EXPECT_TRUE(options->verbose);
  EXPECT_EQ(options->detach_key, std::nullopt);
  EXPECT_TRUE(parse({"attach", "--read-only", "--detach-others"})->read_only);
}

TEST(CommandOptions, OfTheOthersThatTakeATree) {
  EXPECT_EQ(parse({"list"})->action, Action::kList);
  EXPECT_TRUE(parse({"list", "--json"})->json);
  for (const auto& [word, action] :
       {std::pair{"detach", Action::kDetach}, std::pair{"peek", Action::kPeek},
        std::pair{"wait", Action::kWait}}) {
    EXPECT_EQ(parse({word})->action, action);
    EXPECT_EQ(parse({word})->target, "");
    EXPECT_EQ(parse({word, "4711"})->target, "4711");
  }
}

TEST(SendOptions, GiveTheTextThatIsToBeTyped) {
  EXPECT_EQ(parse({"send", "make.1", "y\\r"})->text, "y\r");
  EXPECT_EQ(parse({"send", "make.1", "two", "words"})->text, "two words");
  EXPECT_EQ(parse({"send", "make.1", ""})->text, "");
  EXPECT_EQ(parse({"send", "-l", "make.1", "C:\\new"})->text, "C:\\new");
  EXPECT_EQ(parse({"send", "12", "x"})->target, "12");
}

TEST(SendOptions, EndAtTheName) {
  EXPECT_EQ(parse({"send", "make.1", "-v", "--help"})->text, "-v --help");
  EXPECT_EQ(parse({"send", "make.1", "--", "-v"})->text, "-v");
  EXPECT_EQ(parse({"send", "make.1", "--", "--"})->text, "--");
  EXPECT_EQ(parse({"send", "--", "make.1", "-v"})->text, "-v");
}

TEST(SignalOptions, TakeATreeAndASignal) {
  const auto options = parse({"signal", "make.4711", "TERM"});
  ASSERT_TRUE(options) << options.error().what;
  EXPECT_EQ(options->action, Action::kSignal);
  EXPECT_EQ(options->target, "make.4711");
  EXPECT_EQ(options->signo, 15);
}

TEST(RunOptions, LeaveThoseOfTheCommandToIt) {
  const auto options = parse({"run", "--name", "x", "--detached", "make", "-j4", "--log", "f"});
  ASSERT_TRUE(options) << options.error().what;
  EXPECT_EQ(options->action, Action::kRun);
  EXPECT_EQ(options->name, "x");
  EXPECT_TRUE(options->detached);
  EXPECT_EQ(options->log, "");
  EXPECT_EQ(options->command, (std::vector<std::string>{"make", "-j4", "--log", "f"}));
  EXPECT_EQ(parse({"run", "--", "-odd"})->command, std::vector<std::string>{"-odd"});
  EXPECT_EQ(parse({"run", "sh", "--", ""})->command, (std::vector<std::string>{"sh", "--", ""}));
  EXPECT_EQ(parse({"run", "-"})->command, std::vector<std::string>{"-"});
}

TEST(Help, CanBeAskedForEachCommand) {
  for (const std::string word :
       {"attach", "list", "detach", "send", "peek", "wait", "signal", "run"}) {
    const auto asked = parse({word.c_str(), "--help"});
    ASSERT_TRUE(asked) << word;
    EXPECT_EQ(asked->action, Action::kHelp);
    EXPECT_THAT(std::string(help_text(asked->about)), HasSubstr("usage: grab " + word));
    EXPECT_EQ(parse({"help", word.c_str()})->about, asked->about);
    EXPECT_EQ(parse({word.c_str(), "-h"})->about, asked->about);
    EXPECT_THAT(std::string(help_text()), HasSubstr("grab " + word));
  }
  EXPECT_EQ(parse({"help"})->about, Action::kMove);
  EXPECT_EQ(parse({"-N", "-h"})->about, Action::kMove);
  EXPECT_EQ(parse({"run", "make", "--help"})->action, Action::kRun);
}

TEST(Help, FitsAnEightyColumnTerminal) {
  for (const Action about :
       {Action::kMove, Action::kAttach, Action::kList, Action::kDetach, Action::kSend,
        Action::kPeek, Action::kWait, Action::kSignal, Action::kRun}) {
    std::istringstream text{std::string(help_text(about))};
    for (std::string line; std::getline(text, line);)
      EXPECT_LE(line.size(), 79U) << line;
  }
}

TEST(Options, TimeoutIsANumberOfSecondsAboveZero) {
  for (const char* good : {"2", "0.5", "1e-3", "86400"})
    EXPECT_TRUE(parse({"--timeout", good, "12"})) << good;
  for (const char* bad :
       {"0", "-1", "0.0", "nan", "inf", "1e400", "86401", "2s", "", " 2", "0x2", "--tree"}) {
    const auto options = parse({"--timeout", bad, "12"});
    ASSERT_FALSE(options) << bad;
    EXPECT_EQ(options.error().message(), "--timeout " + std::string(bad) + kNotATime);
  }
}

TEST(Options, AreInTheHelpTextAndTheManPage) {
  const auto manual = std::filesystem::path(__FILE__).parent_path() / "../../docs/grab.1";
  std::ifstream file(manual);
  ASSERT_TRUE(file) << manual;
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  for (const std::string name :
       {"tree", "dry-run", "json", "timeout", "force", "force-stdio", "keep-session",
        "keep-stopped", "keep-job", "partial", "verbose", "help", "version", "name", "detached",
        "log", "record", "detach-key"}) {
    EXPECT_THAT(std::string(help_text()), HasSubstr("--" + name));
    EXPECT_NE(page.find("Fl -" + name), std::string::npos) << name;
  }
}

TEST(Options, OfTheCommandsAreInTheManPage) {
  const auto manual = std::filesystem::path(__FILE__).parent_path() / "../../docs/grab.1";
  std::ifstream file(manual);
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  for (const std::string word :
       {"attach", "list", "detach", "send", "peek", "wait", "signal", "run"})
    EXPECT_NE(page.find("\n.It Cm " + word), std::string::npos) << word;
  for (const std::string name : {"read-only", "detach-others", "detach-key", "literal"})
    EXPECT_NE(page.find("Fl -" + name), std::string::npos) << name;
}

TEST(Options, JsonIsAskedForEvenOnABadCommandLine) {
  const auto wants = [](std::vector<const char*> words) {
    return wants_json(static_cast<int>(words.size()), words.data());
  };
  EXPECT_TRUE(wants({"grab", "--bogus", "--json"}));
  EXPECT_FALSE(wants({"grab", "--bogus"}));
  EXPECT_FALSE(wants({"grab", "--", "--json"}));
  EXPECT_TRUE(wants({"grab", "list", "--bogus", "--json"}));
  EXPECT_FALSE(wants({"grab", "run", "--bogus", "make", "--json"}));
}

}  // namespace
}  // namespace grab::cli
