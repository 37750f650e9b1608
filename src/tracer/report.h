// SPDX-License-Identifier: MIT
// What the tracer process tells the one that started it, as lines of JSON on a pipe, and in a
// journal for who comes after both.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "tracer/tracer.h"

namespace grab::tracer {

/// The processes that may stand in a SIGSTOP of ours if the tracer dies from here on; each with its
/// identity. It is said again whenever they may be others, and the last counts.
struct Held {
  std::vector<Moved::Process> processes = {};
  std::vector<Moved::Process> stopped = {};  ///< were so before, and stay so
  pid_t front = 0;  ///< the old terminal's foreground group, if it is theirs
  std::vector<Moved::Process> serving = {};  ///< of both lists, who is none of the tree: servers
};

/// From here on the tree is moved, in part if the tracer dies: what the relay has to know of it,
/// but for the processes, which are those of the tree in the last Held.
struct Committing {
  Moved moved;
};

using Report = std::variant<Held, Committing, Moved, Error>;

/// One line, with its newline.
[[nodiscard]] std::string to_line(const Report& report);
/// Errors: kSystem if the line is not one of to_line()'s.
[[nodiscard]] Result<Report> parse_line(std::string_view line);

}  // namespace grab::tracer
