// SPDX-License-Identifier: MIT
// One measurement of one session. Everything is measured from outside: by the bytes on the outer
// terminal, and by what the kernel says of the contender's processes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "relay_bench/payload.h"
#include "relay_bench/session.h"

namespace grab::bench {

/// By name: "text" is MB/s, "cpu.text" seconds of CPU a GiB, "echo.p50" microseconds ...
using Values = std::map<std::string, double>;

/// The payload `times` times, each byte compared (of contenders that draw themselves: until the end
/// mark is shown). NAME, and cpu.NAME but for direct.
[[nodiscard]] Result<Values> measure_output(Session& session, Output output, std::uint64_t times,
                                            bool flaw);

/// `count` bytes, one after the other. NAME.p50 and NAME.p99, with NAME "load" while another
/// process writes all the time, else "echo". Errors: kUnsupported when a contender that draws
/// itself does not show what is typed.
[[nodiscard]] Result<Values> measure_echo(Session& session, int count, bool load);

/// Numbered lines both ways at once, every byte compared.
enum class Flaw { kNone, kWritten, kTyped };
[[nodiscard]] Status check_streams(Session& session, std::size_t lines, Flaw flaw);

/// rss, rss.largest, pss, own (MiB), and processes.
[[nodiscard]] Result<Values> measure_memory(const Session& session);

}  // namespace grab::bench
