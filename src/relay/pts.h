// SPDX-License-Identifier: MIT
// What the relay reads and sets of the pts through the ptmx that it holds.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/error.h"
#include "base/unique_fd.h"
#include "relay/core.h"

namespace grab::relay {

/// Another descriptor of the pts of `ptmx`, which keeps the ptmx from reporting a hang-up while the
/// processes of the tree close it and open it again. Close-on-exec; never a controlling terminal.
[[nodiscard]] Result<UniqueFd> open_pts(int ptmx);

/// The pts as tty_nr of /proc/PID/stat names it; 0 if it could not be asked.
[[nodiscard]] unsigned pts_number(int ptmx);

/// Whether that is the device number of the pts.
[[nodiscard]] bool is_pts_of(int ptmx, dev_t device);

/// "/dev/pts/5"; empty if it could not be asked.
[[nodiscard]] std::string pts_name(int ptmx);

/// Modes, for what is typed. What PtsState says of the job is left out.
[[nodiscard]] PtsState read_pts_modes(int ptmx);

/// 0 where no session has the pts.
[[nodiscard]] pid_t foreground_pgid(int ptmx);

/// Returns when the line discipline has dealt with what was written to the ptmx, or will not soon.
/// `pts`: a descriptor of the pts.
void settle_input(int pts);

/// What was typed before a signal character and nobody has read is not for who reads next, unless
/// NOFLSH is set. For a character that is kept from the kernel, which would do the same.
void discard_typed(int ptmx);

void set_window_size(int ptmx, WindowSize size);

}  // namespace grab::relay
