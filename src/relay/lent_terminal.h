// SPDX-License-Identifier: MIT
// A viewer's terminal in the hands of the relay, which reads and writes it without a second hop
// through the viewer process. It is the user's: it is left alone from the moment that the viewer
// process is stopped, and gets its modes back when that process has died.
#pragma once

#include <sys/types.h>
#include <termios.h>

#include <chrono>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/unique_fd.h"

namespace grab::relay {

class LentTerminal {
 public:
  /// `viewer`: the process that lends it, 0 if it is not known. `saved_modes`: of struct termios,
  /// as they were before it set raw ones; may be empty. Errors: kRefused if the descriptor is no
  /// terminal that can be read and written without waiting.
  [[nodiscard]] static Result<LentTerminal> take(UniqueFd terminal, pid_t viewer,
                                                 std::string_view saved_modes);

  [[nodiscard]] int fd() const { return terminal_.get(); }
  /// It is the pts of that ptmx: what is shown on it would be its own output again.
  [[nodiscard]] bool is_pts_of(int ptmx) const;

  /// Neither stopped nor in the background: what is typed is meant for the tree. As of the last two
  /// milliseconds, so that it costs nothing while many bytes come or go.
  [[nodiscard]] bool is_lent();

  /// Until read_all() a byte can be read only when `key` has been typed: what else is typed is
  /// left for whoever has the terminal next. False, and nothing is changed, where something has
  /// been typed already.
  [[nodiscard]] bool read_only_up_to(char key);
  [[nodiscard]] bool reads_only_up_to_key() const { return all_read_.has_value(); }
  void read_all();
  /// How many bytes can be read.
  [[nodiscard]] int readable() const;

  /// The viewer process has set raw modes again.
  void lent_again();
  /// Gives the terminal the modes that it had, if nobody has set others meanwhile.
  void restore_modes() const;

 private:
  LentTerminal(UniqueFd terminal, pid_t viewer) : terminal_(std::move(terminal)), viewer_(viewer) {}

  using Clock = std::chrono::steady_clock;

  UniqueFd terminal_;
  dev_t device_ = 0;
  pid_t viewer_;
  termios raw_{};
  std::optional<termios> saved_;
  Clock::time_point looked_;         // at the viewer process
  Clock::time_point found_lent_;     // the last time
  std::optional<termios> all_read_;  // the raw modes, while others are set
};

}  // namespace grab::relay
