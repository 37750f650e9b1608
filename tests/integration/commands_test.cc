// SPDX-License-Identifier: MIT
// What is done to a tree by name, from any terminal: list, detach, send, peek, wait, signal, run,
// and what a tree that has ended still tells.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <regex>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "support/grab_test.h"
#include "support/viewing.h"

namespace grab::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class Commands : public GrabTest {
 protected:
  // What list tells of that tree; null if it knows none. Root sees other users' trees as well.
  static json listed(SecondTerminal& terminal, const std::string& name) {
    const auto said = says(terminal, "list --json");
    EXPECT_EQ(said.status, 0);
    const json document = json::parse(said.text, nullptr, false);
    EXPECT_TRUE(document.is_object() && document["format"] == 1) << said.text;
    if (!document.is_object())
      return {};
    for (const json& tree : document["trees"]) {
      if (tree["name"] == name)
        return tree;
    }
    return {};
  }
  /// All of them have said that they caught it, on this terminal.
  static testing::AssertionResult all_caught(const SecondTerminal& terminal,
                                             const std::string& name,
                                             const std::vector<pid_t>& pids) {
    const auto shown = [&](pid_t pid) {
      return terminal.transcript().find("caught " + name + " " + std::to_string(pid)) !=
             std::string::npos;
    };
    if (wait_until([&] { return std::all_of(pids.begin(), pids.end(), shown); }))
      return testing::AssertionSuccess();
    return testing::AssertionFailure() << "not all caught " << name << "\n" << all_transcripts();
  }
};

TEST_F(Commands, ListShowsEachTreeInATableAndAsJson) {
  Shell first("bash");
  SecondTerminal second, third("terminal 3"), fourth("terminal 4", {24, 100});
  const pid_t pid = first.start("tracee_zoo echo-lines");
  ASSERT_TRUE(grabs_tree(second, first, pid, "--name moved"));
  const pid_t other = runs(third, "tracee_zoo echo-lines", "--name started");
  ASSERT_TRUE(attaches(fourth, "-r moved"));
  SecondTerminal asking("terminal 5", {24, 150});
  const std::string table = says(asking, "list").text;
  EXPECT_TRUE(
      std::regex_search(table, std::regex("NAME +PID +STATE +SINCE +VIEWERS +SIZE +COMMAND\n")))
      << table;
  EXPECT_TRUE(std::regex_search(
      table, std::regex("moved +" + std::to_string(pid) +
                        " +running +[0-9]+ s ago +2 +132x30 +tracee_zoo echo-lines")))
      << table;
  EXPECT_TRUE(std::regex_search(
      table, std::regex("started +" + std::to_string(other) +
                        " +running +[0-9]+ s ago +1 +132x30 +tracee_zoo echo-lines")))
      << table;

  const json moved = listed(asking, "moved");
  ASSERT_TRUE(moved.is_object());
  EXPECT_EQ(moved["pid"], pid);
  EXPECT_EQ(moved["command"], "tracee_zoo echo-lines");
  EXPECT_EQ(moved["state"], "running");
  EXPECT_EQ(moved["size"], (json{{"rows", 30}, {"columns", 132}}));
  EXPECT_TRUE(moved["wait_status"].is_null());
  ASSERT_EQ(moved["viewers"].size(), 2U);
  EXPECT_EQ(moved["viewers"][0]["pid"], second.grab_pid());
  EXPECT_EQ(moved["viewers"][0]["terminal"], second.path());
  EXPECT_EQ(moved["viewers"][0]["read_only"], false);
  EXPECT_EQ(moved["viewers"][1]["terminal"], fourth.path());
  EXPECT_EQ(moved["viewers"][1]["read_only"], true);
  EXPECT_EQ(moved["viewers"][1]["size"], (json{{"rows", 24}, {"columns", 100}}));
  EXPECT_EQ(listed(asking, "started")["pid"], other);
}

TEST_F(Commands, ANameThatIsTakenIsRefusedAndNothingIsChanged) {
  Shell first("bash");
  SecondTerminal second;
  ASSERT_TRUE(runs_detached(second, "tracee_zoo echo-lines", "--name tree"));
  const pid_t pid = first.start("tracee_zoo echo-lines");
  const Unchanged unchanged(first, {pid});
  const auto moved = says(second, "--tree --name tree " + std::to_string(pid));
  EXPECT_EQ(moved.status, 125);
  EXPECT_THAT(moved.text, HasSubstr("tree"));
  EXPECT_THAT(moved.text, HasSubstr("hint: "));
  EXPECT_TRUE(unchanged.holds());
  const auto begun = says(second, "run --name tree -- tracee_zoo echo-lines");
  EXPECT_EQ(begun.status, 125);
  EXPECT_THAT(begun.text, Not(HasSubstr("ready ")));
  EXPECT_EQ(says(second, "run --name ../tree -- true").status, 2);
}

