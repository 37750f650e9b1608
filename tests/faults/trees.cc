// SPDX-License-Identifier: MIT
#include "faults/trees.h"

#include <signal.h>

#include <algorithm>
#include <regex>
#include <stdexcept>

namespace grab::test {

const Question kLine{"line@\r", "got: line@"};
const Question kKey{"k", "key k"};
const Question kShellLine{"echo go''t: @\r", "got: @"};

void PrintTo(const Kind& kind, std::ostream* out) {
  *out << kind.name;
}

Tree::Tree(const Kind& kind) : kind_(kind), shell_("bash") {
  const pid_t program = shell_.start(kind.line);
  // In a container it knows itself by a number that is another process's, if any.
  const auto started = descendants_of(shell_.pid());
  const bool is_known = std::find(started.begin(), started.end(), program) != started.end();
  job_ = is_known ? read_stat(program).value().pgid : shell_.foreground_pgid();
  if (job_ <= 1 || job_ == ::getpgrp())
    throw std::runtime_error("the shell has started no job\n" + all_transcripts());
  if (!kind.after.empty()) {
    shell_.type(kind.after);
    (void)shell_.expect_prompt();
  }
  root_ = kind.shell_too ? shell_.pid() : job_;
  if (!works())
    throw std::runtime_error("it does not answer before\n" + all_transcripts());
  find();
}

Tree::~Tree() {
  for (const pid_t pid : tree_)
    ::kill(pid, SIGKILL);
  ::kill(shell_.pid(), SIGKILL);
}

void Tree::find() {
  tree_ = kind_.shell_too ? tree_of(root_) : members_of_group(job_);
  for (const pid_t pid : tree_of(root_)) {
    if (std::find(tree_.begin(), tree_.end(), pid) == tree_.end())
      tree_.push_back(pid);
  }
  if (const auto server = descendant_named(::getpid(), "tmux: server"))
    tree_.push_back(*server);
  watched_ = tree_;
  if (!kind_.shell_too)
    watched_.push_back(shell_.pid());
  numbers_ = {shell_.pid()};
  for (const pid_t pid : tree_) {
    for (const pid_t tid : threads_of(pid))
      numbers_.push_back(tid);
  }
}

testing::AssertionResult Tree::answers(const Question& question, TerminalSession& terminal) {
  static const std::regex number("@");
  const std::string now = std::to_string(++questions_);
  terminal.type(std::regex_replace(question.keys, number, now));
  return terminal.expect(std::regex_replace(question.answer, number, now));
}

testing::AssertionResult Tree::works() {
  const auto answered = answers(kind_.question, shell_);
  if (!answered || kind_.question.keys != kShellLine.keys)
    return answered;
  return shell_.expect_prompt();  // by then the terminal has the modes that the shell reads with
}

testing::AssertionResult Tree::works_on(TerminalSession& terminal) {
  if (!kind_.shell_too)
    ::kill(root_, SIGCONT);
  return answers(kind_.where_moved, terminal);
}

testing::AssertionResult Tree::has_left() {
  return have_left(shell_, tree_);
}

std::vector<std::string> Tree::grab_arguments() const {
  std::vector<std::string> arguments;
  if (!kind_.options.empty())
    arguments.push_back(kind_.options);
  arguments.insert(arguments.end(), {"--tree", std::to_string(root_)});
  return arguments;
}

testing::AssertionResult Tree::is_as(const TreeState& before) const {
  return is_as_before(before, shell_, watched_);
}

pid_t last_but_root(const Tree& tree) {
  pid_t last = 0;
  for (const pid_t pid : tree.pids()) {
    if (pid != tree.root())
      last = pid;
  }
  return last;
}

std::string translated(std::string step, const std::vector<pid_t>& from,
                       const std::vector<pid_t>& to) {
  // By way of marks, for a number of the one may be another's of the other.
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::regex number("\\b" + std::to_string(from[i]) + "\\b");
    step = std::regex_replace(step, number, "<" + std::to_string(i) + ">");
  }
  for (std::size_t i = 0; i < to.size(); ++i) {
    const std::string mark = "<" + std::to_string(i) + ">";
    for (auto at = step.find(mark); at != std::string::npos; at = step.find(mark))
      step.replace(at, mark.size(), std::to_string(to[i]));
  }
  return step;
}

}  // namespace grab::test
