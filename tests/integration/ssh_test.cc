// SPDX-License-Identifier: MIT
// `ssh -t HOST grab attach NAME`, with a server of OpenSSH on 127.0.0.1 that belongs to the test:
// its own configuration, host key and authorized key, and gone when the test ends.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "base/unique_fd.h"
#include "support/grab_test.h"
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

  // A port that nobody listens on just now.
  static int free_port() {
    const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (::bind(socket.get(), any, size) != 0 || ::getsockname(socket.get(), any, &size) != 0)
      throw std::runtime_error("no port is free");
    return ntohs(address.sin_port);
  }

  // Serves in the foreground of this terminal; the command is what to type before `grab ...`.
  static std::string serve(Shell& terminal) {
    const std::string folder = scratch("ssh"), port = std::to_string(free_port());
    if (::mkdir(folder.c_str(), S_IRWXU) != 0)
      throw std::runtime_error("no folder for sshd");
    (void)terminal.output_of("ssh-keygen -q -t ed25519 -N '' -f " + folder + "/host");
    (void)terminal.output_of("ssh-keygen -q -t ed25519 -N '' -f " + folder + "/user");
    (void)terminal.output_of("cp " + folder + "/user.pub " + folder + "/authorized_keys");
    write_file(folder + "/config",
               "ListenAddress 127.0.0.1\nPort " + port + "\nHostKey " + folder +
                   "/host\nAuthorizedKeysFile " + folder + "/authorized_keys\nPidFile none\n" +
                   "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPrintMotd no\n" +
                   "PermitRootLogin prohibit-password\nSetEnv XDG_RUNTIME_DIR=" + runtime_folder() +
                   " PATH=" + program_folder() + ":/usr/bin:/bin\n");
    // It makes /run/sshd itself only where its package has been set up by an init system.
    if (::geteuid() == 0)
      (void)::mkdir("/run/sshd", S_IRWXU | S_IRGRP | S_IXGRP | S_IROTH | S_IXOTH);
    terminal.run(*installed("sshd") + " -D -e -f " + folder + "/config");
    if (!terminal.expect("Server listening on 127.0.0.1 port " + port))
      throw std::runtime_error("sshd does not serve\n" + all_transcripts());
    return "ssh -t -F none -o KexAlgorithms=curve25519-sha256 -o StrictHostKeyChecking=no -o "
           "UserKnownHostsFile=" +
           folder + "/known -o LogLevel=ERROR -o IdentitiesOnly=yes -i " + folder + "/user -p " +
           port + " 127.0.0.1 ";
  }
};

TEST_F(Ssh, ATreeIsShownAndLeftAndTypedToAsAtHome) {
  Shell server("bash", {.name = "server"});
  SecondTerminal second, far("terminal 3");
  const std::string ssh = serve(server);
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
