// SPDX-License-Identifier: MIT
// What passes from the old terminal to the new one: modes, type-ahead, and those modes of screen
// and keyboard that a program has set by what it has written.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "tracer/plan.h"

namespace grab::tracer {

/// Gives the pts `new_fd` the modes that the plan says; for sane ones only whether input is UTF-8
/// is taken over.
[[nodiscard]] Status set_modes(int old_fd, int new_fd, Modes modes);

/// Gives a terminal without a window size that of the old one, or 24x80 where that has none either.
void set_missing_size(int old_fd, int new_fd);

/// Takes what was typed on the old terminal and read by nobody, unfinished lines too. Its modes are
/// as before.
[[nodiscard]] std::string take_type_ahead(int old_fd);

/// The device number of the pts of that ptmx, 0 where it cannot be told.
[[nodiscard]] dev_t pts_device(int ptmx);

/// Whether the terminal is in the modes of a program that gets each key and draws what it shows.
[[nodiscard]] bool is_raw(int fd);

/// Whether it has room for what is written to it: it is neither stopped by ^S nor full.
[[nodiscard]] bool takes_output(int fd);

/// For a terminal that its job has left as it was. Where its modes are not canonical, asks it which
/// modes of screen and keyboard are set, undoes them, and sets them on the pts of `ptmx`; what is
/// typed meanwhile goes there too. Takes as long as the terminal takes to answer, a second at most.
/// Then sets the modes of the line to those that shells expect; the old shell must not have it back
/// before. `term`: TERM of the job. `answers`: it may be asked; one that would answer too late
/// types its answer to the shell.
void clean_old_terminal(int old_fd, int ptmx, std::string_view term, bool answers);

/// Takes O_NONBLOCK off an open file that the job has left to its shell.
// Kernel: O_NONBLOCK belongs to the open file, which both had in common -> where the job has set
// it, the shell's read(2) fails. Source: fcntl(2); seen: tmux.
void make_blocking(int fd);

}  // namespace grab::tracer
