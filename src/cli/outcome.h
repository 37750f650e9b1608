// SPDX-License-Identifier: MIT
// How a grab went: the lines that it says and the status that it exits with.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "relay/relay.h"
#include "tracer/tracer.h"

namespace grab::cli {

/// The exit status of a grab that failed.
[[nodiscard]] int exit_status(ErrorKind kind);

/// The exit status for a tree that has ended: its own, 128+N if signal N killed it, and 0 where
/// the kernel did not tell.
[[nodiscard]] int exit_status(const relay::TreeEnd& end);

/// "SIGTERM"; "signal 40" where it has no name.
[[nodiscard]] std::string signal_name(int signo);

/// "ended with status 3", "was killed by SIGTERM".
[[nodiscard]] std::string describe_wait_status(int wait_status);

/// "4711 (make)" of a process of the snapshot or its parent; "4711" of any other.
[[nodiscard]] std::string name_of(const proc::Snapshot& snapshot, pid_t pid);

/// "moved 14 processes of 4711 (make) here from /dev/pts/3 (frozen 1.8 ms)"; with a key that
/// detaches, "; ^\ detaches" behind it.
[[nodiscard]] std::string moved_line(const tracer::Moved& moved,
                                     std::optional<unsigned char> detach_key = std::nullopt);

/// With --detached: "moved 14 processes of 4711 (make) from /dev/pts/3 (frozen 1.8 ms); show it
/// with: grab attach make.4711"
[[nodiscard]] std::string moved_away_line(const tracer::Moved& moved, const std::string& name);

/// "attached to make.4711; ^\ detaches": for run, and with --verbose for attach.
[[nodiscard]] std::string attached_line(const std::string& name, bool read_only,
                                        std::optional<unsigned char> detach_key);

/// "started make.4711; show it with: grab attach make.4711": for run --detached.
[[nodiscard]] std::string started_line(const std::string& name);

/// "detached from make.4711; come back with: grab attach make.4711". `why`: empty for the detach
/// key, else who did it: "by another viewer".
[[nodiscard]] std::string detached_line(const std::string& name, const std::string& why);

/// "4711 (make) is stopped; fg continues it": to each viewer, whoever typed ^Z.
[[nodiscard]] std::string stopped_line(const std::string& process);

/// "4711 (make) ended with status 0"
[[nodiscard]] std::string ended_line(const std::string& process, const relay::TreeEnd& end);

/// What the relay has to know of a tree that was moved.
[[nodiscard]] relay::MovedTree to_moved_tree(const tracer::Moved& moved);

/// How many processes a plan moves.
[[nodiscard]] std::size_t count_moved(const tracer::MovePlan& plan);

}  // namespace grab::cli
