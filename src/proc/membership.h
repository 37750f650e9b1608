// SPDX-License-Identifier: MIT
// Which processes are of the tree: the named one; if its parent is not of its process group, every
// other member of that group; whom an earlier move has parted from them; and all their descendants.
// Who was once found stays, until it has been reaped: a descendant whose parent ends is reparented
// out of sight, but was started below.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "proc/census.h"
#include "proc/process_files.h"
#include "proc/snapshot.h"

namespace grab::proc {

/// A descriptor that is not moved, as it was when last looked at.
struct OtherFd {
  int fd = -1;
  dev_t device = 0;
  ino_t inode = 0;
  bool character_device = false;
  bool epoll = false;
  bool ring = false;       ///< an io_uring
  bool anonymous = false;  ///< an anon_inode: all of them have one and the same inode
  friend bool operator==(const OtherFd&, const OtherFd&) = default;
};

/// What was last read of a member, kept to make the next reading short.
struct Details {
  Process process;
  std::vector<std::uint64_t> classes;  ///< of each of process.moved_fds: see DescriptionClasses
  std::vector<std::uint64_t> inodes;   ///< of each of process.moved_fds
  std::vector<OtherFd> others;         ///< ascending; with moved_fds and O_PATH ones all open fds
  bool table_seen = false;             ///< process.fd_table_of has been found out
  bool execve_unseen = true;           ///< nothing kept would tell of an execve meanwhile
};

struct Node {
  Node(pid_t pid_of, FileBudget& budget) : pid(pid_of), files(pid_of, budget) {}
  pid_t pid;
  std::uint64_t start_time = 0;
  pid_t parent = 0;  ///< the member whose child it is, 0 if its parent is no member
  bool zombie = false;
  bool serves = false;      ///< see Process::serves
  std::vector<pid_t> tids;  ///< live ones
  std::size_t tasks = 0;    ///< threads that /proc lists, a main thread that has ended included
  ProcessFiles files;
  std::optional<Details> details;
};

class Membership {
 public:
  /// `also`: members from the first update() on, those of them that live. `children_files` false:
  /// as on a kernel without CONFIG_PROC_CHILDREN.
  Membership(pid_t named, FileBudget& budget, std::vector<ProcessId> also = {},
             bool children_files = true);

  /// Errors: kGone if the named process has been reaped.
  [[nodiscard]] Result<void> update();

  /// Makes a server that draws for the tree a member; what it has started is none. Before an
  /// update().
  [[nodiscard]] Result<void> add_server(pid_t pid);

  /// Parents before children, the named process as early as that allows. Valid until update().
  [[nodiscard]] const std::vector<Node*>& ordered() const { return ordered_; }
  [[nodiscard]] Node* find(pid_t pid) const;
  void erase(pid_t pid);

  /// Every process there is, as of the last update(), or as of now where update() had no use for
  /// it.
  [[nodiscard]] Result<const std::vector<CensusEntry>*> census();

 private:
  [[nodiscard]] Result<void> add(pid_t pid, bool* added);
  [[nodiscard]] Result<void> add_also();
  [[nodiscard]] Result<void> add_group(bool* added);
  [[nodiscard]] Result<void> add_children(bool* added);
  [[nodiscard]] Result<std::vector<pid_t>> children_of(Node& node);
  [[nodiscard]] Result<void> refresh_threads(Node& node);
  [[nodiscard]] Result<void> refresh_stat(Node& node);
  void poll_ends();
  void order();

  pid_t named_;
  std::vector<ProcessId> also_;
  FileBudget* budget_;
  bool children_files_;
  bool started_ = false;
  Census census_reader_;
  std::optional<std::vector<CensusEntry>> census_;
  std::unordered_map<pid_t, std::vector<pid_t>> children_by_ppid_;
  std::unordered_map<pid_t, std::unique_ptr<Node>> nodes_;
  std::vector<Node*> found_;  ///< in the order of finding
  std::vector<Node*> ordered_;
  std::string text_;
};

}  // namespace grab::proc
