// SPDX-License-Identifier: MIT
// What is to be moved: knows the old terminal, and with force_stdio the files of the named
// process's 0-2, and tells of any descriptor whether it leads there.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "proc/process_files.h"
#include "proc/snapshot.h"

namespace grab::proc {

/// The terminal that the descriptor leads to (also through /dev/tty), 0 if none. A ptmx is none.
[[nodiscard]] dev_t terminal_of(int fd);

/// "/dev/pts/3", or the like by the device number; empty where that does not tell.
[[nodiscard]] std::string terminal_path(dev_t device);

class OldTerminal {
 public:
  /// None, until identify().
  OldTerminal() = default;
  explicit OldTerminal(dev_t device) : device_(device) {}

  /// Finds out what `named`, of which `stat` is read, is to be moved off: its controlling terminal,
  /// if it has one. A named process that denies us its descriptors leaves only the controlling
  /// terminal.
  [[nodiscard]] Result<void> identify(ProcessFiles& named, const Stat& stat, bool force_stdio);

  /// Whether a descriptor with this stat(2) may have to be moved: only then a copy has to be taken.
  [[nodiscard]] bool may_be(const struct stat& st) const;

  /// Whether the descriptor of the process `of`, a copy of ours, is to be moved. `st` is its
  /// stat(2).
  [[nodiscard]] bool is_moved(int copy, const struct stat& st, const Stat& of) const;

  /// Takes what is to be moved as an example of the terminal, where there is none yet or no better.
  void learn(int copy, const struct stat& st);

  [[nodiscard]] dev_t device() const { return device_; }
  [[nodiscard]] std::string name() const;
  /// Our own descriptor of it, -1 if none; opens it as `named` would if no copy has been seen and
  /// what it would see is what we see.
  [[nodiscard]] int fd(ProcessFiles& named);
  [[nodiscard]] int fd() const { return copy_.get(); }

 private:
  struct Forced {
    UniqueFd copy;
    struct stat st;
    /// It is the same file; not, whether it is the same open file description.
    [[nodiscard]] bool is_file(const struct stat& other) const {
      return st.st_dev == other.st_dev && st.st_ino == other.st_ino;
    }
  };
  [[nodiscard]] bool is_terminal(int copy, const struct stat& st) const;

  dev_t device_ = 0;
  pid_t session_ = 0;  ///< whose controlling terminal it is, 0 if that is not known
  UniqueFd copy_;
  bool copy_is_direct_ = false;    ///< copy_ was opened by the terminal's own path
  std::optional<dev_t> instance_;  ///< the devpts that a pts is of
  std::string path_;               ///< where the device number does not tell it
  std::vector<Forced> forced_;
};

}  // namespace grab::proc
