// SPDX-License-Identifier: MIT
#include "base/error.h"

#include <cerrno>
#include <cstring>

namespace grab {

std::string Error::message() const {
  if (err == 0)
    return what;
  return what + ": " + std::strerror(err);
}

Error from_errno(int err, std::string_view what) {
  ErrorKind kind = ErrorKind::kSystem;
  if (err == EPERM || err == EACCES)
    kind = ErrorKind::kPermission;
  if (err == ESRCH)
    kind = ErrorKind::kGone;
  return Error{kind, err, std::string(what), {}};
}

}  // namespace grab
