// SPDX-License-Identifier: MIT
// The program inside: it runs on the terminal that a contender gives it, or takes it to, and does
// what the benchmark tells it over a socket of its own, so that one session serves all measures.
#pragma once

#include <string>

namespace grab::bench {

/// The requests, each a packet of words; each is answered with "ok", or with what went wrong:
///   mark RUN                    writes the end mark of that run
///   write OUTPUT TIMES RUN FLAW writes the payload TIMES times, between two marks
///   echo                        writes each byte that is typed, until the next request
///   load / unload               starts, ends another process that writes lines all the time
///   exchange OUT IN RUN FLAW    writes OUT numbered lines between two marks, while IN lines are
///   read
/// A FLAW of 1 makes one byte of the output wrong: the benchmark has to find it.
/// At the end of the socket it exits, and with it all that it has started.
[[nodiscard]] int run_actor(const std::string& socket_path);

}  // namespace grab::bench
