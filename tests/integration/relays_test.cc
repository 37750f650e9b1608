// SPDX-License-Identifier: MIT
// The relay while nobody looks: its socket and who may use it, what it answers, what it logs and
// records.
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "support/grab_test.h"
#include "support/other_user.h"
#include "support/viewing.h"

namespace grab::test {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Relays : public GrabTest {
 protected:
  static std::string folder() { return runtime_folder() + "/grab"; }
  static mode_t mode_of(const std::string& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0 ? info.st_mode & 07777U : 0;
  }
  static std::string numbered(int last) {
    std::string text;
    for (int n = 1; n <= last; ++n) {
      std::string number = std::to_string(n);
      text += "n" + std::string(8 - number.size(), '0') + number + "\r\n";
    }
    return text;
  }
};

// ---------------------------------------------------------------- the socket

TEST_F(Relays, TheSocketIsForItsUserAlone) {
  SecondTerminal second;
  ASSERT_TRUE(runs_detached(second, "tracee_zoo echo-lines", "--name tree"));
  EXPECT_EQ(mode_of(folder()), S_IRWXU);
  EXPECT_EQ(mode_of(folder() + "/tree"), S_ISVTX | S_IRUSR | S_IWUSR);
  ASSERT_EQ(::chmod(folder().c_str(), S_IRWXU | S_IXGRP), 0);
  const auto refused = says(second, "attach tree");
  EXPECT_EQ(refused.status, 125);
  EXPECT_THAT(refused.text, HasSubstr(folder()));
  EXPECT_THAT(refused.text, HasSubstr("hint: "));
  ASSERT_EQ(::chmod(folder().c_str(), S_IRWXU), 0);
  EXPECT_EQ(says(second, "peek tree").status, 0);
}

TEST_F(Relays, ADeletedSocketIsMadeAgainOnRequest) {
  SecondTerminal second;
  ASSERT_TRUE(runs_detached(second, "tracee_zoo echo-lines", "--name tree"));
  ASSERT_EQ(says(second, "peek tree").status, 0);  // a relay that begins looks after it, too
  for (const std::string& victim : {folder() + "/tree", folder()}) {
    std::filesystem::remove_all(victim);
    EXPECT_EQ(says(second, "peek tree").status, 127) << victim << all_transcripts();
    ASSERT_EQ(::kill(process_named("grab-relay"), SIGUSR1), 0);
    EXPECT_TRUE(wait_until([&] { return exists(folder() + "/tree"); })) << victim;
    ASSERT_TRUE(attaches(second, "tree"));
    ASSERT_TRUE(second.echoes("hello"));
    ASSERT_TRUE(detaches(second, "tree"));
  }
  EXPECT_EQ(mode_of(folder()), S_IRWXU);
}

TEST_F(Relays, AFolderOfAnotherUserIsRefusedWithASentence) {
  SecondTerminal second;
  std::string foreign = "/";
  if (::geteuid() == 0) {
    foreign = scratch("foreign");
    ASSERT_EQ(::mkdir(foreign.c_str(), S_IRWXU), 0);
    ASSERT_EQ(::chown(foreign.c_str(), 65534, 65534), 0);
  }
  for (const char* command : {"list", "attach", "run --name tree -- tracee_zoo echo-lines"}) {
    second.skip_shown();
    second.run("XDG_RUNTIME_DIR=" + foreign + " grab " + command + "; echo \"[status $?]\"");
    EXPECT_TRUE(second.expect("XDG_RUNTIME_DIR")) << command;
    EXPECT_TRUE(second.expect("hint: ")) << command;
    EXPECT_TRUE(second.expect_grab_ended(125)) << command;
  }
  EXPECT_THAT(second.transcript(), Not(HasSubstr("ready ")));
}

TEST_F(Relays, APathThatNoSocketCanHaveWorks) {
  SecondTerminal second;
  const std::string deep = scratch(std::string(120, 'd'));
  ASSERT_EQ(::mkdir(deep.c_str(), S_IRWXU), 0);
  second.run("export XDG_RUNTIME_DIR=" + deep);
  ASSERT_TRUE(second.expect_prompt());
  ASSERT_TRUE(runs_detached(second, "tracee_zoo echo-lines", "--name tree"));
  EXPECT_TRUE(exists(deep + "/grab/tree"));
  ASSERT_TRUE(attaches(second, "tree"));
  EXPECT_TRUE(second.echoes("hello"));
  EXPECT_TRUE(detaches(second, "tree"));
}

TEST_F(Relays, WhatAKilledRelayAndKeeperLeaveBehindIsCleanedUp) {
  SecondTerminal second;
  ASSERT_TRUE(runs_detached(second, "tracee_zoo echo-lines", "--name tree"));
  const pid_t relay = process_named("grab-relay");
  const pid_t keeper = process_named("grab-keeper");
  for (const int signo : {SIGSTOP, SIGKILL}) {  // lest one starts the other again
    ASSERT_EQ(::kill(keeper, signo), 0);
    ASSERT_EQ(::kill(relay, signo), 0);
  }
  ASSERT_TRUE(wait_until([&] { return !is_alive(keeper) && !is_alive(relay); }));
  ASSERT_TRUE(exists(folder() + "/tree"));
  EXPECT_THAT(says(second, "list").text, Not(HasSubstr("echo-lines")));
  EXPECT_FALSE(exists(folder() + "/tree"));
  EXPECT_TRUE(runs_detached(second, "tracee_zoo echo-lines", "--name tree"));
}

TEST_F(Relays, OfAnotherUsersTreeBelongsToThatUser) {
  if (::geteuid() != 0)
    GTEST_SKIP() << "only root can move a process of another user";
  Shell first("bash");
  SecondTerminal second, third("terminal 3");
  const std::string zoo = program_for_all("tracee_zoo"), grab = program_for_all("grab");
  const pid_t pid = first.start(as_nobody() + zoo + " echo-lines");
  const std::string name = "nobody." + std::to_string(pid);
  ASSERT_TRUE(grabs_tree(second, first, pid, "--name " + name));
  ASSERT_TRUE(second.echoes("hello"));
  const pid_t relay = process_named("grab-relay");
  for (const char* ids : {"Uid", "Gid"})
    EXPECT_EQ(status_field(relay, relay, ids), "65534\t65534\t65534\t65534") << ids;
  EXPECT_EQ(status_field(relay, relay, "Groups"), "");
  struct stat info {};
  ASSERT_EQ(::lstat(("/tmp/grab-65534/" + name).c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 65534U);
  EXPECT_EQ(mode_of("/tmp/grab-65534"), S_IRWXU);
  third.run(as_nobody() + grab + " attach " + name);
  ASSERT_TRUE(third.expect("got: hello")) << "its user may see it";
  ASSERT_TRUE(third.echoes("from its user"));
  ASSERT_TRUE(second.expect("got: from its user"));
  second.type("exit 3\r");
  EXPECT_TRUE(second.expect_grab_ended(3));
}

// ---------------------------------------------------------------- while nobody looks

TEST_F(Relays, ProgramsThatAskTheTerminalAreAnswered) {
  SecondTerminal second;
  write_file(scratch("script"),
             "stty -icanon -echo min 1\n"
             "printf 'abc\\033[6n'; IFS= read -rd R position\n"
             "printf '\\033[c'; IFS= read -rd c device\n"
             "printf '\\033[5n'; IFS= read -rd n state\n"
             "printf '%q %q %q\\n' \"$position\" \"$device\" \"$state\" > answers.new\n"
             "mv answers.new answers\n");
  ASSERT_TRUE(runs_detached(second, "bash " + scratch("script"), "--name tree"));
  ASSERT_TRUE(wait_until([] { return exists(scratch("answers")); })) << "they wait for ever";
  const std::string answers = read_file(scratch("answers"));
  EXPECT_THAT(answers, HasSubstr("$'\\E[1;4' $'\\E[?"));
  EXPECT_THAT(answers, HasSubstr("$'\\E[0'"));
}

TEST_F(Relays, OutputIsTakenAndLoggedWhileNobodyLooks) {
  SecondTerminal second;
  const std::string log = scratch("log"), record = scratch("record");
  ASSERT_TRUE(runs_detached(second, "tracee_zoo count 50000",
                            "--name tree --log " + log + " --record " + record));
  EXPECT_EQ(says(second, "wait tree").status, 0);
  const std::string logged = read_file(log);
  EXPECT_THAT(logged, HasSubstr(numbered(50'000))) << "a line is missing";
  EXPECT_TRUE(logged.ends_with("counted all\r\n"));

  // asciicast v2: a header, then [time, kind, text].
  std::istringstream lines(read_file(record));
  std::string line, played;
  ASSERT_TRUE(std::getline(lines, line));
  const json header = json::parse(line, nullptr, false);
  EXPECT_EQ(header.value("version", 0), 2);
  EXPECT_EQ(header.value("width", 0), 80);
  EXPECT_EQ(header.value("height", 0), 24);
  double time = 0;
  while (std::getline(lines, line)) {
    const json event = json::parse(line, nullptr, false);
    ASSERT_TRUE(event.is_array() && event.size() == 3U) << line;
    EXPECT_GE(event[0].get<double>(), time);
    time = event[0].get<double>();
    if (event[1] == "o")
      played += event[2].get<std::string>();
  }
  EXPECT_EQ(played, logged);
}

TEST_F(Relays, TheStatusOfATreeThatEndsIsToldToAViewerWhoseWindowIsBeingResized) {
  SecondTerminal second;
  for (int round = 0; round < 5; ++round) {
    second.skip_shown();
    second.grab("run -- tracee_zoo echo-lines");
    ASSERT_TRUE(second.expect("ready "));
    ASSERT_TRUE(second.echoes("hello"));
    second.type("exit 7\r");
    unsigned short rows = 30;
    ASSERT_TRUE(wait_until([&] {
      second.resize({++rows > 60 ? rows = 30 : rows, 101});
      return second.unread().find("[status ") != std::string::npos;
    }));
    EXPECT_TRUE(second.expect_grab_ended(7)) << second.transcript();
  }
}

TEST_F(Relays, ALogAndARecordingGoOnFromViewerToViewer) {
  Shell first("bash");
  SecondTerminal second;
  const std::string log = scratch("log"), record = scratch("record");
  const pid_t pid = first.start("tracee_zoo echo-lines");
  ASSERT_TRUE(grabs_tree(second, first, pid, "--name tree --log " + log + " --record " + record));
  ASSERT_TRUE(second.echoes("seen"));
  ASSERT_TRUE(detaches(second, "tree"));
  ASSERT_EQ(says(second, "send tree 'unseen\\r'").status, 0);
  ASSERT_EQ(::kill(process_named("grab-relay"), SIGKILL), 0);
  ASSERT_TRUE(wait_until([&] { return says(second, "peek tree").status == 0; }));
  ASSERT_TRUE(attaches(second, "tree"));
  second.resize({31, 101});
  const int terminal = ::open(terminal_of(pid).c_str(), O_RDONLY | O_NOCTTY | O_CLOEXEC);
  winsize size{};
  ASSERT_TRUE(
      wait_until([&] { return ::ioctl(terminal, TIOCGWINSZ, &size) == 0 && size.ws_col == 101; }));
  ::close(terminal);
  ASSERT_TRUE(second.echoes("seen again"));
  second.type("exit 0\r");
  ASSERT_TRUE(second.expect_grab_ended(0));
  const std::string logged = read_file(log);
  EXPECT_THAT(logged, HasSubstr("got: seen\r\n"));
  EXPECT_THAT(logged, HasSubstr("got: unseen\r\n"));
  EXPECT_THAT(logged, HasSubstr("got: seen again\r\n"));
  EXPECT_THAT(read_file(record), HasSubstr("\"r\", \"101x31\"]"));
  if (!installed("asciinema"))
    GTEST_SKIP() << "asciinema is not installed";
  const std::string played = second.output_of("asciinema cat " + record);
  EXPECT_THAT(played, HasSubstr("got: seen\r"));
  EXPECT_THAT(played, HasSubstr("got: seen again\r"));
}

}  // namespace
}  // namespace grab::test
