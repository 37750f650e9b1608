// SPDX-License-Identifier: MIT
// A tree that was moved is moved again, and all of it, however often and whomever of it is named.
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "support/grab_test.h"
#include "support/moving.h"

namespace grab::test {
namespace {

using testing::HasSubstr;

struct Kind {
  std::string name;
  std::string line;     ///< typed in a shell; it answers "got: LINE"
  std::string program;  ///< that must be installed
};
void PrintTo(const Kind& kind, std::ostream* out) {
  *out << kind.name;
}

class MoveAgain : public GrabTest, public testing::WithParamInterface<Kind> {
 protected:
  /// Starts it and waits until it answers.
  void start(Shell& shell) {
    shell.run(GetParam().line);
    ASSERT_TRUE(wait_until([&] { return shell.foreground_pgid() != shell.pid(); }));
    ASSERT_TRUE(wait_until([&] {
      shell.type("hello\r");
      return static_cast<bool>(shell.expect("got: hello", Duration{500}));
    })) << all_transcripts();
    root_ = shell.foreground_pgid();
    job_ = members_of_group(root_);
    for (const pid_t pid : descendants_of(root_)) {
      if (std::find(job_.begin(), job_.end(), pid) == job_.end())
        job_.push_back(pid);
    }
    shell.skip_shown();
  }
  pid_t root_ = 0;
  std::vector<pid_t> job_;
};

TEST_P(MoveAgain, TenTimesInARowAndAllOfIt) {
  if (!installed(GetParam().program))
    GTEST_SKIP() << GetParam().program << " is not installed";
  Shell first("bash");
  ASSERT_NO_FATAL_FAILURE(start(first));
  std::vector<std::unique_ptr<Moving>> terminals;
  terminals.push_back(std::make_unique<Moving>(root_));
  ASSERT_TRUE(terminals.back()->is_moved_from(first)) << all_transcripts();
  ASSERT_TRUE(terminals.back()->echoes("at first"));
  ASSERT_TRUE(first.expect_prompt());
  for (int i = 0; i < 10; ++i) {
    Moving& before = *terminals.back();
    // Whoever of a pipeline is named, all of it is meant; what root has started is a tree of its
    // own.
    const pid_t last = job_.back();
    const pid_t named = i % 2 == 0 || read_stat(last)->ppid == root_ ? root_ : last;
    const std::string old = terminal_of(root_);
    terminals.push_back(std::make_unique<Moving>(named, std::vector<std::string>{"--force"}));
    Moving& now = *terminals.back();
    ASSERT_TRUE(wait_until([&] {
      return std::all_of(job_.begin(), job_.end(), [&](pid_t pid) {
        return fds_on(pid, old).empty() && !is_traced(pid) && is_alive(pid);
      });
    })) << all_transcripts();
    ASSERT_TRUE(now.echoes("here " + std::to_string(i))) << all_transcripts();
    ASSERT_TRUE(before.expect("was moved to another terminal")) << all_transcripts();
  }
  EXPECT_TRUE(first.answers());
  // The relays of the terminals that it has left are gone.
  EXPECT_TRUE(wait_until([&] {
    const std::string count = "grab list | grep -c " + std::to_string(root_);
    return first.output_of("echo \"<$(" + count + ")>\"").find("<1>") != std::string::npos;
  })) << first.output_of("grab list");
  first.close_window();
  ASSERT_TRUE(wait_until([&] { return !is_alive(first.pid()); }));
  ASSERT_TRUE(terminals.back()->echoes("and still"));
  terminals.back()->type("\x03");
  EXPECT_TRUE(wait_until([&] { return !is_alive(root_); })) << all_transcripts();
}

class MovedAgain : public GrabTest {};

TEST_F(MovedAgain, IsRefusedByTheNameOfTheRelayThatShowsItWhoeverOfAPipelineIsNamed) {
  Shell first("bash");
  SecondTerminal third;
  const pid_t root = first.start("tracee_zoo echo-lines | cat");
  const auto job = members_of_group(root);
  Moving second(root);
  ASSERT_TRUE(second.is_moved_from(first)) << all_transcripts();
  for (const pid_t named : job) {
    const auto outcome = third.grab_and_wait("--tree " + std::to_string(named));
    EXPECT_EQ(outcome.status, 125);
    EXPECT_THAT(outcome.text, HasSubstr("is shown as tracee_zoo." + std::to_string(root)));
    EXPECT_THAT(outcome.text, HasSubstr("shows it here; --force moves it once more"));
  }
  EXPECT_TRUE(second.echoes("undisturbed"));
}

// A script under `set -m` does not take its terminal back by itself.
TEST_F(MovedAgain, ARootThatWasKeptInItsSessionAtFirstOutlivesTheOldTerminal) {
  Shell first("bash");
  const pid_t pid = first.start("bash -c 'set -m; tracee_zoo echo-lines; :'");
  Moving second(pid, {"--keep-session"});
  ASSERT_TRUE(second.is_moved_from(first)) << all_transcripts();
  const std::string middle = terminal_of(pid);
  Moving third(pid, {"--force"});
  ASSERT_TRUE(third.is_moved_off(middle)) << all_transcripts();
  EXPECT_TRUE(second.expect("was moved to another terminal")) << all_transcripts();
  ASSERT_EQ(::getsid(pid), pid);
  first.close_window();
  ASSERT_TRUE(wait_until([&] { return !is_alive(first.pid()); }));
  EXPECT_TRUE(third.echoes("still here")) << all_transcripts();
}

const Kind kKinds[] = {
    {"ShellTree", "bash -c 'sleep 1000 & exec tracee_zoo echo-lines'", "bash"},
    {"Pipeline", "tracee_zoo echo-lines | cat | cat", "cat"},
    {"Python",
     "python3 -c 'import sys; [print(\"got:\", line, end=\"\", flush=True) for line in sys.stdin]'",
     "python3"},
    {"Node", "node -e 'process.stdin.on(\"data\", d => process.stdout.write(\"got: \" + d))'",
     "node"},
};
INSTANTIATE_TEST_SUITE_P(Of, MoveAgain, testing::ValuesIn(kKinds),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace grab::test
