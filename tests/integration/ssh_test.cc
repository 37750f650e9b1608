// SPDX-License-Identifier: MIT
// `ssh -t HOST grab attach NAME`.
#include <signal.h>
#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

#include "support/grab_test.h"
#include "support/ssh_server.h"
#include "support/viewing.h"

namespace grab::test {
namespace {

class Ssh : public GrabTest {
 protected:
  void SetUp() override {
    GrabTest::SetUp();
    if (::geteuid() != 0)
      GTEST_SKIP() << "only a server of root may hand out terminals everywhere";
    if (!IsSkipped() && !installed("sshd"))
      GTEST_SKIP() << "sshd is not installed";
  }
};

TEST_F(Ssh, ATreeIsShownAndLeftAndTypedToAsAtHome) {
  const SshServer server("XDG_RUNTIME_DIR=" + runtime_folder() + " PATH=" + program_folder() +
                         ":/usr/bin:/bin");
  SecondTerminal second, far("terminal 3");
  const std::string ssh = server.login();
  const pid_t pid = runs(second, "tracee_zoo echo-lines", "--name tree");
  ASSERT_TRUE(second.echoes("from home"));
  ASSERT_TRUE(detaches(second, "tree"));

  far.run(ssh + "grab attach tree; echo \"[status $?]\"");
  ASSERT_TRUE(far.expect("got: from home"));
  ASSERT_TRUE(far.echoes("from afar"));
  // The connection is lost.
  ASSERT_EQ(::kill(far.wait_for_program("ssh"), SIGKILL), 0);
  ASSERT_TRUE(far.expect("[status 137]"));
  far.run("stty sane");
  ASSERT_TRUE(wait_until([&] {
    return says(second, "list --json").text.find("\"viewers\": []") != std::string::npos;
  })) << "the viewer is still there";
  EXPECT_TRUE(is_alive(pid));

  far.skip_shown();
  far.run(ssh + "grab attach tree; echo \"[status $?]\"");
  ASSERT_TRUE(far.expect("got: from afar"));
  ASSERT_TRUE(far.echoes("here again"));
  far.type("\x1c");
  ASSERT_TRUE(far.expect("detached from tree; come back with: grab attach tree"));
  ASSERT_TRUE(far.expect_grab_ended(0));
  EXPECT_TRUE(far.answers());
  ASSERT_TRUE(attaches(second, "tree"));
  EXPECT_TRUE(second.expect("got: here again"));
}

}  // namespace
}  // namespace grab::test
