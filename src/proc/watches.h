// SPDX-License-Identifier: MIT
// Which entries of a process's epoll sets watch descriptors that are to be moved, and by which
// io_urings it may wait for them.
#pragma once

#include "base/error.h"
#include "proc/descriptions.h"
#include "proc/membership.h"
#include "proc/parse.h"

namespace grab::proc {

/// A denial makes the process unreadable and is no failure; a file that this kernel does not have
/// leaves the value that says "unknown". Anything else (its end, no descriptor left for us) is one:
/// what is not known must not be taken for what is not there.
[[nodiscard]] Result<void> tolerate(const Error& error, bool* readable);

[[nodiscard]] Result<FdInfo> read_fdinfo(ProcessFiles& files, int fd);

/// Fills epoll_watches, stale_watches and waiting_rings of details.process, whose descriptors have
/// been read.
[[nodiscard]] Result<void> read_watches(Node& node, Details& details,
                                        const Descriptions& descriptions);

}  // namespace grab::proc
