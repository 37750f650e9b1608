// SPDX-License-Identifier: MIT
// run_relay() between real terminals and real processes.
#include "relay/relay.h"

#include "relay/relay_fixture.h"

namespace grab::relay::testing {
namespace {

constexpr int kLines = 100'000;

std::string numbered(int i) {
  std::array<char, 16> text{};
  (void)std::snprintf(text.data(), text.size(), "%08d\n", i);
  return text.data();
}

std::string numbered_stream(int lines) {
  std::string all;
  for (int i = 0; i < lines; ++i)
    all += numbered(i);
  return all;
}

TEST(Relay, ShowsEveryByteOnceInOrderAndTheExitStatus) {
  TreeTerminal terminal;
  const Forked root = terminal.root([] {
    set_raw(0);
    say("begin\n");
    read_byte(0);
    say(numbered_stream(kLines));
    return 3;
  });
  UserTerminal user;
  const MovedTree tree = terminal.tree(root);
  user.show(std::move(terminal.ptmx), tree);
  user.expect("begin\n");
  user.type("x");
  EXPECT_TRUE(user.expect(numbered(kLines - 1)) == numbered_stream(kLines));
  const Outcome outcome = user.wait_end();
  EXPECT_TRUE(outcome.ok) << outcome.error.data();
  ASSERT_TRUE(outcome.has_status);
  EXPECT_EQ(WEXITSTATUS(outcome.status), 3);
  EXPECT_FALSE(user.is_raw());
}

}  // namespace
}  // namespace grab::relay::testing
