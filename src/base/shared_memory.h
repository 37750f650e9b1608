// SPDX-License-Identifier: MIT
// Memory that a process shares with its children, and shows to others in /proc/PID/fd.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "base/error.h"
#include "base/unique_fd.h"

namespace grab {

/// Of that many bytes, all 0; to be handed on by fork(2). Close-on-exec. Errors: kSystem.
[[nodiscard]] Result<UniqueFd> create_shared_memory(std::size_t size);
/// That of another process, to which `path` leads: a descriptor of it in /proc. `flags`: as for
/// open(2). Invalid where that is no memory of this size that was created for this user: then it is
/// not opened, whatever it is, and not waited for. Its size may change at any time.
[[nodiscard]] UniqueFd open_shared_memory(const std::string& path, uid_t owner, std::size_t size,
                                          int flags);

}  // namespace grab
