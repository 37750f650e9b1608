// SPDX-License-Identifier: MIT
#include "proc/watches.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <string>

#include "proc/kernel.h"

namespace grab::proc {
namespace {

/// One entry of an epoll set, and where it is found there.
struct Entry {
  int epoll_fd = -1;
  EpollTarget target;
  unsigned nth = 0;  ///< of those with the same number
};

class WatchesReader {
 public:
  WatchesReader(Node& node, Details& details, const Descriptions& descriptions)
      : node_(node), details_(details), process_(details.process), descriptions_(descriptions) {}

  Result<void> read_set(int epoll_fd) {
    Result<FdInfo> info = read_fdinfo(node_.files, epoll_fd);
    if (!info)
      return tolerate(info.error(), &process_.readable);
    std::map<int, unsigned> seen;
    for (const EpollTarget& target : info->epoll_targets) {
      const Entry entry{epoll_fd, target, seen[target.fd]++};
      const EpollWatch watch{epoll_fd, target.fd, target.events, target.data};
      const std::optional<std::size_t> moved = find_moved(target.fd);
      if (moved && watches(entry, *moved) != Order::kAfter)
        process_.epoll_watches.push_back(watch);
      else
        GRAB_CHECK(read_stale(entry, watch));
    }
    return {};
  }

 private:
  [[nodiscard]] std::optional<std::size_t> find_moved(int fd) const {
    const auto& moved = process_.moved_fds;
    const auto at = std::find_if(moved.begin(), moved.end(),
                                 [fd](const Descriptor& one) { return one.fd == fd; });
    if (at == moved.end())
      return std::nullopt;
    return static_cast<std::size_t>(at - moved.begin());
  }

  /// Whether the entry watches the description of moved descriptor `at`: kSame, kUnknown where the
  /// kernel does not say, else kAfter.
  [[nodiscard]] Order watches(const Entry& entry, std::size_t at) const {
    const Order order =
        compare_epoll_target(descriptions_.copy(details_.classes[at]), node_.files.speaker(),
                             entry.epoll_fd, entry.target.fd, entry.nth);
    return order == Order::kBefore ? Order::kAfter : order;
  }

  // Kernel: an entry stays, under its old number, when that number is closed but the description is
  // still open elsewhere; the number may be another file's by now. Source: epoll(7) Questions and
  // answers 6; seen.
  Result<void> read_stale(const Entry& entry, const EpollWatch& watch) {
    // The kernel looks through all of the set for each comparison, so only likely ones are made.
    // Where it does not say, what is likely is taken for true: else the program would see no keys.
    bool is_terminal = false;
    for (std::size_t at = 0; at < process_.moved_fds.size(); ++at) {
      const bool seen_before = at > 0 && details_.classes[at] == details_.classes[at - 1];
      if (seen_before || details_.inodes[at] != entry.target.inode)
        continue;
      is_terminal = true;
      if (watches(entry, at) == Order::kAfter)
        continue;
      StaleWatch stale{.watch = watch, .stands_for = process_.moved_fds[at].fd};
      if (!find_moved(watch.target_fd) && is_open(watch.target_fd))
        GRAB_CHECK(read_number_in_use(stale));
      process_.stale_watches.push_back(stale);
      return {};
    }
    // The terminal, by an open file that only other processes have a number of by now.
    if (is_terminal && !is_open(watch.target_fd))
      process_.stale_watches.push_back({.watch = watch});
    return {};
  }

  [[nodiscard]] bool is_open(int fd) const {
    return std::find(process_.open_fds.begin(), process_.open_fds.end(), fd) !=
           process_.open_fds.end();
  }

  Result<void> read_number_in_use(StaleWatch& stale) {
    stale.in_use = true;
    stale.locks = may_hold_record_lock(node_.pid);
    Result<FdInfo> info = read_fdinfo(node_.files, stale.watch.target_fd);
    if (!info)
      return tolerate(info.error(), &process_.readable);
    stale.close_on_exec = (info->flags & O_CLOEXEC) != 0;
    return {};
  }

  Node& node_;
  Details& details_;
  Process& process_;
  const Descriptions& descriptions_;
};

}  // namespace

Result<void> tolerate(const Error& error, bool* readable) {
  if (error.kind == ErrorKind::kPermission)
    *readable = false;
  if (error.kind == ErrorKind::kPermission || error.err == ENOENT)
    return {};
  return tl::unexpected(error);
}

Result<FdInfo> read_fdinfo(ProcessFiles& files, int fd) {
  std::string text;
  const std::string name =
      "task/" + std::to_string(files.speaker()) + "/fdinfo/" + std::to_string(fd);
  GRAB_CHECK(files.read(name.c_str(), text));
  return parse_fdinfo(text);
}

namespace {

Result<void> read_ring(ProcessFiles& files, int fd, Process& process) {
  std::string text;
  const std::string name =
      "task/" + std::to_string(files.speaker()) + "/fdinfo/" + std::to_string(fd);
  if (const Result<void> read = files.read(name.c_str(), text); !read)
    return tolerate(read.error(), &process.readable);
  if (may_wait_for_terminal(text))
    process.waiting_rings.push_back(fd);
  return {};
}

}  // namespace

Result<void> read_watches(Node& node, Details& details, const Descriptions& descriptions) {
  Process& process = details.process;
  process.epoll_watches.clear();
  process.stale_watches.clear();
  process.waiting_rings.clear();
  if (process.moved_fds.empty())
    return {};
  WatchesReader reader(node, details, descriptions);
  for (const OtherFd& other : details.others) {
    if (other.epoll)
      GRAB_CHECK(reader.read_set(other.fd));
    if (other.ring)
      GRAB_CHECK(read_ring(node.files, other.fd, process));
  }
  return {};
}

}  // namespace grab::proc
