// SPDX-License-Identifier: MIT
// A folder that a program of the tree serves (FUSE, by bindfs): who looks into it waits for that
// program.
#pragma once

#include <string>

namespace grab::test {

class ServedFolder {
 public:
  /// Whether there are bindfs, and a kernel and rights to mount what it serves.
  [[nodiscard]] static bool can_be();

  /// It is to have tracee_zoo in it, and `file`, a line "served".
  ServedFolder();
  /// Takes it away, whether it is served or not.
  ~ServedFolder();
  ServedFolder(const ServedFolder&) = delete;
  ServedFolder& operator=(const ServedFolder&) = delete;

  /// Words for sh: a child begins to serve it, and then they end. Nothing is answered from memory.
  [[nodiscard]] std::string begin() const;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string source_, path_;
};

}  // namespace grab::test
