// SPDX-License-Identifier: MIT
#include "proc/tree_reader.h"

#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>

#include "proc/descriptions.h"
#include "proc/details.h"
#include "proc/kernel.h"
#include "proc/membership.h"
#include "proc/old_terminal.h"
#include "proc/parse.h"
#include "proc/pid_numbers.h"
#include "proc/process_files.h"
#include "proc/surroundings.h"

namespace grab::proc {
namespace {

// Returns the limit that is in force then.
std::size_t raise_nofile_limit() {
  constexpr std::size_t kUsual = 1024;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return kUsual;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : before;
}

}  // namespace

struct TreeReader::State {
  enum class How { kInFull, kRefresh };

  State(pid_t named_pid, Options opts)
      : named(named_pid),
        options(std::move(opts)),
        budget(raise_nofile_limit()),
        members(named, budget, options.also) {}

  pid_t named;
  Options options;
  FileBudget budget;
  Membership members;
  OldTerminal old_terminal;
  OldTerminal left_terminal;
  std::vector<OldTerminal> earlier_terminals;  ///< of Snapshot::earlier_ptmx_keepers
  Descriptions descriptions;
  DetailsReader details{old_terminal, left_terminal, descriptions};
  bool scanned = false;  ///< the last call was a scan()

  Result<void> identify_terminals(How how, bool* changed);
  void use_given_terminals(bool* changed);
  dev_t terminal_left();
  dev_t earlier_terminal_of(Node& node) const;
  std::vector<Node*> refresh_members();
  Result<void> read_members(const std::vector<Node*>& nodes);
  Result<void> find_shared_tables();
  Result<void> read_foreground();
  void fill_processes(Snapshot& snapshot);
  Terminal terminal(const Snapshot& snapshot);
  std::optional<Process> parent(const Snapshot& snapshot) const;
  static void set_foreign_sets_apart(pid_t parent, Snapshot& snapshot);
  Result<void> fill_outsiders(Snapshot& snapshot);
  void find_keepers(Snapshot& snapshot);
  Result<Snapshot> snapshot(How how, const Snapshot* before);
};

namespace {

bool has_terminal(const Process& process, dev_t device) {
  return device != 0 && process.stat.tty == device;
}

}  // namespace

void TreeReader::State::use_given_terminals(bool* changed) {
  const std::vector<dev_t>& given = options.old_terminals;
  *changed = old_terminal.device() != given.front();
  if (!*changed)
    return;
  old_terminal = OldTerminal(given.front());
  left_terminal = OldTerminal(given.size() > 1 ? given[1] : 0);
}

// A terminal other than the named process's that a member has from a session which is not of the
// tree: a move that was broken off has left it there. (The terminals of sessions within the tree
// are the tree's own.) One that was moved as root's follower has no controlling terminal since
// then: of it the terminals tell that the tree has been on. 0 if there is none.
dev_t TreeReader::State::terminal_left() {
  std::string text;
  dev_t left = 0;
  for (Node* node : members.ordered()) {
    if (node->zombie || !node->files.read("stat", text))
      continue;
    const Result<Stat> stat = parse_stat(text);
    if (!stat)
      continue;
    if (stat->tty == 0 && left == 0)
      left = earlier_terminal_of(*node);
    if (stat->tty != 0 && stat->tty != old_terminal.device() && members.find(stat->sid) == nullptr)
      return stat->tty;
  }
  return left;
}

// One of options.also_from that it has open, but not the old terminal; 0 if there is none.
dev_t TreeReader::State::earlier_terminal_of(Node& node) const {
  const std::vector<dev_t>& earlier = options.also_from;
  if (earlier.empty())
    return 0;
  const Result<std::vector<int>> fds = node.files.list_fds();
  const Result<UsableFd> folder = node.files.fd_directory();
  if (!fds || !folder)
    return 0;
  for (const int fd : *fds) {
    struct stat st {};
    if (describe_at(folder->get(), std::to_string(fd).c_str(), st) == 0 && S_ISCHR(st.st_mode) &&
        st.st_rdev != old_terminal.device() &&
        std::find(earlier.begin(), earlier.end(), st.st_rdev) != earlier.end())
      return st.st_rdev;
  }
  return 0;
}

// Which terminals are old. *changed: others than at the last reading.
Result<void> TreeReader::State::identify_terminals(How how, bool* changed) {
  if (!options.old_terminals.empty()) {
    use_given_terminals(changed);
    return {};
  }
  Node& node = *members.find(named);
  std::string text;
  GRAB_CHECK(node.files.read("stat", text));
  GRAB_TRY(const Stat stat, parse_stat(text));
  OldTerminal fresh;
  if (!node.zombie)
    GRAB_CHECK(fresh.identify(node.files, stat, options.force_stdio));
  *changed = fresh.device() != old_terminal.device() || options.force_stdio;
  if (*changed)
    old_terminal = std::move(fresh);
  // Only one that was moved before can have parted from others of its tree.
  const bool may_have_parted = stat.sid == named || stat.tty == 0 || !options.also.empty();
  if (how == How::kInFull && may_have_parted) {
    if (const dev_t left = terminal_left(); left != left_terminal.device())
      left_terminal = OldTerminal(left);
  }
  return {};
}

// Those of which something differs from what is known.
std::vector<Node*> TreeReader::State::refresh_members() {
  const std::vector<Node*>& nodes = members.ordered();
  std::vector<char> unchanged(nodes.size(), 0);  // not bool: each is a thread's own memory
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < nodes.size(); i = next++) {
      const Result<bool> same = details.refresh(*nodes[i]);
      unchanged[i] = same && *same ? 1 : 0;  // an error comes again from read_members()
    }
  };
  // The tree stands still, so that its processors are free; nearly all of the time is spent in the
  // kernel, which does this side by side (seen: two threads take no more processor time than one).
  constexpr std::size_t kNodesPerThread = 64;  // 1-2 ms of work; a thread costs some 50 us
  constexpr std::size_t kMostThreads = 4;
  const std::size_t processors = std::max(1U, std::thread::hardware_concurrency());
  const std::size_t threads = std::min({processors, kMostThreads, nodes.size() / kNodesPerThread});
  std::vector<std::jthread> helpers;
  for (std::size_t i = 1; i < threads; ++i)
    helpers.emplace_back(work);
  work();
  helpers.clear();  // joins them

  std::vector<Node*> changed;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (unchanged[i] == 0)
      changed.push_back(nodes[i]);
  }
  return changed;
}

