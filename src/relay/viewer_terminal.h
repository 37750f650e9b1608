// SPDX-License-Identifier: MIT
// The user's terminal while it shows a tree: raw modes taken and given back, and stopping ourselves
// as ^Z would.
#pragma once

#include <termios.h>

#include <optional>
#include <string>

#include "base/error.h"
#include "relay/continue_watch.h"
#include "relay/core.h"
#include "relay/relay.h"

namespace grab::relay {

/// The window size of a terminal; zeros where it has none.
[[nodiscard]] WindowSize window_size(int fd);

/// A terminal has no two modes that differ in nothing that this compares.
[[nodiscard]] bool same_modes(const termios& a, const termios& b);

class ViewerTerminal {
 public:
  explicit ViewerTerminal(Viewer viewer) : viewer_(std::move(viewer)) {}
  ViewerTerminal(ViewerTerminal&&) = default;
  ViewerTerminal& operator=(ViewerTerminal&&) = delete;
  ViewerTerminal(const ViewerTerminal&) = delete;
  ViewerTerminal& operator=(const ViewerTerminal&) = delete;
  ~ViewerTerminal() { give_back(); }

  [[nodiscard]] int fd() const { return viewer_.terminal.get(); }

  /// Saves the modes and sets raw ones. In the background this waits, stopped, for `fg`.
  [[nodiscard]] Status take();
  /// Sets the raw modes once more, where somebody who was to use them may have set others.
  void set_raw_again();
  /// Restores the modes that take() saved; does nothing when they were not taken, or when another
  /// job has the terminal now.
  void give_back();

  /// Before give_back(): puts back what was read of the terminal, before what has been typed since,
  /// for the next reader. False where the kernel does not allow that: then neither is there.
  [[nodiscard]] bool type_again(std::string keys);

  /// The modes that give_back() would set, as the bytes of struct termios; empty if none.
  [[nodiscard]] std::string saved_modes() const;
  /// "/dev/pts/3"; empty where it has no name here.
  [[nodiscard]] std::string name() const;

  enum class Stop { kContinued, kImpossible };
  /// After give_back(): stops our own process group as ^Z would and returns when continued, or at
  /// once with kImpossible where nobody would continue us. Consumes the SIGCONT from `watch`.
  [[nodiscard]] static Stop stop_own_group(const ContinueWatch& watch);

 private:
  Viewer viewer_;
  std::optional<termios> saved_;  // set while the raw modes are ours
  termios raw_{};
};

}  // namespace grab::relay
