// SPDX-License-Identifier: MIT
// Shells that are no Bourne shells at all: xonsh, which is Python, and nushell. As in
// shell_matrix_test.cc, but each in its own words, and without a run without grab beside it.
#include <signal.h>

#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "support/grab_test.h"
#include "support/moving.h"

namespace grab::test {
namespace {

/// What is typed to bring a shell into a situation; `JOB` and `MARK` are put in.
struct Words {
  const char* line;
  const char* then = "";    ///< typed behind the job's "ready"
  bool reads = true;        ///< else the job must not: it is in the background
  bool is_stopped = false;  ///< by a ^Z behind the job's "ready"
};

const std::map<std::string, std::map<std::string, Words>>& vocabulary() {
  // xonsh goes on with what stands behind a `;`, and with the rest of a loop, after ^C too.
  static const std::map<std::string, std::map<std::string, Words>> words = {
      {"xonsh",
       {{"Foreground", {.line = "JOB"}},
        {"Background", {.line = "JOB &", .reads = false}},
        {"Stopped", {.line = "JOB", .is_stopped = true}},
        {"List", {.line = "JOB && touch MARK"}},
        {"Pipeline", {.line = "JOB | cat"}},
        {"InRead", {.line = "JOB &", .then = "answer = input('wh' + 'at? ')", .reads = false}},
        {"InFg", {.line = "JOB", .then = "fg", .is_stopped = true}}}},
      {"nu",
       {{"Foreground", {.line = "JOB"}},
        {"Background", {.line = "job spawn { JOB }", .reads = false}},
        {"Stopped", {.line = "JOB", .is_stopped = true}},
        {"List", {.line = "JOB; touch MARK"}},
        {"Loop", {.line = "for i in 1..3 { JOB; touch MARK }"}},
        {"Pipeline", {.line = "JOB | cat"}},
        {"InRead", {.line = "job spawn { JOB }", .then = "input ('wh' + 'at? ')", .reads = false}},
        {"InFg", {.line = "JOB", .then = "job unfreeze", .is_stopped = true}}}},
  };
  return words;
}

const std::map<std::string, std::function<void(Shell&)>>& endings() {
  static const std::map<std::string, std::function<void(Shell&)>> ways = {
      {"Exit", [](Shell& shell) { shell.run("exit"); }},
      {"WindowClosed", [](Shell& shell) { shell.close_window(); }},
      {"Killed", [](Shell& shell) { ::kill(shell.pid(), SIGKILL); }},
      {"HungUp", [](Shell& shell) { ::kill(shell.pid(), SIGHUP); }},
  };
  return ways;
}

using WordsCase = std::tuple<std::string, std::string, std::string>;

std::vector<WordsCase> uncommon_cases() {
  std::vector<WordsCase> cases;
  for (const auto& [shell, situations] : vocabulary()) {
    for (const auto& [situation, words] : situations) {
      for (const auto& [ending, way] : endings()) {
        // xonsh goes on after SIGHUP. nushell asks again before it leaves a job that was stopped,
        // and kills it at the second exit: grab says so.
        if ((shell == "xonsh" && ending == "HungUp") ||
            (shell == "nu" && situation == "Stopped" && ending == "Exit"))
          continue;
        // One case is enough to say that a shell is missing: Debian has no nushell, npm has.
        if (!installed(shell) && !cases.empty() && std::get<0>(cases.back()) == shell)
          continue;
        cases.emplace_back(shell, situation, ending);
      }
    }
  }
  return cases;
}

class UncommonShell : public GrabTest, public testing::WithParamInterface<WordsCase> {
 protected:
  void SetUp() override {
    GrabTest::SetUp();
    if (!installed(std::get<0>(GetParam())))
      GTEST_SKIP() << std::get<0>(GetParam()) << " is not installed";
  }
};

INSTANTIATE_TEST_SUITE_P(Of, UncommonShell, testing::ValuesIn(uncommon_cases()),
                         [](const auto& of) {
                           return std::get<0>(of.param) + "_" + std::get<1>(of.param) + "_" +
                                  std::get<2>(of.param);
                         });

std::string with(std::string text, const std::string& word, const std::string& value) {
  if (const auto at = text.find(word); at != std::string::npos)
    text.replace(at, word.size(), value);
  return text;
}

TEST_P(UncommonShell, HarmsNothingHoweverItGoes) {
  const auto& [kind, situation, ending] = GetParam();
  const Words words = vocabulary().at(kind).at(situation);
  const std::string mark = scratch("mark");
  const std::string job =
      std::string(words.reads ? "tracee_zoo catch" : "tracee_zoo catch-and-wait") +
      " HUP TERM INT QUIT";
  Shell shell(kind, {.name = "old", .emulated = true});
  shell.run(with(with(words.line, "JOB", job), "MARK", mark));
  // nushell shows nothing of what a job in the background prints.
  const pid_t pid = words.reads || kind != "nu" ? static_cast<pid_t>(shell.expect_number("ready "))
                                                : shell.wait_for_program("tracee_zoo");
  if (words.is_stopped) {
    ASSERT_TRUE(wait_until([&] { return shell.foreground_pgid() == pid; }));
    // xonsh continues each job that it starts, a moment later.
    shell.skip_shown();
    bool is_back = false;
    for (int round = 0; round < 10 && !is_back; ++round) {
      shell.type("\x1a");
      is_back = static_cast<bool>(shell.expect_prompt(Duration{1000}));
    }
    ASSERT_TRUE(is_stopped(pid));
    ASSERT_TRUE(shell.answers());
  }
  if (*words.then != '\0')
    shell.run(words.then);
  const auto is_in_foreground = [&] { return shell.foreground_pgid() == pid && !is_stopped(pid); };
  if (situation == "InFg") {
    ASSERT_TRUE(wait_until(is_in_foreground));
  } else if (situation == "InRead") {
    ASSERT_TRUE(shell.expect("what? "));
  }

  Moving moving(pid);
  ASSERT_TRUE(moving.is_moved_from(shell));
  if (situation == "InRead")
    shell.run("something");
  ASSERT_TRUE(shell.answers());
  EXPECT_FALSE(exists(mark)) << "what stands behind the job was run";

  endings().at(ending)(shell);
  EXPECT_TRUE(wait_until([&] { return reaped_status(shell.pid()).has_value(); }));
  ASSERT_TRUE(is_alive(pid));
  if (words.reads) {
    EXPECT_TRUE(moving.echoes("still here"));
  }
  EXPECT_EQ(moving.transcript().find("caught"), std::string::npos) << "the job got a signal";
}

}  // namespace
}  // namespace grab::test
