// SPDX-License-Identifier: MIT
// The one error type of grab. Errors are values: they name the operation, the object and the errno;
// only main.cc prints them.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace grab {

/// What callers branch on, and what main maps to an exit status.
enum class ErrorKind {
  kSystem,       ///< a system call failed for a reason of its own          (125)
  kGone,         ///< the process is no longer there                        (127)
  kPermission,   ///< the kernel does not let us                            (126)
  kUnsupported,  ///< the process is of a kind that grab cannot move        (125)
  kRefused,      ///< grab could, but will not; the hint says what would do (125)
  kTimeout,      ///< a deadline passed; nothing was changed                (124)
  kUsage,        ///< the command line is wrong                             (2)
};

struct Error {
  ErrorKind kind = ErrorKind::kSystem;
  int err = 0;       ///< errno value, 0 if none
  std::string what;  ///< operation and object: "PTRACE_SEIZE of 4711 (make)"
  std::string hint;  ///< empty, or one thing the user can do

  /// One sentence for people: what, and the text of the errno if there is one.
  [[nodiscard]] std::string message() const;
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

/// Builds the Error of a failed system call; kPermission for EPERM and EACCES, kGone for ESRCH,
/// kSystem otherwise. Call it before anything else can change errno.
[[nodiscard]] Error from_errno(int err, std::string_view what);

[[nodiscard]] inline tl::unexpected<Error> fail(ErrorKind kind, std::string what,
                                                std::string hint = {}) {
  return tl::unexpected(Error{kind, 0, std::move(what), std::move(hint)});
}

[[nodiscard]] inline tl::unexpected<Error> fail_errno(int err, std::string_view what) {
  return tl::unexpected(from_errno(err, what));
}

}  // namespace grab

#define GRAB_CONCAT_(a, b) a##b
#define GRAB_CONCAT(a, b) GRAB_CONCAT_(a, b)
#define GRAB_TRY_(tmp, decl, expr)                                  \
  auto tmp = (expr);                                                \
  if (!tmp)                                                         \
    return ::tl::unexpected<::grab::Error>(std::move(tmp).error()); \
  decl = std::move(*tmp)

/// `GRAB_TRY(const int n, f());` declares n from a Result, or returns its Error.
#define GRAB_TRY(decl, expr) GRAB_TRY_(GRAB_CONCAT(grab_try_, __LINE__), decl, expr)
/// `GRAB_CHECK(f());` returns the Error of a Status.
#define GRAB_CHECK(expr)                                                     \
  do {                                                                       \
    if (auto grab_check = (expr); !grab_check)                               \
      return ::tl::unexpected<::grab::Error>(std::move(grab_check).error()); \
  } while (false)
