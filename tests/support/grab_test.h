// SPDX-License-Identifier: MIT
// What integration tests are written with: shells on terminals, grab typed in a second terminal,
// and a fixture that leaves nothing behind.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/proc_info.h"
#include "support/process_guard.h"
#include "support/terminal_session.h"

namespace grab::test {

/// Exit statuses of grab's own.
inline constexpr int kFailed = 125, kPermission = 126;

/// The program under test: env GRAB, else the one that was built.
[[nodiscard]] std::string grab_path();
/// The path of a program in /usr/bin and the like; nothing when it is not installed.
[[nodiscard]] std::optional<std::string> installed(const std::string& program);
/// Why processes of this user can not be traced here; nothing when they can.
[[nodiscard]] std::optional<std::string> why_not_traceable();

/// A folder with `grab` and `tracee_zoo` in it, first in PATH of every shell.
[[nodiscard]] std::string program_folder();
/// A path in the scratch folder of this test.
[[nodiscard]] std::string scratch(const std::string& name);
[[nodiscard]] bool exists(const std::string& path);
[[nodiscard]] std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& text);

/// An interactive shell at its prompt, on a terminal of its own.
class Shell : public TerminalSession {
 public:
  struct Options {
    std::string name = "terminal 1";
    WindowSize size = {24, 80};
    bool login = false;
    bool emulated = false;  ///< as in TerminalSession::Options
  };
  /// `kind` is bash, zsh, fish, dash, mksh, ksh93, tcsh, busybox, yash, xonsh or nu (which wants
  /// Options::emulated). Throws when there is no prompt.
  Shell(const std::string& kind, Options options);
  explicit Shell(const std::string& kind) : Shell(kind, Options{}) {}

  /// Types a line.
  void run(const std::string& line);
  [[nodiscard]] testing::AssertionResult expect_prompt(Duration limit = kDeadline);
  /// It reads a line, runs it and shows what it prints.
  [[nodiscard]] testing::AssertionResult answers();
  /// What a command prints.
  [[nodiscard]] std::string output_of(const std::string& command);
  /// Types a line that starts a program which says "ready PID" (every one of tracee_zoo does, or
  /// `echo ready $$`), and waits for that. Throws when it is not said.
  [[nodiscard]] pid_t start(const std::string& line);
  /// The same for a foreground job of which `count` programs say "ready"; its process group.
  [[nodiscard]] pid_t start_job(const std::string& line, int count);
  /// The number shown behind `text`. Throws when there is none.
  [[nodiscard]] long expect_number(const std::string& text);
  /// Waits for a living descendant of the shell of that name. Throws when there is none.
  [[nodiscard]] pid_t wait_for_program(const std::string& comm);

 private:
  std::string kind_;
  int questions_ = 0;
};

/// Terminal 2: a bash in which grab is typed. A test with several viewers numbers the others.
class SecondTerminal : public Shell {
 public:
  explicit SecondTerminal(const std::string& name = "terminal 2", WindowSize size = {30, 132},
                          bool emulated = false)
      : Shell("bash", {.name = name, .size = size, .emulated = emulated}) {}

  /// Types `grab ARGUMENTS` and goes on while it runs.
  void grab(const std::string& arguments);
  void grab_tree(pid_t pid, const std::string& options = {});
  /// grab has ended with this status and the shell has its prompt back; before Linux 6.15 it may
  /// have said instead that the kernel does not tell the status, and ended with 0.
  [[nodiscard]] testing::AssertionResult expect_grab_ended(int status);

  struct Outcome {
    int status = -1;
    std::string text;  ///< all that it has shown
  };
  /// A line typed here reaches a program of tracee_zoo, which answers it.
  [[nodiscard]] testing::AssertionResult echoes(const std::string& line);
  /// Types it and waits for its end.
  [[nodiscard]] Outcome grab_and_wait(const std::string& arguments);
  /// The process that was started by grab(); throws when there is none.
  [[nodiscard]] pid_t grab_pid();
};

/// All of them are released, have no descriptor on the terminal of `from` and do not have it as
/// controlling terminal.
[[nodiscard]] testing::AssertionResult have_left(const TerminalSession& from,
                                                 const std::vector<pid_t>& pids);
[[nodiscard]] testing::AssertionResult has_left(const TerminalSession& from, pid_t pid);
/// A grab of this test moves a tree, or tells an old shell: the processes that do so are called
/// grab-tracer.
[[nodiscard]] bool grab_is_busy();
/// Types `grab --tree PID` in terminal 2 and waits until all of the tree has left `from`, and the
/// old shell has been told.
[[nodiscard]] testing::AssertionResult grabs_tree(SecondTerminal& second, Shell& from, pid_t pid,
                                                  const std::string& options = {});

/// What some processes and a terminal are like, to be compared after a grab that was refused.
class Unchanged {
 public:
  Unchanged(const TerminalSession& terminal, std::vector<pid_t> pids);
  /// All is as it was, and nobody is traced any more.
  [[nodiscard]] testing::AssertionResult holds() const;

 private:
  const TerminalSession& terminal_;
  std::vector<pid_t> pids_;
  TreeFacts facts_;
  termios modes_;
  pid_t foreground_pgid_;
};

/// The terminal on descriptor 0 of a process.
[[nodiscard]] std::string terminal_of(pid_t pid);

class GrabTest : public testing::Test {
 protected:
  GrabTest();
  ~GrabTest() override;
  void SetUp() override;
  void TearDown() override;

 private:
  Watchdog watchdog_;
};

/// The same for each of several shells; skips those that are not installed.
class EveryShell : public GrabTest, public testing::WithParamInterface<std::string> {
 protected:
  void SetUp() override;
};

}  // namespace grab::test
