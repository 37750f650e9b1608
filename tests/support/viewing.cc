// SPDX-License-Identifier: MIT
#include "support/viewing.h"

#include <unistd.h>

#include <stdexcept>

namespace grab::test {

pid_t runs(SecondTerminal& terminal, const std::string& program, const std::string& options) {
  terminal.skip_shown();
  terminal.grab("run " + options + " -- " + program);
  return static_cast<pid_t>(terminal.expect_number("ready "));
}

testing::AssertionResult runs_detached(SecondTerminal& terminal, const std::string& program,
                                       const std::string& options) {
  terminal.skip_shown();
  terminal.grab("run --detached " + options + " -- " + program);
  if (auto started = terminal.expect("started "); !started)
    return started;
  return terminal.expect_grab_ended(0);
}

testing::AssertionResult shows_a_tree(const SecondTerminal& terminal) {
  if (wait_until([&] { return (terminal.modes().c_lflag & ISIG) == 0; }))
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << "grab does not show a tree\n" << all_transcripts();
}

testing::AssertionResult attaches(SecondTerminal& terminal, const std::string& arguments) {
  terminal.skip_shown();
  terminal.grab("attach " + arguments);
  return shows_a_tree(terminal);
}

testing::AssertionResult detaches(SecondTerminal& terminal, const std::string& name,
                                  std::string_view key) {
  terminal.skip_shown();
  terminal.type(key);
  if (auto said = terminal.expect("grab: detached from " + name + "; come back with: grab attach " +
                                  name + "\r\n");
      !said)
    return said;
  if (auto ended = terminal.expect_grab_ended(0); !ended)
    return ended;
  return terminal.answers();
}

SecondTerminal::Outcome says(SecondTerminal& terminal, const std::string& arguments) {
  auto outcome = terminal.grab_and_wait(arguments);
  // What bash says to the terminal when it starts a command is not of the command.
  for (const std::string other : {"\r", "\x1b[?2004l"}) {
    for (auto at = outcome.text.find(other); at != std::string::npos;
         at = outcome.text.find(other, at))
      outcome.text.erase(at, other.size());
  }
  return outcome;
}

std::vector<pid_t> processes_named(const std::string& comm) {
  std::vector<pid_t> found;
  for (const pid_t pid : descendants_of(::getpid())) {
    const auto stat = read_stat(pid);
    if (stat && stat->comm == comm && is_alive(pid))
      found.push_back(pid);
  }
  return found;
}

pid_t process_named(const std::string& comm) {
  std::vector<pid_t> found;
  if (!wait_until([&] { return (found = processes_named(comm)).size() == 1; }))
    throw std::runtime_error("there are " + std::to_string(found.size()) + " of " + comm);
  return found.front();
}

}  // namespace grab::test