Result<void> TreeReader::State::read_members(const std::vector<Node*>& nodes) {
  for (Node* node : nodes) {
    Result<void> done = details.read(*node);
    if (done)
      continue;
    if (done.error().kind != ErrorKind::kGone || node->pid == named)
      return done;
    members.erase(node->pid);
  }
  return {};
}

// A process has its table in common with its parent, where it was made with CLONE_FILES, or, made
// with CLONE_PARENT as well, with the one that is its sibling then.
// Two that were taken for owners of a table each, and share one, would close in an undo what the
// other has of the move.
Result<void> TreeReader::State::find_shared_tables() {
  std::unordered_map<pid_t, const Node*> previous_sibling;
  for (Node* node : members.ordered()) {
    Process& process = node->details->process;
    // Kernel: a table is shared from clone(2) on or never, and can only be left. Source: clone(2)
    // CLONE_FILES, unshare(2), execve(2).
    const bool settled = node->details->table_seen && process.fd_table_of == node->pid;
    node->details->table_seen = true;
    process.fd_table_of = node->pid;
    if (node->zombie)
      continue;
    const Node*& sibling = previous_sibling[node->parent];
    const Node* const parent = node->parent == 0 ? nullptr : members.find(node->parent);
    for (const Node* other : {parent, sibling}) {
      const bool candidate = !settled && other != nullptr && !other->zombie && other->details &&
                             other->details->process.open_fds == process.open_fds;
      if (!candidate || process.open_fds.empty())
        continue;
      const Result<bool> same = same_fd_table(other->files.speaker(), node->files.speaker());
      if (!same && same.error().err != ESRCH)
        return tl::unexpected(same.error());
      if (same && *same) {
        process.fd_table_of = other->details->process.fd_table_of;
        break;
      }
    }
    sibling = node;
  }
  return {};
}

// The foreground group is the terminal's, not the process's: one look, the same for all.
Result<void> TreeReader::State::read_foreground() {
  std::optional<pid_t> foreground;
  std::string text;
  for (Node* node : members.ordered()) {
    Process& process = node->details->process;
    if (!has_terminal(process, old_terminal.device()))
      continue;
    if (!foreground) {
      if (!node->files.read("stat", text))
        continue;
      GRAB_TRY(const Stat stat, parse_stat(text));
      foreground = stat.tpgid;
    }
    process.stat.tpgid = *foreground;
  }
  return {};
}

void TreeReader::State::fill_processes(Snapshot& snapshot) {
  descriptions.start_numbering();
  snapshot.processes.reserve(members.ordered().size());
  for (Node* node : members.ordered()) {
    Process& process = node->details->process;
    for (std::size_t i = 0; i < process.moved_fds.size(); ++i)
      process.moved_fds[i].description = descriptions.index(node->details->classes[i]);
    snapshot.processes.push_back(process);
  }
  snapshot.descriptions = descriptions.finish_numbering();
}

