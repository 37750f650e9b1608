// SPDX-License-Identifier: MIT
// Whoever is killed while script(1) is told that what it has started is gone: it ends, or waits on;
// and what was moved goes on.
#include <signal.h>

#include <cstdlib>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "faults/faulty_grab.h"
#include "support/viewing.h"

namespace grab::test {
namespace {

/// A job of script's, of which the terminal is taken.
class LeftScript : public GrabTest {
 protected:
  void SetUp() override {
    GrabTest::SetUp();
    leader_ = shell_.start("script -qc 'exec tracee_zoo catch HUP TERM INT QUIT' " +
                           scratch("typescript"));
    script_ = *descendant_named(shell_.pid(), "script");
    shell_.skip_shown();
  }

  [[nodiscard]] std::vector<std::string> arguments() const {
    return {"--force", "--tree", std::to_string(leader_)};
  }
  /// To stop where that call of script's is about to be answered, or changed.
  [[nodiscard]] std::string stop_at(int call) const {
    return "PTRACE_SETREGS@" + std::to_string(script_) + "#" + std::to_string(call) + "=stop";
  }
  [[nodiscard]] pid_t stopped_tracer_of_script() const {
    const pid_t tracer = std::atoi(status_field(script_, script_, "TracerPid").c_str());
    return tracer != 0 && is_stopped(tracer) ? tracer : 0;
  }
  /// All at once, when they have come to that call.
  void kill_all_who_tell() const {
    ASSERT_TRUE(wait_until([&] { return stopped_tracer_of_script() != 0; })) << all_transcripts();
    auto tellers = processes_named("grab-tracer");
    for (const pid_t guard : processes_named("grab-guard"))
      tellers.push_back(guard);
    for (const pid_t pid : tellers)
      ::kill(pid, SIGSTOP);
    for (const pid_t pid : tellers)
      ::kill(pid, SIGKILL);
    ASSERT_TRUE(wait_until([&] { return !is_traced(script_) || !is_alive(script_); }));
  }
  void expect_unharmed(FaultyGrab& grab) const {
    grab.terminal().type("hello\r");
    EXPECT_TRUE(grab.terminal().expect("got: hello")) << all_transcripts();
    EXPECT_THAT(all_transcripts(), testing::Not(testing::HasSubstr("caught")));
  }

  Shell shell_{"bash"};
  pid_t leader_ = 0;
  pid_t script_ = 0;
};

/// The limit of its poll(2), its first wait, its second, its exit.
class LeftScriptAtCall : public LeftScript, public testing::WithParamInterface<int> {};

INSTANTIATE_TEST_SUITE_P(Number, LeftScriptAtCall, testing::Range(1, 5),
                         [](const auto& call) { return std::to_string(call.param); });

TEST_P(LeftScriptAtCall, IsDoneThoughTheOneWhoTellsItIsKilled) {
  FaultyGrab grab(stop_at(GetParam()), arguments());
  grab.wait();
  ASSERT_TRUE(wait_until([&] { return stopped_tracer_of_script() != 0; })) << grab.said();
  const pid_t first = stopped_tracer_of_script();
  ::kill(first, SIGKILL);
  // The one that is started in its place may come to the same step.
  ASSERT_TRUE(wait_until([&] {
    const pid_t second = stopped_tracer_of_script();
    if (second != 0 && second != first)
      ::kill(second, SIGCONT);
    return !is_alive(script_);
  })) << all_transcripts();
  EXPECT_TRUE(shell_.expect_prompt());
  EXPECT_TRUE(shell_.answers());
  EXPECT_THAT(read_file(scratch("typescript")), testing::HasSubstr("Script done on "));
  expect_unharmed(grab);
}

TEST_P(LeftScriptAtCall, HarmsNobodyWhenAllAreKilledWhoWouldTellIt) {
  FaultyGrab grab(stop_at(GetParam()), arguments());
  grab.wait();
  kill_all_who_tell();
  // It has ended, or sleeps until what it has started ends.
  ASSERT_TRUE(wait_until([&] {
    const auto stat = read_stat(script_);
    return !stat || stat->state == 'Z' || (stat->state == 'S' && !is_traced(script_));
  })) << all_transcripts();
  expect_unharmed(grab);
  grab.terminal().type("exit 0\r");
  EXPECT_TRUE(wait_until([&] { return !is_alive(leader_) && !is_alive(script_); }))
      << all_transcripts();
  EXPECT_TRUE(shell_.answers());
}

TEST_P(LeftScriptAtCall, IsDoneAtTheNextGrabWhenAllAreKilledWhoWouldTellIt) {
  FaultyGrab first(stop_at(GetParam()), arguments());
  first.wait();
  kill_all_who_tell();
  FaultyGrab second("", arguments());
  second.wait();
  ASSERT_TRUE(second.shows_the_tree()) << second.said();
  EXPECT_TRUE(wait_until([&] { return !is_alive(script_); })) << all_transcripts();
  EXPECT_TRUE(shell_.expect_prompt());
  EXPECT_TRUE(shell_.answers());
  expect_unharmed(second);
}

}  // namespace
}  // namespace grab::test