TEST_F(Commands, SendTypesAndPeekShowsTheScreen) {
  SecondTerminal second;
  ASSERT_TRUE(runs_detached(second, "tracee_zoo catch INT", "--name tree"));
  EXPECT_EQ(says(second, "send tree 'hello world\\r'").status, 0);
  EXPECT_EQ(says(second, "send tree -- two words '\\x41\\r'").status, 0);
  EXPECT_EQ(says(second, "send -l tree 'a\\r'").status, 0);
  EXPECT_EQ(says(second, "send tree '\\r'").status, 0);
  EXPECT_EQ(says(second, "send tree '\\x03'").status, 0);
  std::string screen;
  EXPECT_TRUE(wait_until([&] {
    screen = says(second, "peek tree").text;
    return screen.find("caught INT") != std::string::npos;
  }));
  EXPECT_THAT(screen, HasSubstr("got: hello world\n"));
  EXPECT_THAT(screen, HasSubstr("got: two words A\n"));
  EXPECT_THAT(screen, HasSubstr("got: a\\r\n"));
  const auto wrong = says(second, "send tree 'x\\q'");
  EXPECT_EQ(wrong.status, 2);
  EXPECT_THAT(says(second, "peek tree").text, Not(HasSubstr("got: x")));
}

TEST_F(Commands, WaitEndsWithTheTreeAndItsStatus) {
  SecondTerminal second, third("terminal 3");
  ASSERT_TRUE(runs_detached(second, "tracee_zoo echo-lines", "--name tree"));
  third.grab("wait tree");
  // It waits, or comes when the tree has ended: it is told either way.
  ASSERT_EQ(says(second, "send tree 'exit 42\\r'").status, 0);
  EXPECT_TRUE(third.expect("(tracee_zoo) ended with status 42"));
  EXPECT_TRUE(third.expect_grab_ended(42));

  ASSERT_TRUE(runs_detached(second, "tracee_zoo echo-lines", "--name tree"));
  third.grab("wait tree");
  ASSERT_EQ(says(second, "send tree 'kill TERM\\r'").status, 0);
  EXPECT_TRUE(third.expect("(tracee_zoo) was killed by SIGTERM"));
  EXPECT_TRUE(third.expect_grab_ended(128 + SIGTERM));
}

TEST_F(Commands, SignalReachesEveryProcessOfATreeThatWasMoved) {
  Shell first("bash");
  SecondTerminal second, third("terminal 3");
  // A script with a job of its own group in the background, one below it, and a pipeline.
  write_file(scratch("script"),
             "set -m\nbash -c 'tracee_zoo catch-and-wait USR1 & exec tracee_zoo catch-and-wait "
             "USR1' &\nset +m\ntracee_zoo catch-and-wait USR1 | tracee_zoo catch-and-wait USR1 "
             "2>&1 &\nexec tracee_zoo catch USR1\n");
  const pid_t root = first.start_job("bash " + scratch("script"), 4);
  ASSERT_TRUE(wait_until([&] { return tree_of(root).size() == 5U; }));
  std::vector<pid_t> writers = tree_of(root);
  // What the first of the pipeline says goes to the second, which does not read.
  std::erase_if(writers, [](pid_t pid) { return fds_of(pid)[1].target.starts_with("pipe:"); });
  ASSERT_EQ(writers.size(), 4U);
  ASSERT_TRUE(grabs_tree(second, first, root, "--name tree"));
  ASSERT_EQ(says(third, "signal tree USR1").status, 0);
  EXPECT_TRUE(all_caught(second, "USR1", writers));
  ASSERT_EQ(says(third, "signal tree SIGKILL").status, 0);
  EXPECT_TRUE(second.expect_grab_ended(128 + SIGKILL));
  EXPECT_TRUE(wait_until([&] { return tree_of(root).empty() || !is_alive(root); }));
  for (const pid_t pid : writers)
    EXPECT_TRUE(wait_until([&] { return !is_alive(pid); }));
}

