// SPDX-License-Identifier: MIT
// Runs a grab in which one step fails (base/fault.h), and learns which steps there are.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/grab_test.h"

namespace grab::test {

class FaultyGrab {
 public:
  /// Starts grab on a terminal of its own. `fault` as in GRAB_FAULT, empty for none; `before` are
  /// the words to start it with, instead of its path.
  FaultyGrab(const std::string& fault, const std::vector<std::string>& arguments,
             std::vector<std::string> before = {});

  /// Waits until it has ended, or has raw modes on its terminal: then it shows the tree.
  void wait();
  /// Waits until the step has been come to at which grab stops ("=stop").
  void wait_for_stop() const;
  /// Waits until the tracer has ended: the old shell was told, or not, and is at most guarded.
  void wait_for_telling() const;
  [[nodiscard]] bool shows_the_tree() const { return shows_; }
  [[nodiscard]] int exit_status() const { return exit_status_; }
  /// All that it has shown.
  [[nodiscard]] std::string said() const { return terminal_->transcript(); }
  /// Whether it has said one sentence, perhaps with a hint, and nothing else.
  [[nodiscard]] bool said_one_sentence() const;
  /// Whether the step that was to fail has been come to.
  [[nodiscard]] bool has_failed_step() const;
  /// The steps up to the one that failed, each once, in order.
  [[nodiscard]] std::vector<std::string> steps() const;
  [[nodiscard]] TerminalSession& terminal() const { return *terminal_; }

 private:
  std::string log_;
  std::unique_ptr<TerminalSession> terminal_;
  bool shows_ = false;
  int exit_status_ = -1;
};

/// A tracer of ours that has come to its "=stop".
[[nodiscard]] std::optional<pid_t> stopped_tracer();
/// Waits until a tracer, other than `before`, has come to its step.
[[nodiscard]] pid_t stopped_after(pid_t before, const FaultyGrab& grab);
/// Waits for such a tracer, and kills it together with the starter, before either can see the other
/// go. Returns the tracer.
pid_t kill_with_starter(const FaultyGrab& grab, pid_t before = 0);

}  // namespace grab::test
