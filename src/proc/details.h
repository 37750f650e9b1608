// SPDX-License-Identifier: MIT
// Reads the details of one member: in full, or, with it stopped, by checking what is known of it.
#pragma once

#include <sys/stat.h>

#include <string>

#include "base/error.h"
#include "proc/descriptions.h"
#include "proc/membership.h"
#include "proc/old_terminal.h"

namespace grab::proc {

/// What takes no look at descriptors: stat, status, command, namespaces, limits, program.
/// `process.readable` is false where the kernel denies something. Errors: kGone.
[[nodiscard]] Result<void> read_basics(ProcessFiles& files, Process& process);

/// Namespaces of the process, 0 where denied; *denied is set then.
[[nodiscard]] Namespaces read_namespaces(ProcessFiles& files, bool* denied);

class DetailsReader {
 public:
  DetailsReader(OldTerminal& old_terminal, OldTerminal& left_terminal, Descriptions& descriptions)
      : old_terminal_(&old_terminal),
        left_terminal_(&left_terminal),
        descriptions_(&descriptions) {}

  /// Fills node.details anew. Errors: kGone.
  [[nodiscard]] Result<void> read(Node& node);

  /// Checks what is known of the process, which must be stopped, and brings what is cheap to read
  /// up to date. False: something differs, and read() has to follow. Several threads may do this,
  /// each for other nodes. Errors: kGone.
  [[nodiscard]] Result<bool> refresh(Node& node) const;

 private:
  [[nodiscard]] bool may_be_moved(const struct stat& st) const;
  [[nodiscard]] bool is_moved(int copy, const struct stat& st, const Stat& of) const;
  [[nodiscard]] Result<void> read_live(Node& node, Details& details);
  [[nodiscard]] Result<void> read_descriptors(Node& node, Details& details);
  [[nodiscard]] Result<void> read_one(Node& node, int pidfd, int fd, Details& details);
  [[nodiscard]] Result<bool> same_descriptors(Node& node) const;
  [[nodiscard]] bool same_other(Node& node, int pidfd, const OtherFd& before) const;

  OldTerminal* old_terminal_;
  OldTerminal* left_terminal_;
  Descriptions* descriptions_;
};

}  // namespace grab::proc
