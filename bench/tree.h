// SPDX-License-Identifier: MIT
// A tree of processes to move: a session on a terminal of its own whose leader is, to all
// appearances, an interactive shell with one job in the foreground. No process of it executes
// another program, so that a thousand start fast.
#pragma once

#include <sys/types.h>

#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "board.h"

namespace grab::bench {

/// How long a process of a tree of `count` sleeps between two readings: all together wake fifty
/// thousand times a second, which leaves two cores mostly idle. 0 for a tree of one, which spins.
[[nodiscard]] Nanoseconds sleep_of(int count);

class Tree {
 public:
  /// Starts `count` processes (ten children each at most), root first, and waits until each of
  /// them reads its clock. Errors: kSystem, kTimeout.
  [[nodiscard]] static Result<Tree> start(int count);
  Tree(Tree&& other) noexcept;
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  Tree& operator=(Tree&&) = delete;
  /// Kills every process of the tree, the shell too, each by its pid.
  ~Tree();

  [[nodiscard]] pid_t root() const { return board_->slots[0].pid; }
  [[nodiscard]] int count() const { return count_; }
  [[nodiscard]] Board& board() { return *board_; }
  [[nodiscard]] const Board& board() const { return *board_; }
  [[nodiscard]] std::vector<pid_t> pids() const;
  /// How many have another terminal as descriptor 0.
  [[nodiscard]] int moved() const;
  /// Waits until every process has read its clock `readings` times more. Errors: kTimeout.
  [[nodiscard]] Status wait_readings(std::uint64_t readings) const;
  /// Kills the processes of the tree, root last; the shell stays.
  void kill_tree();

 private:
  Tree(Board* board, int count) : board_(board), count_(count) {}
  Board* board_;
  int count_;
  pid_t shell_ = 0;
  UniqueFd ptmx_;
};

}  // namespace grab::bench
