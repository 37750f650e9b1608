// SPDX-License-Identifier: MIT
// An OpenSSH server on 127.0.0.1 that belongs to the test: its own configuration, host key and
// authorized key, and gone when the test ends.
#pragma once

#include <memory>
#include <string>

#include "support/grab_test.h"

namespace grab::test {

class SshServer {
 public:
  /// For the user who runs the test; only root's can hand out terminals. `environment`: NAME=VALUE,
  /// between spaces, of those who log in. Throws if it does not serve.
  explicit SshServer(const std::string& environment = {});

  /// What to type before a command that is to be run there on a terminal; it ends in a space.
  [[nodiscard]] std::string login() const;

 private:
  int port_;
  std::unique_ptr<TerminalSession> daemon_;
};

}  // namespace grab::test