TEST_F(Commands, SignalReachesTheJobsOfAShell) {
  Shell first("bash");
  SecondTerminal second, third("terminal 3");
  first.run("bash --norc -i");
  ASSERT_TRUE(first.expect_prompt());
  std::vector<pid_t> jobs;
  jobs.push_back(first.start("tracee_zoo catch-and-wait USR1 &"));
  jobs.push_back(first.start("(tracee_zoo catch-and-wait USR1; true) &"));
  jobs.push_back(first.start("setsid -w tracee_zoo catch-and-wait USR1 &"));
  const pid_t shell = children_of(first.pid()).at(0);
  ASSERT_TRUE(grabs_tree(second, first, shell, "--name tree"));
  // One that was started after the move, in the foreground.
  second.run("trap '' USR1; tracee_zoo catch-and-wait USR1");
  jobs.push_back(static_cast<pid_t>(second.expect_number("ready ")));
  ASSERT_EQ(says(third, "signal tree USR1").status, 0);
  EXPECT_TRUE(all_caught(second, "USR1", jobs));
  EXPECT_TRUE(is_alive(shell));
}

TEST_F(Commands, SignalStopsAndContinuesAll) {
  SecondTerminal second, third("terminal 3");
  const pid_t root = runs(second,
                          "bash -c 'tracee_zoo catch-and-wait INT & exec tracee_zoo catch "
                          "INT'",
                          "--name tree");
  (void)second.expect_number("ready ");
  const auto tree = tree_of(root);
  ASSERT_EQ(says(third, "signal tree STOP").status, 0);
  for (const pid_t pid : tree)
    EXPECT_TRUE(wait_until([&] { return is_stopped(pid); }));
  EXPECT_EQ(listed(third, "tree")["state"], "stopped");
  ASSERT_EQ(says(third, "signal tree CONT").status, 0);
  for (const pid_t pid : tree)
    EXPECT_TRUE(wait_until([&] { return is_alive(pid) && !is_stopped(pid); }));
  EXPECT_EQ(listed(third, "tree")["state"], "running");
  EXPECT_EQ(says(third, "signal tree NOSUCH").status, 2);
  EXPECT_TRUE(second.echoes("goes on"));
}

TEST_F(Commands, RunStartsAProgramThatCanBeLeftAndEndsWithItsStatus) {
  SecondTerminal second;
  second.skip_shown();
  second.grab("run -- sh -c 'tty; stty size; exit 9'");
  ASSERT_TRUE(second.expect("/dev/pts/"));
  EXPECT_TRUE(second.expect("30 132"));
  EXPECT_TRUE(second.expect_grab_ended(9));

  (void)runs(second, "tracee_zoo echo-lines", "--name tree");
  ASSERT_TRUE(second.expect("\n"));
  second.type("report\r");
  ASSERT_TRUE(second.expect("devtty=")) << "at home on its terminal";
  EXPECT_THAT(second.transcript(), Not(HasSubstr("devtty=No such device")));
  EXPECT_TRUE(detaches(second, "tree"));
}

TEST_F(Commands, RunSaysWhatCannotBeStarted) {
  SecondTerminal second;
  const auto missing = says(second, "run no-such-program-here");
  EXPECT_EQ(missing.status, 127);
  EXPECT_THAT(missing.text, HasSubstr("there is no program no-such-program-here\nhint: "));
  write_file(scratch("no-program"), "text");
  const auto text = says(second, "run " + scratch("no-program"));
  EXPECT_EQ(text.status, 126);
  EXPECT_THAT(text.text, HasSubstr("no-program"));
  EXPECT_EQ(says(second, "run").status, 2);
  const auto detached = says(second, "run --detached --name tree -- no-such-program-here");
  EXPECT_EQ(detached.status, 127);
  EXPECT_TRUE(listed(second, "tree").is_null());
}

TEST_F(Commands, RunDetachedOutlivesItsTerminal) {
  SecondTerminal second, third("terminal 3");
  ASSERT_TRUE(runs_detached(second, "tracee_zoo catch HUP", "--name tree"));
  second.close_window();
  ASSERT_TRUE(wait_until([&] { return !is_alive(second.pid()); }));
  ASSERT_TRUE(attaches(third, "tree"));
  EXPECT_TRUE(third.echoes("hello"));
  EXPECT_THAT(third.transcript(), Not(HasSubstr("caught")));
}

TEST_F(Commands, AMoveThatIsNotShownTellsHowToShowIt) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo echo-lines");
  const auto moved = says(second, "--tree --detached --name tree " + std::to_string(pid));
  EXPECT_EQ(moved.status, 0);
  EXPECT_THAT(moved.text, HasSubstr("; show it with: grab attach tree\n"));
  ASSERT_TRUE(has_left(first, pid));
  ASSERT_TRUE(first.expect_prompt());
  ASSERT_TRUE(attaches(second, "tree"));
  EXPECT_TRUE(second.echoes("hello"));
}

