// SPDX-License-Identifier: MIT
// The programs that are compared, and how each is started around the program inside.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace grab::bench {

enum class Way {
  kRun,   ///< starts the program inside
  kMove,  ///< takes the running program to its terminal; the pid is the last word of the command
};

struct Contender {
  std::string name;
  std::string program;  ///< path; empty for "direct"
  Way way = Way::kRun;
  /// Passes on every byte as it is. The others draw the screen themselves.
  bool exact = true;
};

/// What the user named, or where they are searched for.
struct Places {
  std::string grab;
  std::string least;
  std::string scratch;  ///< a folder of our own, for sockets and the like
};

struct Contenders {
  std::vector<Contender> present;
  std::vector<std::string> missing;  ///< "screen: not installed"
};

inline constexpr const char* kDirect = "direct";
inline constexpr const char* kLeast = "least";
inline constexpr const char* kGrab = "grab";

/// Every contender that is wanted (all if `wanted` is empty): present, or named as missing.
[[nodiscard]] Contenders find_contenders(const Places& places,
                                         const std::vector<std::string>& wanted);

/// The command of one session. `id` tells the sessions apart; `program` is the program inside, and
/// is not used by those that move it: their pid comes behind the command.
[[nodiscard]] std::vector<std::string> command_of(const Contender& contender, const Places& places,
                                                  int id, const std::vector<std::string>& program);

/// What the contenders keep in their sockets' folders goes to `scratch`; other settings of the
/// user's do not count. To be called once, before the first session.
void set_environment(const std::string& scratch);

}  // namespace grab::bench
