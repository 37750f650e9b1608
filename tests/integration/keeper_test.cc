// SPDX-License-Identifier: MIT
// While a relay that was killed has not been followed by another yet, its keeper keeps its place.
#include <signal.h>
#include <unistd.h>

#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"
#include "support/moving.h"

namespace grab::test {
namespace {

using testing::HasSubstr;

class Keeper : public GrabTest {};

TEST_F(Keeper, KeepsTheNameAndWhoComesMeanwhileIsServedByTheNextRelay) {
  Shell first("bash");
  Shell other("bash");
  const pid_t pid = first.start("tracee_zoo echo-lines");
  const pid_t namesake = other.start("tracee_zoo echo-lines");
  Moving second(pid, {"--name", "mine", "--detached"});
  ASSERT_TRUE(wait_until([&] { return !is_alive(second.pid()); })) << all_transcripts();
  const auto keeper = descendant_named(::getpid(), "grab-keeper");
  const auto relay = descendant_named(::getpid(), "grab-relay");
  ASSERT_TRUE(keeper && relay);
  ::kill(*keeper, SIGSTOP);
  ASSERT_TRUE(wait_until([&] { return is_stopped(*keeper); }));
  ::kill(*relay, SIGKILL);
  ASSERT_TRUE(wait_until([&] { return !is_alive(*relay); }));

  TerminalSession third("attach", {grab_path(), "attach", "mine"});
  SecondTerminal fourth;
  const auto taken = fourth.grab_and_wait("--name mine --tree " + std::to_string(namesake));
  EXPECT_EQ(taken.status, 125);
  EXPECT_THAT(taken.text, HasSubstr("there is a relay named mine already"));
  ::kill(*keeper, SIGCONT);
  ASSERT_TRUE(wait_until([&] { return (third.modes().c_lflag & ISIG) == 0; })) << all_transcripts();
  third.type("hello\r");
  EXPECT_TRUE(third.expect("got: hello"));
}

}  // namespace
}  // namespace grab::test
