// SPDX-License-Identifier: MIT
// What passes from the old terminal to the new one: modes and type-ahead.
#pragma once

#include <string>

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

}  // namespace grab::tracer
