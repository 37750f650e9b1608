// SPDX-License-Identifier: MIT
// Trees of many processes that start and end others, replace their programs, make threads,
// stop and continue each other and send signals at full speed: grab moves the whole of such a
// tree, and no process of it sees anything of that.
#include <termios.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include <gtest/gtest.h>

#include "support/grab_test.h"

namespace grab::test {
namespace {

/// By hand: as many processes as GRAB_STORM says. A grab may refuse such a tree, if it leaves it.
const char* const given = std::getenv("GRAB_STORM");

/// Processes that storm; about as many more are there as their children.
std::string storming_processes() {
  return given != nullptr ? given : "16";
}

class Storm : public GrabTest, public testing::WithParamInterface<std::string> {};

INSTANTIATE_TEST_SUITE_P(Of, Storm,
                         testing::Values("fork", "spawn", "exec", "thread", "stop", "signal",
                                         "shell", "mixed"),
                         [](const auto& kind) { return kind.param; });

TEST_P(Storm, IsMovedWholeAndHarmsNobody) {
  Shell first("dash");
  SecondTerminal second;
  const std::string count = storming_processes();
  const pid_t pid =
      first.start("tracee_zoo storm " + GetParam() + " " + count + " " + scratch("over"));
  second.skip_shown();
  second.grab_tree(pid, "--timeout 15");
  const auto refused = [&] { return second.unread().find("[status 12") != std::string::npos; };
  const auto shown = [&] { return (second.modes().c_lflag & ISIG) == 0; };
  ASSERT_TRUE(wait_until([&] { return refused() || shown(); },
                         Duration{given != nullptr ? 90'000 : 30'000}))
      << all_transcripts();
  // One that was refused goes on as it was, all of it; but a small one has to be moved.
  EXPECT_TRUE(given != nullptr || !refused()) << all_transcripts();
  const std::size_t processes = tree_of(pid).size();
  Shell& where = refused() ? first : second;
  where.type("check\r");
  ASSERT_TRUE(where.expect("storm over: " + count + " of " + count + " well, ",
                           Duration{given != nullptr ? 90'000 : 20'000}));
  std::cout << GetParam() << ": " << (refused() ? "left" : "moved") << ", then " << processes
            << " processes; " << where.unread().substr(0, where.unread().find('\r')) << "\n";
}

}  // namespace
}  // namespace grab::test