Terminal TreeReader::State::terminal(const Snapshot& snapshot) {
  Terminal terminal;
  terminal.device = old_terminal.device();
  if (terminal.device == 0)
    return terminal;
  (void)old_terminal.fd(members.find(named)->files);  // -1: then there is no copy of it to have
  terminal.name = old_terminal.name();
  const auto it =
      std::find_if(snapshot.processes.begin(), snapshot.processes.end(),
                   [&terminal](const Process& p) { return has_terminal(p, terminal.device); });
  if (it != snapshot.processes.end()) {
    terminal.session = it->stat.sid;
    terminal.foreground_pgid = std::max(it->stat.tpgid, 0);
  }
  return terminal;
}

// Kernel: a child that was forked without execve(2) has the parent's epoll set, by the same number.
// Source: epoll(7); fork(2).
void TreeReader::State::set_foreign_sets_apart(pid_t parent, Snapshot& snapshot) {
  for (Process& process : snapshot.processes) {
    std::map<int, bool> foreign;
    const auto is_foreign = [&](int epoll_fd) {
      const auto [known, is_new] = foreign.try_emplace(epoll_fd, false);
      if (is_new)
        known->second =
            compare_descriptions(parent, epoll_fd, process.stat.pid, epoll_fd) == Order::kSame;
      return known->second;
    };
    std::erase_if(process.epoll_watches,
                  [&](const EpollWatch& watch) { return is_foreign(watch.epoll_fd); });
    std::erase_if(process.stale_watches,
                  [&](const StaleWatch& stale) { return is_foreign(stale.watch.epoll_fd); });
    process.foreign_sets.clear();
    for (const auto& [epoll_fd, is_one] : foreign) {
      if (is_one)
        process.foreign_sets.push_back(epoll_fd);
    }
  }
}

// The parent of the job: of the group's leader, where that one is of the tree (naming an orphan of
// a pipeline still finds the shell), else of the named process.
std::optional<Process> TreeReader::State::parent(const Snapshot& snapshot) const {
  const Process* const named_process = snapshot.find(named);
  if (named_process == nullptr)
    return std::nullopt;
  pid_t pid = named_process->stat.ppid;
  const Process* const leader = snapshot.find(named_process->stat.pgid);
  if (leader != nullptr && snapshot.find(leader->stat.ppid) == nullptr)
    pid = leader->stat.ppid;
  if (pid <= 0)
    return std::nullopt;
  Result<Process> process = read_outside_process(pid);
  return process ? std::optional(std::move(*process)) : std::nullopt;
}

static std::optional<Process> parent_of(const std::optional<Process>& process) {
  if (!process || process->stat.ppid <= 0)
    return std::nullopt;
  Result<Process> parent = read_outside_process(process->stat.ppid);
  return parent ? std::optional(std::move(*parent)) : std::nullopt;
}

Result<void> TreeReader::State::fill_outsiders(Snapshot& snapshot) {
  std::unordered_set<pid_t> groups;
  // Of its pid, too: a process can have left the group that it once led.
  for (const Process& process : snapshot.processes) {
    groups.insert(process.stat.pid);
    if (process.stat.pgid > 0)
      groups.insert(process.stat.pgid);
  }
  GRAB_TRY(const std::vector<CensusEntry>* all, members.census());
  for (const CensusEntry& entry : *all) {
    if (groups.contains(entry.pgid) && members.find(entry.pid) == nullptr)
      snapshot.outsiders.push_back({entry.pid, entry.pgid});
  }
  const Process* const named_process = snapshot.find(named);
  const pid_t sid = named_process == nullptr ? 0 : named_process->stat.sid;
  // The parent's group is as good as any, so that mostly nobody else's session is looked at.
  if (sid == 0 || (snapshot.parent && snapshot.parent->stat.sid == sid))
    return {};
  for (const CensusEntry& entry : *all) {
    if (entry.pgid > 0 && members.find(entry.pid) == nullptr && ::getsid(entry.pid) == sid)
      snapshot.session_pgids.push_back(entry.pgid);
  }
  return {};
}

// Opens the earlier terminals, too: their keepers must not see them close before they are told.
void TreeReader::State::find_keepers(Snapshot& snapshot) {
  const std::vector<pid_t> lineage = lineage_of(named);
  snapshot.old_ptmx_keepers = ptmx_keepers(snapshot.old_terminal.device, lineage);
  snapshot.parents_parent = parent_of(snapshot.parent);
  earlier_terminals.clear();
  for (const dev_t device : options.also_from) {
    const std::vector<pid_t> keepers = ptmx_keepers(device, lineage);
    snapshot.earlier_ptmx_keepers.insert(snapshot.earlier_ptmx_keepers.end(), keepers.begin(),
                                         keepers.end());
    if (!keepers.empty())
      (void)earlier_terminals.emplace_back(device).fd(members.find(named)->files);
  }
}

