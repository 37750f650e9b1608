// SPDX-License-Identifier: MIT
// Root grabs what other users run: the new terminal, the relay and its socket are that user's.
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"
#include "support/other_user.h"

namespace grab::test {
namespace {

using testing::ElementsAre;

constexpr uid_t kNobody = 65534;

class OtherUsers : public GrabTest {
 protected:
  void SetUp() override {
    GrabTest::SetUp();
    if (::geteuid() != 0)
      GTEST_SKIP() << "only root grabs what another user runs";
  }
};

struct stat facts_of(const std::string& path) {
  struct stat st {};
  EXPECT_EQ(::stat(path.c_str(), &st), 0) << path;
  return st;
}

constexpr mode_t kPermissions = 07777;

/// Its owner reads and writes it; others of the group tty may write to it, as mesg(1) has it, where
/// this system makes terminals so; nobody else may do anything.
void expect_terminal_of(uid_t uid, const std::string& path) {
  const struct stat st = facts_of(path);
  EXPECT_EQ(st.st_uid, uid);
  EXPECT_EQ(st.st_mode & 0600, 0600U);
  EXPECT_EQ(st.st_mode & kPermissions & ~0620U, 0U);
  if ((st.st_mode & 0020) == 0)
    return;
  const group* tty = ::getgrnam("tty");
  ASSERT_NE(tty, nullptr);
  EXPECT_EQ(st.st_gid, tty->gr_gid);
}

/// By what a process's status says: its files in /proc are root's where it may not be traced.
uid_t user_of(const std::string& status_path) {
  const std::string status = read_file(status_path);
  const std::string key = "\nUid:\t";
  const auto at = status.find(key);
  return at == std::string::npos ? static_cast<uid_t>(-1)
                                 : static_cast<uid_t>(std::stoul(status.substr(at + key.size())));
}

/// Who runs the processes of that name that hold the ptmx of this terminal.
std::set<uid_t> users_of(const std::string& comm, const std::string& terminal) {
  namespace fs = std::filesystem;
  const std::string index = "tty-index:\t" + terminal.substr(terminal.rfind('/') + 1) + "\n";
  std::set<uid_t> users;
  std::error_code error;
  for (const auto& process : fs::directory_iterator("/proc")) {
    if (read_file(process.path() / "comm") != comm + "\n")
      continue;
    for (const auto& fd : fs::directory_iterator(process.path() / "fdinfo", error)) {
      if (read_file(fd.path()).find(index) != std::string::npos)
        users.insert(user_of(process.path() / "status"));
    }
  }
  return users;
}

TEST_F(OtherUsers, TheTerminalRelayAndSocketOfAProgramOfAnotherUserAreThatUsers) {
  Shell first("bash");
  SecondTerminal second;
  const std::string zoo = program_for_all("tracee_zoo");
  const pid_t pid = first.start(as_nobody() + zoo + " echo-lines");
  const std::string name = "of-nobody-" + std::to_string(pid);
  ASSERT_TRUE(grabs_tree(second, first, pid, "--name " + name));
  ASSERT_TRUE(second.echoes("hello"));
  const std::string terminal = terminal_of(pid);
  expect_terminal_of(kNobody, terminal);
  EXPECT_THAT(users_of("grab-relay", terminal), ElementsAre(kNobody));
  EXPECT_THAT(users_of("grab-keeper", terminal), ElementsAre(kNobody));
  const struct stat socket = facts_of("/tmp/grab-65534/" + name);
  EXPECT_TRUE(S_ISSOCK(socket.st_mode));
  EXPECT_EQ(socket.st_uid, kNobody);
  EXPECT_EQ(socket.st_mode & 0077, 0U);
  const struct stat folder = facts_of("/tmp/grab-65534");
  EXPECT_EQ(folder.st_uid, kNobody);
  EXPECT_EQ(folder.st_mode & kPermissions, 0700U);
}

TEST_F(OtherUsers, AProgramOfAnotherUserCanOpenItsNewTerminalAndIsInterrupted) {
  Shell first("bash");
  SecondTerminal second;
  const std::string zoo = program_for_all("tracee_zoo");
  const pid_t pid = first.start(as_nobody() +
                                "sh -c 'echo ready $$; while read -r line; do eval "
                                "\"$line\"; done; :'");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type("echo uid $(id -u) wrote to $(tty) >$(tty)\r");
  EXPECT_TRUE(second.expect("uid 65534 wrote to " + terminal_of(pid)));
  second.type("\x03");
  EXPECT_TRUE(second.expect("status 130"));
}

// As a terminal emulator that may write utmp(5) is: nobody but root may trace it.
TEST_F(OtherUsers, AUserIsRefusedTheLeaderUnderAKeeperWithOtherPrivileges) {
  Shell first("bash");
  SecondTerminal second;
  const std::string keeper = program_for_all("/usr/bin/script");
  constexpr gid_t kTty = 5;
  ASSERT_EQ(::chown(keeper.c_str(), 0, kTty), 0);
  ASSERT_EQ(::chmod(keeper.c_str(), 02755), 0);
  const pid_t pid =
      first.start(as_nobody() + keeper + " -qc 'exec setpriv --regid 65534 --keep-groups " +
                  program_for_all("tracee_zoo") + " echo-lines' /dev/null");
  const std::string terminal = terminal_of(pid);
  second.run(as_nobody() + program_for_all("grab") + " --tree " + std::to_string(pid) +
             "; echo \"[status $?]\"");
  EXPECT_TRUE(second.expect("(all-script) may hang up " + std::to_string(pid)))
      << all_transcripts();
  EXPECT_TRUE(second.expect("[status 126]"));
  EXPECT_EQ(terminal_of(pid), terminal);
}

TEST_F(OtherUsers, ATreeOfTwoUsersIsMovedAndTheTerminalIsTheNamedOnes) {
  Shell first("bash");
  SecondTerminal second;
  const std::string zoo = program_for_all("tracee_zoo");
  write_file(scratch("script"),
             as_nobody() + zoo + " catch-and-wait INT &\ntracee_zoo catch INT\n");
  const pid_t job = first.start_job("bash " + scratch("script"), 2);
  ASSERT_TRUE(grabs_tree(second, first, job));
  EXPECT_TRUE(second.echoes("hello"));
  expect_terminal_of(0, terminal_of(job));
  EXPECT_THAT(users_of("grab-relay", terminal_of(job)), ElementsAre(0U));
  second.type("\x03");
  EXPECT_TRUE(second.expect("INT"));
  EXPECT_TRUE(second.expect("INT"));
}

TEST_F(OtherUsers, AShellByWayOfSuIsMovedWithIt) {
  if (!installed("su"))
    GTEST_SKIP() << "su is not installed";
  Shell first("bash");
  SecondTerminal second;
  first.run(
      "su -s /bin/sh nobody -c 'echo re''ady $$; while read -r line; do eval \"$line\"; done; exit "
      "4'");
  (void)first.expect_number("ready ");
  const pid_t su = first.wait_for_program("su");
  ASSERT_TRUE(grabs_tree(second, first, su));
  EXPECT_TRUE(first.answers());
  second.type("echo uid $(id -u) is he''re\r");
  EXPECT_TRUE(second.expect("uid 65534 is here"));
  second.type("\x04");
  EXPECT_TRUE(second.expect_grab_ended(4));
}

}  // namespace
}  // namespace grab::test
