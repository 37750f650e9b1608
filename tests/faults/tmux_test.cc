// SPDX-License-Identifier: MIT
// The server of tmux is no part of its client's tree, whoever is killed: what it has started is
// left alone, and grab ends with the client.
#include <signal.h>

#include <memory>
#include <string>

#include <gmock/gmock.h>

#include "faults/faulty_grab.h"
#include "faults/trees.h"

namespace grab::test {
namespace {

class TmuxServer : public GrabTest {
 protected:
  void SetUp() override {
    GrabTest::SetUp();
    if (!installed("tmux"))
      GTEST_SKIP() << "tmux is not installed";
    first_ = std::make_unique<Shell>("bash");
    pane_ = first_->start("tmux -S " + scratch("tmux") + " -f /dev/null new tracee_zoo echo-lines");
    client_ = first_->wait_for_program("tmux: client");
    server_ = read_stat(pane_).value().ppid;
    ASSERT_EQ(read_stat(server_)->comm, "tmux: server");
  }
  void TearDown() override {
    first_.reset();
    GrabTest::TearDown();
  }

  /// It is shown by `grab`, which ends when the client does.
  void expect_moved(FaultyGrab& grab) const {
    grab.wait();
    ASSERT_TRUE(grab.shows_the_tree()) << grab.said();
    EXPECT_TRUE(has_left(*first_, server_));
    grab.terminal().type("hello\r");
    EXPECT_TRUE(grab.terminal().expect("got: hello"));
    ::kill(client_, SIGTERM);
    EXPECT_TRUE(wait_until([&] { return reaped_status(grab.terminal().pid()).has_value(); }))
        << grab.said();
    EXPECT_FALSE(is_alive(client_));
    EXPECT_TRUE(is_alive(pane_));
  }
  /// The tracer that stops at the step is killed, and the one that follows goes on there.
  void expect_moved_by_the_next(FaultyGrab& grab) const {
    const pid_t tracer = stopped_after(0, grab);
    ASSERT_NE(tracer, 0);
    EXPECT_FALSE(is_traced(pane_));
    ::kill(tracer, SIGKILL);
    const pid_t next = stopped_after(tracer, grab);
    ASSERT_NE(next, 0);
    EXPECT_FALSE(is_traced(pane_));
    ::kill(next, SIGCONT);
    expect_moved(grab);
  }
  [[nodiscard]] std::string client() const { return std::to_string(client_); }

  std::unique_ptr<Shell> first_;
  pid_t client_ = 0;
  pid_t server_ = 0;
  pid_t pane_ = 0;
};

TEST_F(TmuxServer, IsNoPartOfTheTreeForATracerThatFollowsOneThatWasKilledBehindTheCommit) {
  FaultyGrab grab("PTRACE_DETACH@" + client() + "#1=stop", {"--tree", client()});
  expect_moved_by_the_next(grab);
}

// It has committed, and its client has undone what it had prepared.
TEST_F(TmuxServer, IsFollowedByItsClientWhereATracerWasKilledBetweenTheTwo) {
  FaultyGrab grab("PTRACE_SETREGS@" + client() + "#2=stop", {"--tree", client()});
  expect_moved_by_the_next(grab);
}

}  // namespace
}  // namespace grab::test
