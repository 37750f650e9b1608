// SPDX-License-Identifier: MIT
#include "cli/options.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
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
                      Bad{{"make"}, R"("make" is not a process id: that is a decimal number)"},
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
        Bad{{"--detached", "12"},
            "--detached comes with the relay that can be detached (a later release)"}));

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
        "keep-stopped", "keep-job", "verbose", "help", "version"}) {
    EXPECT_THAT(std::string(help_text()), HasSubstr("--" + name));
    EXPECT_THAT(page, HasSubstr("Fl -" + name));
  }
}

TEST(Options, JsonIsAskedForEvenOnABadCommandLine) {
  const auto wants = [](std::vector<const char*> words) {
    return wants_json(static_cast<int>(words.size()), words.data());
  };
  EXPECT_TRUE(wants({"grab", "--bogus", "--json"}));
  EXPECT_FALSE(wants({"grab", "--bogus"}));
  EXPECT_FALSE(wants({"grab", "--", "--json"}));
}

}  // namespace
}  // namespace grab::cli
