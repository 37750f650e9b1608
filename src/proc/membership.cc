// SPDX-License-Identifier: MIT
#include "proc/membership.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "proc/kernel.h"
#include "proc/parse.h"

namespace grab::proc {
namespace {

bool is_gone(const Error& error) {
  return error.kind == ErrorKind::kGone;
}

// What a member that has vanished fails with is no failure.
Result<void> unless_gone(const Error& error) {
  if (is_gone(error))
    return {};
  return tl::unexpected(error);
}

bool thread_lives(pid_t pid, pid_t tid) {
  return ::syscall(SYS_tgkill, pid, tid, 0) == 0 || errno != ESRCH;
}

}  // namespace

Membership::Membership(pid_t named, FileBudget& budget, std::vector<ProcessId> also,
                       bool children_files)
    : named_(named), also_(std::move(also)), budget_(&budget), children_files_(children_files) {}

Node* Membership::find(pid_t pid) const {
  const auto it = nodes_.find(pid);
  return it == nodes_.end() ? nullptr : it->second.get();
}

void Membership::erase(pid_t pid) {
  const Node* const node = find(pid);
  std::erase(found_, node);
  std::erase(ordered_, node);
  nodes_.erase(pid);
}

Result<void> Membership::add_server(pid_t pid) {
  bool added = false;
  GRAB_CHECK(add(pid, &added));
  if (Node* const server = find(pid); server != nullptr)
    server->serves = true;
  return {};
}

Result<const std::vector<CensusEntry>*> Membership::census() {
  if (!census_) {
    GRAB_TRY(census_, census_reader_.take());
  }
  return &*census_;
}

Result<void> Membership::update() {
  census_.reset();
  children_by_ppid_.clear();
  poll_ends();
  bool added = false;
  if (!std::exchange(started_, true)) {
    GRAB_CHECK(add(named_, &added));
    GRAB_CHECK(add_also());
  }
  if (find(named_) == nullptr)
    return fail_errno(ESRCH, "process " + std::to_string(named_));
  GRAB_CHECK(add_group(&added));
  for (Node* node : found_)
    node->parent = 0;
  // Each pass finds what was started behind the back of the one before; a tree that starts
  // processes faster than that cannot be caught by reading, only by stopping it.
  constexpr int kPasses = 8;
  for (int pass = 0; pass < kPasses; ++pass) {
    added = false;
    GRAB_CHECK(add_children(&added));
    if (!added)
      break;
  }
  poll_ends();
  order();
  return {};
}

// Marks the zombies, and drops those that have been reaped.
void Membership::poll_ends() {
  std::vector<pollfd> polls;
  std::vector<Node*> polled;
  std::vector<pid_t> gone;
  for (Node* node : found_) {
    if (node->files.keeps_pidfd()) {
      polls.push_back({node->files.kept_pidfd(), POLLIN, 0});
      polled.push_back(node);
    } else if (!refresh_stat(*node)) {
      gone.push_back(node->pid);
    }
  }
  // Kernel: a pidfd is readable when every thread of its process has ended, which is when the
  // process is a zombie or has been reaped. Source: pidfd_open(2).
  (void)::poll(polls.data(), polls.size(), 0);  // a failure leaves all revents 0: none is a zombie
  for (std::size_t i = 0; i < polls.size(); ++i) {
    polled[i]->zombie = polls[i].revents != 0;
    if (polled[i]->zombie && is_reaped(polls[i].fd))
      gone.push_back(polled[i]->pid);
  }
  for (Node* node : found_) {
    if (node->zombie)
      node->tids.clear();
  }
  for (const pid_t pid : gone)
    erase(pid);
}

Result<void> Membership::add(pid_t pid, bool* added) {
  auto node = std::make_unique<Node>(pid, *budget_);
  // The pidfd is opened between the directory and the first file read through that directory, so
  // that all of them are of one process even if the pid is being reused.
  const auto refresh = [&]() -> Result<void> {
    GRAB_CHECK(node->files.directory());
    GRAB_CHECK(node->files.pidfd());
    GRAB_CHECK(refresh_stat(*node));
    return refresh_threads(*node);
  };
  if (Result<void> done = refresh(); !done)
    return unless_gone(done.error());
  found_.push_back(node.get());
  nodes_.emplace(pid, std::move(node));
  *added = true;
  return {};
}

Result<void> Membership::add_also() {
  for (const ProcessId& process : also_) {
    bool added = false;
    if (find(process.pid) == nullptr)
      GRAB_CHECK(add(process.pid, &added));
    if (added && find(process.pid)->start_time != process.start_time)
      erase(process.pid);
  }
  return {};
}

Result<void> Membership::add_group(bool* added) {
  const pid_t pgid = ::getpgid(named_);
  GRAB_CHECK(find(named_)->files.read("stat", text_));
  GRAB_TRY(const Stat stat, parse_stat(text_));
  // Kernel: group 0 is that of the kernel threads, and also what is shown of a group that our pid
  // namespace does not see; neither is a job. Source: getpgid(2), pid_namespaces(7).
  const bool in_parents_group = stat.ppid != 0 && ::getpgid(stat.ppid) == pgid;
  if (pgid <= 0 || in_parents_group || (stat.flags & kKernelThread) != 0)
    return {};
  GRAB_TRY(const std::vector<CensusEntry>* all, census());
  for (const CensusEntry& entry : *all) {
    if (entry.pgid == pgid && find(entry.pid) == nullptr)
      GRAB_CHECK(add(entry.pid, added));
  }
  return {};
}

Result<void> Membership::refresh_stat(Node& node) {
  GRAB_CHECK(node.files.read("stat", text_));
  GRAB_TRY(const Stat stat, parse_stat(text_));
  if (node.start_time != 0 && node.start_time != stat.start_time)
    return fail_errno(ESRCH, "process " + std::to_string(node.pid));
  node.start_time = stat.start_time;
  node.zombie = (stat.state == 'Z' || stat.state == 'X') && stat.num_threads <= 1;
  return {};
}

Result<void> Membership::refresh_threads(Node& node) {
  if (node.zombie) {
    node.tids.clear();
    return {};
  }
  GRAB_TRY(const std::size_t tasks, node.files.count_threads());
  if (tasks == 1) {  // the main thread is listed as long as there is any
    node.tasks = 1;
    node.tids = {node.pid};
    node.files.set_speaker(node.pid);
    return {};
  }
  const bool unchanged = tasks == node.tasks &&
                         std::all_of(node.tids.begin(), node.tids.end(),
                                     [&node](pid_t tid) { return thread_lives(node.pid, tid); });
  if (!unchanged) {
    GRAB_TRY(node.tids, node.files.list_threads());
    std::stable_partition(node.tids.begin(), node.tids.end(),
                          [&node](pid_t tid) { return tid == node.pid; });
    node.tasks = node.tids.size();
  }
  // Kernel: a main thread that has ended before the others stays a zombie and is listed; it has no
  // descriptors, children or memory any more, so that another thread has to speak for the process.
  // Source: pthread_exit(3) NOTES, proc_pid_task(5).
  GRAB_CHECK(node.files.read("stat", text_));
  GRAB_TRY(const Stat stat, parse_stat(text_));
  if (stat.state == 'Z' || stat.state == 'X')
    std::erase(node.tids, node.pid);
  node.files.set_speaker(node.tids.empty() ? node.pid : node.tids.front());
  node.files.keep_threads(node.tids);
  return {};
}

Result<std::vector<pid_t>> Membership::children_of(Node& node) {
  std::vector<pid_t> children;
  for (const pid_t tid : node.tids) {
    if (!children_files_)
      break;
    if (Result<void> read = node.files.read_children(tid, text_); !read) {
      // Kernel: without CONFIG_PROC_CHILDREN there is no such file beside a "stat" that there is.
      if (read.error().err == ENOENT && thread_lives(node.pid, tid))
        children_files_ = false;
      else
        GRAB_CHECK(unless_gone(read.error()));
      continue;
    }
    GRAB_TRY(const std::vector<pid_t> more, parse_children(text_));
    children.insert(children.end(), more.begin(), more.end());
  }
  if (!children_files_) {
    if (children_by_ppid_.empty()) {
      GRAB_TRY(children_by_ppid_, census_reader_.children());
    }
    children = children_by_ppid_[node.pid];
  }
  return children;
}

Result<void> Membership::add_children(bool* added) {
  children_by_ppid_.clear();
  for (std::size_t i = 0; i < found_.size(); ++i) {  // found_ grows meanwhile
    Node& node = *found_[i];
    if (Result<void> threads = refresh_threads(node); !threads) {
      GRAB_CHECK(unless_gone(threads.error()));
      continue;
    }
    if (node.serves)
      continue;
    GRAB_TRY(const std::vector<pid_t> children, children_of(node));
    for (const pid_t child : children) {
      if (find(child) == nullptr)
        GRAB_CHECK(add(child, added));
      if (Node* const found = find(child); found != nullptr)
        found->parent = node.pid;
    }
  }
  return {};
}

void Membership::order() {
  std::unordered_map<pid_t, std::vector<Node*>> children;
  std::vector<Node*> stack;
  for (Node* node : found_) {
    Node* const parent = node->parent == 0 ? nullptr : find(node->parent);
    (parent == nullptr ? stack : children[node->parent]).push_back(node);
  }
  // A stack: the last is the next. So the named process goes to the end, the others by falling pid.
  const auto later = [this](const Node* a, const Node* b) {
    return std::pair(a->pid != named_, a->pid) > std::pair(b->pid != named_, b->pid);
  };
  std::sort(stack.begin(), stack.end(), later);
  ordered_.clear();
  while (!stack.empty()) {
    Node* const node = stack.back();
    stack.pop_back();
    ordered_.push_back(node);
    auto& own = children[node->pid];
    std::sort(own.begin(), own.end(), later);
    stack.insert(stack.end(), own.begin(), own.end());
  }
}

}  // namespace grab::proc
