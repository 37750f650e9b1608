// SPDX-License-Identifier: MIT
// A child of vfork that is within execve(2) while grab comes: neither it nor its parent can stop.
// fanotify(7) holds it there for as long as the test wants.
#include <fcntl.h>
#include <poll.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include <gmock/gmock.h>

#include "base/unique_fd.h"
#include "support/grab_test.h"

namespace grab::test {
namespace {

class Execve : public GrabTest {
 protected:
  void SetUp() override {
    GrabTest::SetUp();
    if (::geteuid() != 0)
      GTEST_SKIP() << "only root can hold an execve";
    std::filesystem::copy_file("/bin/sleep", program_);
    hold_.reset(::fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY));
    ASSERT_EQ(
        ::fanotify_mark(hold_.get(), FAN_MARK_ADD, FAN_OPEN_EXEC_PERM, AT_FDCWD, program_.c_str()),
        0);
    parent_ = first_.start("tracee_zoo vfork-exec " + program_);
    pollfd event{hold_.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&event, 1, 10'000), 1) << "it does not begin its execve";
    ASSERT_EQ(tree_of(parent_).size(), 2U);
  }

  void let_it_go() {
    fanotify_event_metadata event{};
    ASSERT_EQ(::read(hold_.get(), &event, sizeof event), static_cast<ssize_t>(sizeof event));
    const UniqueFd opened(event.fd);
    const fanotify_response answer{event.fd, FAN_ALLOW};
    ASSERT_EQ(::write(hold_.get(), &answer, sizeof answer), static_cast<ssize_t>(sizeof answer));
  }

  const std::string program_ = scratch("program");
  UniqueFd hold_;
  Shell first_{"bash"};
  SecondTerminal second_;
  pid_t parent_ = 0;
};

TEST_F(Execve, ThatGoesOnIsWaitedForAndTheTreeIsMovedWhole) {
  const auto tree = tree_of(parent_);
  second_.run("grab --tree " + std::to_string(parent_));
  ASSERT_TRUE(wait_until([&] { return is_traced(parent_); })) << all_transcripts();
  let_it_go();
  // Where, depends on whether it was already to stand still.
  const auto runs_on = [](TerminalSession& terminal) {
    return terminal.transcript().find("runs ") != std::string::npos;
  };
  ASSERT_TRUE(wait_until([&] { return runs_on(first_) || runs_on(second_); })) << all_transcripts();
  EXPECT_TRUE(second_.echoes("hello"));
  EXPECT_TRUE(have_left(first_, tree));
  EXPECT_EQ(read_stat(tree.back())->comm, "program");
}

TEST_F(Execve, ThatDoesNotGoOnIsRefusedAndEndsAsIfNothingHadBeen) {
  const auto tree = tree_of(parent_);
  const Unchanged unchanged(first_, tree);
  const auto outcome = second_.grab_and_wait("--timeout 0.3 --tree " + std::to_string(parent_));
  EXPECT_EQ(outcome.status, 124) << outcome.text;
  EXPECT_THAT(outcome.text, testing::HasSubstr("grab: "));
  EXPECT_TRUE(unchanged.holds());
  let_it_go();
  ASSERT_TRUE(first_.expect("runs " + std::to_string(tree.back())));
  first_.type("hello\r");
  EXPECT_TRUE(first_.expect("got: hello"));
}

}  // namespace
}  // namespace grab::test
