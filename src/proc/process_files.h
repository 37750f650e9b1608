// SPDX-License-Identifier: MIT
// The files of one process in /proc, opened when first needed and kept open while there is room for
// descriptors; without room they are opened for each use. What is kept also is an identity: files
// of a process that has ended say so, even when its pid is another process's by now.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"

namespace grab::proc {

/// How many descriptors may be kept. Outlives every ProcessFiles that uses it. Several threads may
/// count in it.
class FileBudget {
 public:
  /// A budget for a limit of `nofile` descriptors in all.
  explicit FileBudget(std::size_t nofile);

  enum class Use { kQuick, kIdentity, kMemory };  ///< from the first to be given up to the last
  [[nodiscard]] bool has_room(Use use) const;
  void add() { kept_.fetch_add(1, std::memory_order_relaxed); }
  void remove() { kept_.fetch_sub(1, std::memory_order_relaxed); }

 private:
  std::size_t nofile_;
  std::atomic<std::size_t> kept_ = 0;
};

/// A kept descriptor, counted in a budget.
class KeptFd {
 public:
  KeptFd() = default;
  KeptFd(UniqueFd fd, FileBudget& budget) : fd_(std::move(fd)), budget_(&budget) { budget.add(); }
  KeptFd(KeptFd&& other) noexcept
      : fd_(std::move(other.fd_)), budget_(std::exchange(other.budget_, nullptr)) {}
  KeptFd& operator=(KeptFd&& other) noexcept;
  KeptFd(const KeptFd&) = delete;
  KeptFd& operator=(const KeptFd&) = delete;
  ~KeptFd() { drop(); }
  void drop();
  [[nodiscard]] int get() const { return fd_.get(); }
  [[nodiscard]] bool valid() const { return fd_.valid(); }

 private:
  UniqueFd fd_;
  FileBudget* budget_ = nullptr;
};

/// A descriptor to be used at once: a kept one, or one that is closed after use.
class UsableFd {
 public:
  explicit UsableFd(int kept) : fd_(kept) {}
  explicit UsableFd(UniqueFd own) : fd_(own.get()), own_(std::move(own)) {}
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
  UniqueFd own_;
};

/// Errors of all: from_errno of the call; kGone where the process or thread has ended.
class ProcessFiles {
 public:
  ProcessFiles(pid_t pid, FileBudget& budget) : pid_(pid), budget_(&budget) {}

  /// Stands for the process.
  [[nodiscard]] Result<UsableFd> pidfd();
  /// Stands for the thread whose descriptors are to be copied, the speaker. Errors: kSystem with
  /// EINVAL before Linux 6.9, where the main thread has ended.
  [[nodiscard]] Result<UsableFd> speaker_pidfd();
  [[nodiscard]] bool keeps_pidfd() const { return pidfd_.valid(); }
  [[nodiscard]] int kept_pidfd() const { return pidfd_.get(); }

  /// The thread whose files stand for the process's: the main one, unless it has ended before the
  /// others. Drops what is kept of the one before.
  void set_speaker(pid_t tid);
  /// "NAME", or "task/TID/NAME" where another thread than the main one is the speaker.
  [[nodiscard]] std::string path_of(const char* name) const;
  [[nodiscard]] pid_t speaker() const { return speaker_ == 0 ? pid_ : speaker_; }

  /// Reads /proc/PID/NAME whole ("stat", "cmdline", "ns/pid" ...). Not kept open.
  [[nodiscard]] Result<void> read(const char* name, std::string& out);
  [[nodiscard]] Result<void> read_status(std::string& out);
  [[nodiscard]] Result<void> read_children(pid_t tid, std::string& out);

  /// Every thread of the process, ascending; also a main thread that has ended before the others.
  [[nodiscard]] Result<std::vector<pid_t>> list_threads();
  [[nodiscard]] Result<std::size_t> count_threads();
  [[nodiscard]] Result<std::vector<int>> list_fds();
  /// How many descriptors are open, 0 where this kernel does not tell.
  [[nodiscard]] Result<std::size_t> count_fds();

  /// The directory /proc/PID, and /proc/PID/fd (of the speaker), for *at() calls.
  [[nodiscard]] Result<UsableFd> directory();
  [[nodiscard]] Result<UsableFd> fd_directory();

  /// /proc/PID/mem for reading and writing, kept. Errors: kSystem with EMFILE without room.
  [[nodiscard]] Result<int> memory();
  /// Whether the address space that memory() opened is no longer the process's (execve), or none is
  /// open.
  [[nodiscard]] bool memory_is_stale() const;
  void drop_memory() { mem_.drop(); }

  /// Keeps only the children files of these threads.
  void keep_threads(const std::vector<pid_t>& tids);
  /// Gives back what only saves time.
  void drop_quick();

 private:
  struct ThreadFile {
    pid_t tid;
    KeptFd children;
  };
  [[nodiscard]] Result<UsableFd> use(KeptFd& kept, FileBudget::Use use, const std::string& path,
                                     int flags);
  [[nodiscard]] Error error(int err, const std::string& path) const;

  pid_t pid_;
  pid_t speaker_ = 0;
  FileBudget* budget_;
  KeptFd pidfd_, directory_, status_, task_, fds_, mem_;
  std::vector<ThreadFile> threads_;
};

}  // namespace grab::proc
