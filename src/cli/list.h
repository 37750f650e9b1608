// SPDX-License-Identifier: MIT
// `grab list`: the trees as a table for people and as JSON for programs. Pure but for page_of().
// Everything that a foreign program could have chosen goes through printable().
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "relay/protocol.h"

namespace grab::cli {

/// What a table is written on, and when.
struct Page {
  std::size_t columns = 0;  ///< 0: any width, for a file or a pipe
  std::int64_t now = 0;     ///< seconds of CLOCK_REALTIME
};

/// The width of the terminal that is `fd` (0 if it is none), and the time.
[[nodiscard]] Page page_of(int fd);

/// A line a tree, the oldest first, under a line of headings. No line is wider than the page: the
/// command is cut; where hardly anything is left for it, size, viewers and time are left out.
[[nodiscard]] std::string list_table(std::vector<relay::message::Status> trees,
                                     const Page& page = page_of(STDOUT_FILENO));

/// One document, in the same order; its fields are in grab(1), "JSON OUTPUT".
[[nodiscard]] std::string list_json(std::vector<relay::message::Status> trees);

/// "12 s", "5 min", "3 h", "2 days": how long something has been, rounded down.
[[nodiscard]] std::string duration_text(std::int64_t seconds);

}  // namespace grab::cli
