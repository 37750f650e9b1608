// SPDX-License-Identifier: MIT
// Reads a tree of processes out of /proc into a Snapshot. It keeps /proc files open between
// readings, so that the second reading, with the whole tree stopped, is short. It traces nothing
// and writes nothing.
#pragma once

#include <sys/types.h>

#include <memory>
#include <vector>

#include "base/error.h"
#include "proc/snapshot.h"

namespace grab::proc {

class TreeReader {
 public:
  struct Options {
    bool force_stdio = false;  ///< move root's descriptors 0-2 whatever they are
    /// Whom an earlier move has parted from the named process; those of them that live are members.
    std::vector<ProcessId> also = {};
    /// The terminals that such a move may have left them on.
    std::vector<dev_t> also_from = {};
    /// What a move that was broken off had set out from; empty: the terminal of the named process,
    /// and the one that such a move has left others on.
    std::vector<dev_t> old_terminals = {};
    dev_t new_terminal = 0;  ///< and where it was going
  };
  struct Member {
    pid_t pid = 0;
    bool zombie = false;
    std::vector<pid_t> tids;  ///< live threads; empty for a zombie
  };

  /// Raises the soft RLIMIT_NOFILE to the hard one (files are kept open for each process).
  /// Errors: kGone if `named` is not there.
  [[nodiscard]] static Result<TreeReader> open(pid_t named, Options options);
  TreeReader(TreeReader&&) noexcept;
  TreeReader& operator=(TreeReader&&) noexcept;
  TreeReader(const TreeReader&) = delete;
  TreeReader& operator=(const TreeReader&) = delete;
  ~TreeReader();

  /// Brings the membership up to date: the named process; if its parent is not of its process
  /// group, every other member of that group; and all their descendants. Reads the children of
  /// every thread of every member, to a fixpoint, and drops members that have ended and were
  /// reaped. Whom it once found stays a member until then, also when its parent ends and it is
  /// reparented. Cheap: no details. Errors: kGone when the named process has been reaped.
  [[nodiscard]] Result<std::vector<Member>> scan();

  /// Makes a server that draws for the tree a member from the next scan() on; see Process::serves.
  [[nodiscard]] Result<void> add_server(pid_t pid);

  /// A scan() and every detail of every member. May be called while they run: what changes
  /// meanwhile may be torn between processes, and members that vanish are left out.
  [[nodiscard]] Result<Snapshot> read();

  /// The same value as read() would give, with every member stopped by the caller, in far less
  /// time: what cannot have changed, or is cheaply seen not to have, is taken from `before`. The
  /// membership is that of a scan() just before, if there was one.
  [[nodiscard]] Result<Snapshot> reread(const Snapshot& before);

  /// Our own copy of description `index` of the last snapshot, and of the old terminals; -1 if
  /// none. Borrowed: it lives as long as the reader. The copy shares the file status flags: never
  /// change them while the tree has them.
  [[nodiscard]] int description_fd(int index) const;
  [[nodiscard]] int old_terminal_fd() const;
  [[nodiscard]] int left_terminal_fd() const;
  /// Of the terminals that have one of Snapshot::earlier_ptmx_keepers; likewise.
  [[nodiscard]] std::vector<int> earlier_terminal_fds() const;

  /// /proc/PID/mem of a member, open for reading and writing and kept so; borrowed.
  /// An execve makes it stale: call forget() for that pid then.
  [[nodiscard]] Result<int> mem_fd(pid_t pid);

  /// Drops what is cached of a member whose program has changed (execve).
  void forget(pid_t pid);

 private:
  struct State;
  explicit TreeReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace grab::proc
