// SPDX-License-Identifier: MIT
// How a test makes a container: a program behind these words runs in one.
#pragma once

#include <string>

namespace grab::test {

inline const std::string kUnshare =
    "unshare --user --map-root-user --mount --pid --fork --kill-child ";
inline const std::string kBwrap =
    "bwrap --bind / / --dev /dev --proc /proc --unshare-pid --unshare-user --die-with-parent ";

/// Some systems let nobody, or no ordinary user, make a user namespace.
[[nodiscard]] bool can_make_containers();

}  // namespace grab::test
