// SPDX-License-Identifier: MIT
// Where grab's processes are: below this process, which is the reaper of what loses its parent.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace grab::soak {

enum class Role { kViewer, kStarter, kTracer, kKeeper, kRelay, kCount };
[[nodiscard]] const char* name_of(Role role);

/// All that live below `pid`, by /proc/PID/task/TID/children.
[[nodiscard]] std::vector<pid_t> below(pid_t pid);
/// The processes of a role that live below this one. `viewers` are those whom the soak has started
/// itself: any other one of grab's that has no name yet is a starter, or a keeper to be.
[[nodiscard]] std::vector<pid_t> in_role(Role role, const std::vector<pid_t>& viewers);
[[nodiscard]] std::string comm_of(pid_t pid);

/// The device that descriptor 1 of a process leads to; 0 when there is no such process.
[[nodiscard]] dev_t output_of(pid_t pid);
/// Whether it has the ptmx of that pts open.
[[nodiscard]] bool keeps(pid_t pid, dev_t pts);

struct State {
  char letter = '?';  ///< of /proc/PID/stat; 0 when there is no such process
  [[nodiscard]] bool lives() const { return letter != 0 && letter != 'Z' && letter != 'X'; }
};
[[nodiscard]] State state_of(pid_t pid);

/// Kills all that live below this process, and reaps them.
void end_all_below();

/// A terminal, of which the soak is the emulator.
struct Pty {
  UniqueFd ptmx;
  std::string name;
  dev_t device = 0;
  std::string shown;  ///< the last few kB
  static Pty open();
  /// Takes what has been written to it.
  void drain();
  void type(const std::string& keys) const;
  [[nodiscard]] bool is_raw() const;
};

/// Starts a program as the leader of a session on that terminal. `page` becomes descriptor 100
/// unless it is -1.
[[nodiscard]] pid_t start_on(const Pty& terminal, const std::vector<std::string>& words, int page);

}  // namespace grab::soak
