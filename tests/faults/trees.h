// SPDX-License-Identifier: MIT
// Trees of every kind that grab treats in its own way, each in a shell of its own.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "faults/tree_state.h"
#include "support/grab_test.h"

namespace grab::test {

/// Typed, and shown in answer; @ stands for a number that is another one each time.
struct Question {
  std::string keys;
  std::string answer;
};
extern const Question kLine, kKey, kShellLine;

struct Kind {
  std::string name;
  std::string line;          ///< typed in a shell
  std::string options = {};  ///< of grab
  Question question = kLine;
  std::string after = {};        ///< keys typed behind it, up to a prompt
  Question where_moved = kLine;  ///< if it was moved
  bool shell_too = false;        ///< the shell is the tree
};
void PrintTo(const Kind& kind, std::ostream* out);

class Tree {
 public:
  /// Starts it and waits until it answers. Throws when it does not.
  explicit Tree(const Kind& kind);
  ~Tree();
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  /// What is typed on the old terminal is answered by whoever reads there.
  [[nodiscard]] testing::AssertionResult works();
  /// The same for a tree that was moved to `terminal`; continues it if it was to stay stopped.
  [[nodiscard]] testing::AssertionResult works_on(TerminalSession& terminal);
  [[nodiscard]] testing::AssertionResult has_left();

  [[nodiscard]] std::vector<std::string> grab_arguments() const;
  [[nodiscard]] TreeState state() const { return state_of(shell_, watched_); }
  [[nodiscard]] testing::AssertionResult is_as(const TreeState& before) const;
  [[nodiscard]] Shell& shell() { return shell_; }
  [[nodiscard]] pid_t root() const { return root_; }
  [[nodiscard]] const std::vector<pid_t>& pids() const { return tree_; }
  /// The shell and every thread, in an order that is the same for each tree of the kind.
  [[nodiscard]] const std::vector<pid_t>& numbers() const { return numbers_; }

 private:
  [[nodiscard]] testing::AssertionResult answers(const Question& question,
                                                 TerminalSession& terminal);
  void find();

  const Kind& kind_;
  Shell shell_;
  pid_t job_ = 0;
  pid_t root_ = 0;
  std::vector<pid_t> tree_, watched_, numbers_;
  int questions_ = 0;
};

/// The last of the others.
[[nodiscard]] pid_t last_but_root(const Tree& tree);

/// A step of one tree as that of another of the same kind.
[[nodiscard]] std::string translated(std::string step, const std::vector<pid_t>& from,
                                     const std::vector<pid_t>& to);

}  // namespace grab::test
