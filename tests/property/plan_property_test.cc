// SPDX-License-Identifier: MIT
// For any tree: its move is refused with a sentence, or the batches of its plan, run on a model of
// the kernel in any order that the tracer may run them in, succeed call by call and end as
// promised; and a failure at any call of prepare is undone without a trace. Trees are made by
// programs that the model allows, so they are ones that the kernel can show.
#include <fcntl.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "property/plan_kernel_model.h"
#include "tracer/batch_table.h"
#include "tracer/lent_numbers.h"
#include "tracer/plan.h"

namespace grab::tracer {
namespace {
namespace model = test::model;
using model::Kernel;

/// As RC_GTEST_PROP, with more cases: none needs a process, and some mistakes are rare.
void check_often(void (*property)()) {
  constexpr int kCases = 10000;  // 0.3-1 s
  const auto* const info = testing::UnitTest::GetInstance()->current_test_info();
  rc::detail::TestMetadata metadata;
  metadata.id = std::string(info->test_suite_name()) + "/" + info->name();
  metadata.description = info->name();
  const rc::detail::Configuration& configuration = rc::detail::configuration();
  rc::detail::TestParams params = configuration.testParams;
  params.maxSuccess = std::max(params.maxSuccess, kCases);
  const bool replays = configuration.reproduce.contains(metadata.id);
  const rc::detail::TestResult result = replays
                                            ? rc::detail::checkTestable(property, metadata)
                                            : rc::detail::checkTestable(property, metadata, params);
  std::ostringstream text;
  rc::detail::printResultMessage(result, text);
  ASSERT_TRUE(result.is<rc::detail::SuccessResult>()) << text.str();
}

/// What one process does next: the kind, who, and two choices.
using Action = std::tuple<unsigned, unsigned, unsigned, unsigned>;

enum class Kind : unsigned {
  kFork,
  kForkSharing,
  kOwnGroup,
  kJoinGroup,
  kNewSession,
  kDropTerminal,
  kTakeTerminal,
  kForeground,
  kExit,
  kReap,
  kOpenTerminal,
  kDuplicate,
  kDuplicateTo,
  kClose,
  kFlags,
  kWatch,
  kStop,
  kCatch,
  kLimit,
  kCount,
};

std::vector<pid_t> actors(const Kernel& kernel) {
  std::vector<pid_t> pids;
  for (const auto& [pid, task] : kernel.tasks()) {
    if (!task.zombie && (pid == model::kShell || pid >= model::kFirstPid))
      pids.push_back(pid);
  }
  return pids;
}

int some_fd(const Kernel& kernel, pid_t pid, unsigned choice) {
  const model::Table& table = kernel.table(pid);
  if (table.empty())
    return -1;
  return std::next(table.begin(), static_cast<long>(choice % table.size()))->first;
}

void act_on_files(Kernel& kernel, Kind kind, pid_t pid, unsigned a, unsigned b) {
  const int fd = some_fd(kernel, pid, a);
  switch (kind) {
    case Kind::kOpenTerminal: {
      constexpr int kFlags[] = {O_RDWR, O_RDONLY, O_WRONLY, O_RDWR | O_NONBLOCK,
                                O_WRONLY | O_APPEND};
      const int terminal = a % 4 == 3   ? 0
                           : a % 4 == 2 ? model::kOtherTerminal
                                        : model::kOldTerminal;
      const auto file_kind = terminal == 0 ? model::FileKind::kOther : model::FileKind::kTerminal;
      kernel.open(pid, {file_kind, terminal, 0, kFlags[b % 5], {}}, b % 2 == 0);
      return;
    }
    case Kind::kDuplicate:
      kernel.duplicate(pid, fd, static_cast<int>(b % 12), a % 2 == 0);
      return;
    case Kind::kDuplicateTo:
      kernel.duplicate_to(pid, fd, static_cast<int>(b % 12), a % 3 == 0);
      return;
    case Kind::kClose:
      kernel.close(pid, fd);
      return;
    case Kind::kFlags:
      if (fd >= 0)
        kernel.file(kernel.table(pid).at(fd).file).flags ^= b % 2 == 0 ? O_NONBLOCK : O_APPEND;
      return;
    case Kind::kWatch: {
      int set = -1;
      for (const auto& [number, entry] : kernel.table(pid)) {
        if (kernel.file(entry.file).kind == model::FileKind::kEpoll)
          set = number;
      }
      if (set < 0)
        set = kernel.open(pid, {model::FileKind::kEpoll, 0, 0, O_RDWR, {}}, true);
      kernel.watch(pid, set, fd, {1U + b % 7U, b * 1'000'000'007ULL});
      return;
    }
    default:
      return;
  }
}

void act(Kernel& kernel, const Action& action) {
  const auto [number, who, a, b] = action;
  const auto kind = static_cast<Kind>(number);
  const std::vector<pid_t> pids = actors(kernel);
  const pid_t pid = pids.at(who % pids.size());
  const pid_t other = pids.at(a % pids.size());
  model::Task& task = kernel.task(pid);
  constexpr std::size_t kMost = 14;  // tasks; more find nothing that these do not
  switch (kind) {
    case Kind::kFork:
    case Kind::kForkSharing:
      if (pids.size() < kMost)
        kernel.fork(pid, kind == Kind::kForkSharing);
      return;
    case Kind::kOwnGroup:
      kernel.setpgid(pid, pid, pid);
      return;
    case Kind::kJoinGroup:
      kernel.setpgid(pid, b % 2 == 0 ? pid : other, kernel.task(other).pgid);
      return;
    case Kind::kNewSession:
      kernel.setsid(pid);
      return;
    case Kind::kDropTerminal:
      kernel.drop_terminal(pid, task.tty);
      return;
    case Kind::kTakeTerminal:
      kernel.take_terminal(pid, a % 2 == 0 ? model::kOtherTerminal : model::kOldTerminal);
      return;
    case Kind::kForeground:
      kernel.set_foreground(pid, task.tty, kernel.task(other).pgid);
      return;
    case Kind::kExit:
      if (pids.size() > 1)
        kernel.exit(pid);
      return;
    case Kind::kReap:
      for (const auto& [zombie, entry] : kernel.tasks()) {
        if (entry.zombie && (entry.ppid == pid || entry.ppid == model::kInit)) {
          kernel.reap(zombie);
          return;
        }
      }
      return;
    case Kind::kStop:
      task.stopped = !task.stopped;
      return;
    case Kind::kCatch:
      (a % 2 == 0 ? task.caught : task.ignored).bits ^=
          1ULL << static_cast<unsigned>((b % 2 == 0 ? SIGTSTP : SIGTTOU) - 1);
      return;
    case Kind::kLimit:
      task.nofile_limit = b % 4 == 0 ? 8 + b % 16 : 1024;
      return;
    default:
      act_on_files(kernel, kind, pid, a, b);
  }
}

rc::Gen<std::vector<Action>> any_history() {
  const auto kind = rc::gen::weightedOneOf<unsigned>(
      {{5, rc::gen::just(static_cast<unsigned>(Kind::kFork))},
       {12, rc::gen::inRange(0U, static_cast<unsigned>(Kind::kCount))}});
  const auto choice = rc::gen::inRange(0U, 64U);
  return rc::gen::scale(
      0.6, rc::gen::container<std::vector<Action>>(rc::gen::tuple(kind, choice, choice, choice)));
}

struct Scene {
  Kernel kernel;
  proc::Snapshot snapshot;
  MoveOptions options;
};

/// Makes some processes another user's, which --partial leaves where they are.
void give_away(Scene& scene) {
  std::set<pid_t> shared;
  for (const proc::Process& process : scene.snapshot.processes) {
    if (process.fd_table_of != process.stat.pid)
      shared.insert({process.fd_table_of, process.stat.pid});
  }
  for (proc::Process& process : scene.snapshot.processes) {
    const bool may_be = !process.is_zombie() && process.stat.pid != scene.snapshot.named &&
                        shared.count(process.stat.pid) == 0;
    if (!may_be || *rc::gen::inRange(0, 4).as("another user's") != 0)
      continue;
    process.status.uid.real = scene.snapshot.self.euid + 1;
    process.readable = false;
    process.moved_fds.clear();
    process.epoll_watches.clear();
  }
}

Scene any_scene() {
  Scene scene;
  for (const Action& action : *any_history().as("history"))
    act(scene.kernel, action);
  std::vector<pid_t> pids;
  for (const auto& [pid, task] : scene.kernel.tasks()) {
    if (pid == model::kShell || pid >= model::kFirstPid)
      pids.push_back(pid);
  }
  const pid_t named = pids.at(*rc::gen::inRange<std::size_t>(0, 64).as("named") % pids.size());
  scene.options.whole_tree = *rc::gen::weightedElement<bool>({{7, true}, {1, false}}).as("tree");
  scene.options.keep_session =
      *rc::gen::weightedElement<bool>({{7, false}, {1, true}}).as("keep session");
  scene.options.force_stdio =
      *rc::gen::weightedElement<bool>({{7, false}, {1, true}}).as("force stdio");
  scene.snapshot = scene.kernel.snapshot(named, scene.options.force_stdio);
  scene.options.partial = scene.options.whole_tree &&
                          *rc::gen::weightedElement<bool>({{5, false}, {1, true}}).as("partial");
  if (scene.options.partial)
    give_away(scene);
  return scene;
}

/// A batch under way in the model.
struct Run {
  const ProcessPlan* plan = nullptr;
  BatchTable batch;
  bool after_earlier = false;  ///< starts when all before it have prepared
  std::size_t at = 0;
  std::size_t stop = 0;
};

/// The tracer, with the model in the place of the kernel.
class Executor {
 public:
  Executor(Kernel& kernel, const Scene& scene, const MovePlan& plan) : kernel_(kernel) {
    Donor donor;
    donor.pid = model::kTracer;
    const int device = static_cast<int>(scene.snapshot.old_terminal.device);
    donor.new_terminal_fd = open_donor(model::kNewTerminal, O_RDWR);
    donor.old_terminal_fd = device == 0 ? -1 : open_donor(device, O_RDWR);
    for (const proc::Description& description : scene.snapshot.descriptions)
      donor.new_fds.push_back(open_donor(model::kNewTerminal, description.flags));
    LentNumbers lent;
    for (const ProcessPlan& process_plan : plan.processes) {
      if (process_plan.prepare.empty() && process_plan.commit.empty())
        continue;
      TableRequest request;
      request.plan = &process_plan;
      request.process = scene.snapshot.find(process_plan.pid);
      request.donor = donor;
      request.tid = process_plan.pid;
      request.lent = lent.of(*request.process);
      Run run{&process_plan, make_batch_table(request), false, 0, 0};
      run.after_earlier = lent.keep(*request.process, run.batch.kept) || runs_.size() == 1;
      if (process_plan.pid == plan.root)
        root_ = runs_.size();
      runs_.push_back(std::move(run));
    }
  }

  /// Prepares as the tracer does, stopping the call with that number, counted over all, as if it
  /// had failed. Whether all was prepared.
  bool prepare(std::optional<std::size_t> failing_call) {
    std::size_t done = 0;
    std::vector<std::size_t> running;
    std::size_t next = 0;
    bool failed = false;
    while (next < runs_.size() || !running.empty()) {
      const bool may_start =
          next < runs_.size() && !failed && (!runs_[next].after_earlier || running.empty());
      if (may_start && (running.empty() || pick(2) == 0)) {
        runs_[next].at = runs_[next].batch.prepare;
        runs_[next].stop = runs_[next].batch.first_stop;
        running.push_back(next++);
        started_ = next;
        continue;
      }
      if (running.empty())
        break;
      const std::size_t chosen = pick(running.size());
      Run& run = runs_[running[chosen]];
      if (run.at != run.stop && done++ == failing_call) {
        failed = true;
        run.at = run.stop;
      }
      if (run.at == run.stop) {
        running.erase(running.begin() + static_cast<long>(chosen));
        continue;
      }
      step(run, true);
    }
    calls_ = done;
    return !failed;
  }

  void undo() {
    for (std::size_t i = started_; i-- > 0;) {
      for (std::size_t at = runs_[i].batch.undo; at < runs_[i].batch.undo_stop; at++)
        (void)make(runs_[i], at);
    }
  }

  void commit() {
    std::vector<std::size_t> running;
    for (std::size_t i = 0; i < runs_.size(); i++) {
      runs_[i].at = runs_[i].batch.commit;
      if (i != root_)
        running.push_back(i);
    }
    if (root_) {
      while (!is_stop(runs_[*root_]))
        step(runs_[*root_], true);
    }
    while (!running.empty()) {
      const std::size_t chosen = pick(running.size());
      Run& run = runs_[running[chosen]];
      if (is_stop(run))
        running.erase(running.begin() + static_cast<long>(chosen));
      else
        step(run, true);
    }
  }

  void close_donor() {
    const model::Table table = kernel_.table(model::kTracer);
    for (const auto& [fd, entry] : table)
      kernel_.close(model::kTracer, fd);
  }

  [[nodiscard]] std::size_t calls() const { return calls_; }
  [[nodiscard]] const std::vector<Run>& runs() const { return runs_; }

 private:
  int open_donor(int terminal, int flags) {
    return kernel_.open(model::kTracer, {model::FileKind::kTerminal, terminal, 0, flags, {}}, true);
  }

  static bool is_stop(const Run& run) { return run.batch.names.at(run.at).text() == "stop"; }

  std::int64_t make(const Run& run, std::size_t at) {
    return kernel_.call(run.plan->pid, run.batch.table.calls.at(at), run.batch.table.data);
  }

  void step(Run& run, bool must_succeed) {
    const arch::Call& call = run.batch.table.calls.at(run.at);
    const std::int64_t result = make(run, run.at);
    const bool good =
        call.any_result || result == call.expected || (call.zero_will_do && result == 0);
    if (must_succeed && !good) {
      RC_FAIL(run.batch.names.at(run.at).text() + " in " + std::to_string(run.plan->pid) +
              " gave " + std::to_string(result) + " and not " + std::to_string(call.expected) +
              "\n" + kernel_.show());
    }
    run.at++;
  }

  // The order in which the kernel happens to run them.
  static std::size_t pick(std::size_t count) {
    return count == 1 ? 0 : *rc::gen::inRange<std::size_t>(0, count).as("next");
  }

  Kernel& kernel_;
  std::vector<Run> runs_;
  std::optional<std::size_t> root_;
  std::size_t started_ = 0;
  std::size_t calls_ = 0;
};

std::optional<MovePlan> plan_or_check_refusal(const Scene& scene) {
  Result<MovePlan> plan = plan_move(scene.snapshot, scene.options);
  if (plan)
    return std::move(*plan);
  const Error& error = plan.error();
  RC_ASSERT(error.what.size() > 10);
  RC_ASSERT(error.kind == ErrorKind::kRefused || error.kind == ErrorKind::kUnsupported ||
            error.kind == ErrorKind::kPermission);
  RC_ASSERT(!error.message().ends_with('.'));
  return std::nullopt;
}

void every_process_has_one_part() {
  const Scene scene = any_scene();
  const std::optional<MovePlan> plan = plan_or_check_refusal(scene);
  RC_PRE(plan.has_value());
  std::set<pid_t> seen;
  for (const ProcessPlan& part : plan->processes) {
    RC_ASSERT(seen.insert(part.pid).second);
    const proc::Process* const process = scene.snapshot.find(part.pid);
    RC_ASSERT(process != nullptr);
    RC_ASSERT((part.role == Role::kZombie) == process->is_zombie());
    RC_ASSERT((part.role == Role::kRoot) == (part.pid == plan->root));
    if (part.role == Role::kZombie || part.role == Role::kUntouched || part.role == Role::kLeft)
      RC_ASSERT(part.prepare.empty() && part.commit.empty());
  }
  RC_ASSERT(seen.size() == scene.snapshot.processes.size());
  RC_ASSERT(plan->processes.back().pid == plan->root);
  const ProcessPlan* const status = plan->find(plan->status_pid);
  RC_ASSERT(status != nullptr && status->role != Role::kZombie);
  for (const pid_t pid : plan->tell.children)
    RC_ASSERT(scene.kernel.task(pid).ppid == plan->tell.shell);
  for (const auto* const list : {&plan->continue_after, &plan->leave_screen, &plan->redraw}) {
    for (const pid_t pid : *list)
      RC_ASSERT(plan->find(pid) != nullptr && plan->find(pid)->role != Role::kLeft &&
                !scene.kernel.task(pid).zombie);
  }
  for (const pid_t pid : plan->continue_after)
    RC_ASSERT(scene.kernel.task(pid).stopped);
}

void a_failure_is_undone() {
  const Scene scene = any_scene();
  const std::optional<MovePlan> plan = plan_or_check_refusal(scene);
  RC_PRE(plan.has_value());
  Kernel kernel = scene.kernel;
  Executor executor(kernel, scene, *plan);
  const auto failing = *rc::gen::inRange<std::size_t>(0, 60).as("failing call");
  (void)executor.prepare(failing);
  executor.undo();
  executor.close_donor();
  if (!kernel.same_as(scene.kernel))
    RC_FAIL("before\n" + scene.kernel.show() + "after\n" + kernel.show());
}

void check_descriptors(const Scene& scene, const MovePlan& plan, const Kernel& after) {
  std::map<int, int> successors;  // of files, which shows that sharing is kept
  std::set<int> taken;
  for (const auto& [pid, task] : scene.kernel.tasks()) {
    if (task.zombie || pid == model::kTracer)
      continue;
    const proc::Process* const process = scene.snapshot.find(pid);
    const ProcessPlan* const part = plan.find(pid);
    const bool moved = part != nullptr && part->role != Role::kLeft &&
                       (scene.options.whole_tree || pid == plan.root);
    const model::Table& old_table = scene.kernel.table(pid);
    const model::Table& new_table = after.table(pid);
    RC_ASSERT(old_table.size() == new_table.size());
    std::set<int> moved_fds;
    for (std::size_t i = 0; moved && i < process->moved_fds.size(); i++)
      moved_fds.insert(process->moved_fds[i].fd);
    for (const auto& [fd, before] : old_table) {
      const auto now = new_table.find(fd);
      RC_ASSERT(now != new_table.end());
      RC_ASSERT(now->second.close_on_exec == before.close_on_exec);
      if (!moved_fds.contains(fd)) {
        // Only one who shares its table with the tree can see a descriptor move that is not its
        // own.
        RC_ASSERT(now->second.file == before.file || part == nullptr || !moved);
        continue;
      }
      const model::File& file = after.file(now->second.file);
      RC_ASSERT(file.terminal == model::kNewTerminal);
      RC_ASSERT(file.flags == scene.kernel.file(before.file).flags);
      const auto [successor, first] = successors.try_emplace(before.file, now->second.file);
      RC_ASSERT(successor->second == now->second.file);
      RC_ASSERT(!first || taken.insert(now->second.file).second);
    }
    for (std::size_t i = 0; moved && i < process->epoll_watches.size(); i++) {
      const proc::EpollWatch& watch = process->epoll_watches[i];
      if (moved_fds.contains(watch.epoll_fd))
        continue;  // with --force-stdio the set itself was one of 0-2
      const auto& watches = after.file(new_table.at(watch.epoll_fd).file).watches;
      const auto found = watches.find({watch.target_fd, new_table.at(watch.target_fd).file});
      RC_ASSERT(found != watches.end());
      RC_ASSERT(found->second == (model::Watch{watch.events, watch.data}));
    }
  }
}

void check_root(const Scene& scene, const MovePlan& plan, const Kernel& after) {
  const model::Task& before = scene.kernel.task(plan.root);
  const model::Task& root = after.task(plan.root);
  const model::TerminalState& terminal = after.terminal(model::kNewTerminal);
  switch (plan.topology) {
    case Topology::kNewSession:
      RC_ASSERT(root.sid == root.pid && root.pgid == root.pid);
      RC_ASSERT(root.tty == model::kNewTerminal);
      RC_ASSERT(terminal.sid == root.pid && terminal.foreground_pgid == root.pid);
      break;
    case Topology::kSessionLeader:
      RC_ASSERT(root.sid == before.sid && root.tty == model::kNewTerminal);
      RC_ASSERT(terminal.sid == root.pid && after.group_exists(terminal.foreground_pgid));
      break;
    case Topology::kKeepSession:
      RC_ASSERT(root.sid == before.sid && terminal.sid == 0);
      RC_ASSERT(root.tty == 0 || root.tty != static_cast<int>(scene.snapshot.old_terminal.device));
      break;
  }
  RC_ASSERT(plan.job_pgid == root.pgid);
}

void check_groups(const Scene& scene, const MovePlan& plan, const Kernel& after) {
  const pid_t old_pgid = scene.kernel.task(plan.root).pgid;
  std::set<pid_t> companions;  // the groups of those that were in root's
  for (const auto& [pid, before] : scene.kernel.tasks()) {
    const model::Task& now = after.task(pid);
    RC_ASSERT(now.hangups == before.hangups && now.continues == before.continues);
    const ProcessPlan* const part = plan.find(pid);
    if (pid == plan.root)
      continue;
    RC_ASSERT(now.sid == before.sid);
    const bool companion = part != nullptr && part->role == Role::kFollower &&
                           before.pgid == old_pgid && plan.topology != Topology::kSessionLeader;
    if (companion)
      companions.insert(now.pgid);
    else
      RC_ASSERT(now.pgid == before.pgid);
  }
  RC_ASSERT(companions.size() <= 1);
  for (const pid_t pgid : companions) {
    const auto& groups = plan.follower_pgids;
    RC_ASSERT(pgid == plan.job_pgid ||
              std::find(groups.begin(), groups.end(), pgid) != groups.end());
    // One that a follower leads may stay theirs: root was no leader of it, since an earlier move.
    const auto* leader = plan.find(pgid);
    RC_ASSERT(plan.topology == Topology::kKeepSession || pgid != old_pgid ||
              (leader != nullptr && leader->role == Role::kFollower));
  }
}

void check_terminals(const Scene& scene, const MovePlan& plan, const Kernel& after) {
  const int old_terminal = static_cast<int>(scene.snapshot.old_terminal.device);
  if (!scene.options.whole_tree || old_terminal == 0)
    return;
  for (const ProcessPlan& part : plan.processes) {
    const model::Task& now = after.task(part.pid);
    if (part.role == Role::kLeft)
      RC_ASSERT(now.tty == scene.kernel.task(part.pid).tty);
    if (now.zombie || now.tty != old_terminal || part.role == Role::kLeft)
      continue;
    // A session leader cannot leave its terminal without hanging up its session; it says so.
    RC_ASSERT(now.sid == now.pid && part.pid != plan.root);
    RC_ASSERT(!part.note.empty());
  }
}

void the_plan_does_what_it_says() {
  const Scene scene = any_scene();
  const std::optional<MovePlan> plan = plan_or_check_refusal(scene);
  RC_PRE(plan.has_value());
  RC_CLASSIFY(plan->topology == Topology::kNewSession, "new session");
  RC_CLASSIFY(plan->topology == Topology::kSessionLeader, "session leader");
  RC_CLASSIFY(plan->topology == Topology::kKeepSession, "keep session");
  Kernel kernel = scene.kernel;
  Executor executor(kernel, scene, *plan);
  RC_ASSERT(executor.prepare(std::nullopt));
  // What nobody can undo is only in commit.
  for (const auto& [pid, task] : kernel.tasks()) {
    RC_ASSERT(task.sid == scene.kernel.task(pid).sid);
    RC_ASSERT(task.tty == scene.kernel.task(pid).tty);
  }
  executor.commit();
  executor.close_donor();
  try {
    check_root(scene, *plan, kernel);
    check_groups(scene, *plan, kernel);
    check_terminals(scene, *plan, kernel);
    check_descriptors(scene, *plan, kernel);
  } catch (const rc::detail::CaseResult&) {
    RC_LOG() << "before\n" << scene.kernel.show() << "after\n" << kernel.show();
    throw;
  }
}

TEST(PlanProperty, EveryProcessHasOnePartAndRootComesLast) {
  check_often(every_process_has_one_part);
}
TEST(PlanProperty, AFailureAtAnyCallOfPrepareIsUndone) {
  check_often(a_failure_is_undone);
}
TEST(PlanProperty, ThePlanDoesWhatItSaysInAnyOrder) {
  check_often(the_plan_does_what_it_says);
}
}  // namespace
}  // namespace grab::tracer
