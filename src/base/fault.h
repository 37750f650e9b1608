// SPDX-License-Identifier: MIT
// Fault points: steps that a test makes fail, one at a time. Only the grab of tests/faults has them
// (GRAB_FAULTS); in any other, fault() is 0 at compile time, and nothing of it is left.
#pragma once

#ifndef GRAB_FAULT_POINTS
#error "only the sources that CMakeLists.txt lists as GRAB_FAULT_POINTS have them"
#endif

#include <string_view>

namespace grab {

#ifdef GRAB_FAULTS
inline constexpr bool kFaults = true;

/// The errno value with which the step has to fail instead of being taken; 0: it is to be taken.
/// `err` is one that is plausible. Environment: GRAB_FAULT names the step as "STEP@OBJECT#N" (its
/// Nth time, from 1; an OBJECT of * is any), with "=ERRNO" behind it for another value, or "=stop"
/// for a process that stops there (SIGSTOP) and goes on when it is continued; GRAB_FAULT_LOG is a
/// file that gets a line for each step that is passed, and "failed STEP@OBJECT#N" for the one.
/// Thread-safe.
[[nodiscard]] int fault(std::string_view step, std::string_view object, int err);
[[nodiscard]] int fault(std::string_view step, long object, int err);
#else
inline constexpr bool kFaults = false;

[[nodiscard]] constexpr int fault(std::string_view /*step*/, std::string_view /*object*/,
                                  int /*err*/) {
  return 0;
}
[[nodiscard]] constexpr int fault(std::string_view /*step*/, long /*object*/, int /*err*/) {
  return 0;
}
#endif

}  // namespace grab