TEST_F(Commands, ATreeThatHasEndedTellsItsStatusAndLastScreenOnce) {
  SecondTerminal second;
  ASSERT_TRUE(runs_detached(second, "tracee_zoo echo-lines", "--name tree"));
  ASSERT_EQ(says(second, "send tree 'the last words\\rexit 7\\r'").status, 0);
  ASSERT_TRUE(wait_until([&] { return listed(second, "tree")["state"] == "ended"; }));
  EXPECT_EQ(listed(second, "tree")["exit_status"], 7);
  EXPECT_THAT(says(second, "list").text, HasSubstr(" ended (7) "));
  EXPECT_THAT(says(second, "peek tree").text, HasSubstr("got: the last words\n"));
  const auto attached = says(second, "attach tree");
  EXPECT_EQ(attached.status, 7);
  EXPECT_THAT(attached.text, HasSubstr("got: the last words\n"));
  EXPECT_THAT(attached.text, HasSubstr("(tracee_zoo) ended with status 7\n"));
  EXPECT_EQ(says(second, "attach tree").status, 127) << "it is told once";
  EXPECT_TRUE(wait_until([] { return processes_named("grab-relay").empty(); }));
  EXPECT_TRUE(wait_until([] { return processes_named("grab-keeper").empty(); }));

  ASSERT_TRUE(runs_detached(second, "tracee_zoo echo-lines", "--name tree"));
  ASSERT_EQ(says(second, "send tree 'kill TERM\\r'").status, 0);
  ASSERT_TRUE(wait_until([&] { return listed(second, "tree")["state"] == "ended"; }));
  EXPECT_THAT(says(second, "list").text, HasSubstr(" ended (SIGTERM) "));
  const auto waited = says(second, "wait tree");
  EXPECT_EQ(waited.status, 128 + SIGTERM);
  EXPECT_THAT(waited.text, HasSubstr("was killed by SIGTERM"));
  EXPECT_EQ(says(second, "wait tree").status, 127);
}

void shows_no_control_bytes(const std::string& text) {
  EXPECT_FALSE(text.empty());
  for (const char byte : text)
    EXPECT_TRUE(byte == '\n' || static_cast<unsigned char>(byte) >= 0x20) << visible(text);
  EXPECT_THAT(text, Not(HasSubstr("\x9b")));
}

TEST_F(Commands, NamesThatCommandTheTerminalAreShownWithoutTheirControlBytes) {
  SecondTerminal second;
  write_file(scratch("script"),
             "exec -a $'evil\\033]0;title\\007\\r\\n\\233name' tracee_zoo comm $'e\\033[31mvil'\n");
  Shell first("bash");
  const pid_t pid = first.start("bash " + scratch("script"));
  const std::string moved =
      says(second, "--tree --detached --name tree " + std::to_string(pid)).text;
  shows_no_control_bytes(moved);
  ASSERT_EQ(says(second, "send tree 'hello\\r'").status, 0);
  ASSERT_TRUE(wait_until(
      [&] { return says(second, "peek tree").text.find("got: hello") != std::string::npos; }));
  for (const char* command : {"list", "list --json", "attach $'tr\\033]0;x\\007ee'"}) {
    const auto said = says(second, command);
    shows_no_control_bytes(said.text);
  }
  ASSERT_EQ(says(second, "signal tree KILL").status, 0);
  const auto waited = says(second, "wait tree");
  EXPECT_EQ(waited.status, 128 + SIGKILL);
  shows_no_control_bytes(waited.text);
}

// Between its fork(2) and its execve(2) it waits for its name, which a lock of the folder
// withholds.
TEST_F(Commands, RunSaysThatItsProgramWasKilledBeforeItBegan) {
  SecondTerminal terminal;
  ASSERT_EQ(says(terminal, "list").status, 0);
  const std::string folder = runtime_folder() + "/grab";
  (void)::mkdir(folder.c_str(), S_IRWXU);
  const int lock = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  terminal.skip_shown();
  terminal.run("grab run --detached -- sleep 1000; echo \"[status $?]\"");
  pid_t program = 0;
  ASSERT_TRUE(wait_until([&] {
    for (const pid_t pid : descendants_of(::getpid())) {
      const auto stat = read_stat(pid), parent = stat ? read_stat(stat->ppid) : std::nullopt;
      if (parent && stat->comm == "grab" && parent->comm == "grab" && parent->ppid == ::getpid())
        program = pid;
    }
    return program != 0;
  }));
  ASSERT_EQ(::kill(program, SIGKILL), 0);
  ASSERT_TRUE(wait_until([&] { return !is_alive(program); }));
  ::close(lock);
  EXPECT_TRUE(terminal.expect("grab: sleep was killed before it began"));
  EXPECT_TRUE(terminal.expect("[status 125]"));
  EXPECT_THAT(terminal.transcript(), Not(HasSubstr("the relay has gone")));
}

}  // namespace
}  // namespace grab::test