static void mark_contained(Snapshot& snapshot) {
  for (Process& process : snapshot.processes) {
    for (StaleWatch& stale : process.stale_watches)
      stale.of_contained = !may_take(process, snapshot.self);
  }
}

Result<Snapshot> TreeReader::State::snapshot(How how, const Snapshot* before) {
  const bool just_scanned = std::exchange(scanned, false);
  if (how == How::kInFull || !just_scanned)
    GRAB_CHECK(members.update());
  bool terminal_changed = false;
  GRAB_CHECK(identify_terminals(how, &terminal_changed));
  if (terminal_changed)
    how = How::kInFull;
  // A copy of the members, since reading erases those that have ended.
  const std::vector<Node*> to_read =
      how == How::kInFull ? std::vector(members.ordered()) : refresh_members();
  GRAB_CHECK(read_members(to_read));
  GRAB_CHECK(find_shared_tables());
  if (how == How::kRefresh)
    GRAB_CHECK(read_foreground());

  Snapshot snapshot;
  snapshot.named = named;
  snapshot.new_terminal = options.new_terminal;
  fill_processes(snapshot);
  snapshot.old_terminal = terminal(snapshot);
  if (left_terminal.device() != 0) {
    (void)left_terminal.fd(members.find(named)->files);
    snapshot.left_terminal.device = left_terminal.device();
    snapshot.left_terminal.name = left_terminal.name();
  }
  snapshot.parent = parent(snapshot);
  if (snapshot.parent)
    set_foreign_sets_apart(snapshot.parent->stat.pid, snapshot);
  GRAB_CHECK(fill_outsiders(snapshot));
  if (before != nullptr) {
    snapshot.self = before->self;
    snapshot.old_ptmx_keepers = before->old_ptmx_keepers;
    snapshot.earlier_ptmx_keepers = before->earlier_ptmx_keepers;
    snapshot.parents_parent = before->parents_parent;
    mark_contained(snapshot);
    return snapshot;
  }
  snapshot.self = read_self();
  mark_contained(snapshot);
  const Process* const named_process = snapshot.find(named);
  if (named_process != nullptr && named_process->stat.sid == named)
    find_keepers(snapshot);
  return snapshot;
}

TreeReader::TreeReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
TreeReader::TreeReader(TreeReader&&) noexcept = default;
TreeReader& TreeReader::operator=(TreeReader&&) noexcept = default;
TreeReader::~TreeReader() = default;

Result<TreeReader> TreeReader::open(pid_t named, Options options) {
  if (named <= 0)
    return fail_errno(ESRCH, "process " + std::to_string(named));
  auto state = std::make_unique<State>(named, std::move(options));
  GRAB_CHECK(state->members.update());
  return TreeReader(std::move(state));
}

Result<std::vector<TreeReader::Member>> TreeReader::scan() {
  GRAB_CHECK(state_->members.update());
  state_->scanned = true;
  std::vector<Member> members;
  members.reserve(state_->members.ordered().size());
  for (const Node* node : state_->members.ordered())
    members.push_back({node->pid, node->zombie, node->tids});
  return members;
}

Result<void> TreeReader::add_server(pid_t pid) {
  return state_->members.add_server(pid);
}

Result<Snapshot> TreeReader::read() {
  return state_->snapshot(State::How::kInFull, nullptr);
}

Result<Snapshot> TreeReader::reread(const Snapshot& before) {
  return state_->snapshot(State::How::kRefresh, &before);
}

int TreeReader::description_fd(int index) const {
  return state_->descriptions.numbered_copy(index);
}

int TreeReader::old_terminal_fd() const {
  return state_->old_terminal.fd();
}

int TreeReader::left_terminal_fd() const {
  return state_->left_terminal.fd();
}

std::vector<int> TreeReader::earlier_terminal_fds() const {
  std::vector<int> fds;
  for (const OldTerminal& terminal : state_->earlier_terminals)
    fds.push_back(terminal.fd());
  return fds;
}

Result<int> TreeReader::mem_fd(pid_t pid) {
  Node* const node = state_->members.find(pid);
  if (node == nullptr)
    return fail_errno(ESRCH, "process " + std::to_string(pid));
  Result<int> memory = node->files.memory();
  if (!memory && memory.error().err == EMFILE) {
    for (Node* other : state_->members.ordered())
      other->files.drop_quick();
    memory = node->files.memory();
  }
  return memory;
}

void TreeReader::forget(pid_t pid) {
  Node* const node = state_->members.find(pid);
  if (node == nullptr)
    return;
  node->files.drop_memory();
  node->details.reset();
}

}  // namespace grab::proc
