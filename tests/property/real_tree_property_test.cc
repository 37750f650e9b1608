// SPDX-License-Identifier: MIT
// Random trees of real processes on a pty of their own are moved to another; every process checks
// itself before and after. A failure shrinks to a small tree; the seed is printed (RC_PARAMS).
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <utmp.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <set>
#include <sstream>
#include <tuple>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/unique_fd.h"
#include "property/real_tree_actor.h"
#include "support/proc_info.h"
#include "tracer/tracer.h"

namespace grab::test {

void showValue(const NodeSpec& node, std::ostream& out) {
  static constexpr const char* kGroups[] = {"", " own group", " own session"};
  static constexpr const char* kBlocks[] = {"read",  "poll",       "select", "nanosleep",
                                            "futex", "sigsuspend", "pause",  "spin"};
  out << "{parent " << node.parent << " in " << kBlocks[static_cast<unsigned>(node.block)]
      << kGroups[static_cast<unsigned>(node.group)] << (node.thread ? " thread" : "")
      << (node.zombie ? " zombie" : "") << (node.stopped ? " stopped" : "")
      << (node.opens_terminal ? " opens" : "") << (node.duplicates ? " dup" : "")
      << (node.appends ? " append" : "") << (node.masks ? " masks" : "") << "}";
}

namespace {

using Clock = std::chrono::steady_clock;
using tracer::Topology;

constexpr std::chrono::seconds kLimit{20};  // far more than a loaded machine needs

bool eventually(const std::function<bool()>& holds) {
  const auto deadline = Clock::now() + kLimit;
  while (!holds()) {
    if (Clock::now() > deadline)
      return false;
    (void)poll(nullptr, 0, 1);
  }
  return true;
}

struct Pty {
  Pty() {
    int ptmx_fd = -1, pts_fd = -1;
    std::array<char, 64> path{};
    RC_ASSERT(openpty(&ptmx_fd, &pts_fd, path.data(), nullptr, nullptr) == 0);
    ptmx.reset(fcntl(ptmx_fd, F_DUPFD_CLOEXEC, kHighestFd));
    pts.reset(fcntl(pts_fd, F_DUPFD_CLOEXEC, kHighestFd));
    close(ptmx_fd);
    close(pts_fd);
    name = path.data();
    struct stat st {};
    RC_ASSERT(fstat(pts.get(), &st) == 0);
    device = st.st_rdev;
    (void)fcntl(ptmx.get(), F_SETFL, O_RDWR | O_NONBLOCK);
  }
  /// All that was shown since the last call.
  std::string shown() const {
    std::string text;
    std::array<char, 4096> bytes{};
    for (ssize_t count = 0; (count = read(ptmx.get(), bytes.data(), bytes.size())) > 0;)
      text.append(bytes.data(), static_cast<std::size_t>(count));
    return text;
  }
  UniqueFd ptmx, pts;
  std::string name;
  dev_t device = 0;
};

/// The processes of one case; all are gone with it.
class RealTree {
 public:
  RealTree(const std::vector<NodeSpec>& nodes, bool session_leader) : nodes_(nodes) {
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    void* const memory =
        mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      RC_FAIL("mmap");
    page_ = new (memory) Page{};
    stage_.nodes = &nodes_;
    stage_.page = page_;
    stage_.terminal = old_.name;
    for (std::size_t i = 0; i < nodes_.size(); i++) {
      stage_.pipes.at(i) = high_pipe();
      stage_.thread_pipes.at(i) = high_pipe();
    }
    start(session_leader);
  }
  RealTree(const RealTree&) = delete;
  RealTree& operator=(const RealTree&) = delete;
  ~RealTree() {
    for (const Slot& slot : page_->slots) {
      if (slot.pid > 0)
        (void)kill(slot.pid, SIGKILL);
    }
    (void)kill(first_, SIGKILL);
    while (waitpid(-1, nullptr, 0) > 0) {
    }
    for (std::size_t i = 0; i < nodes_.size(); i++) {
      for (const int fd : {stage_.pipes.at(i)[0], stage_.pipes.at(i)[1],
                           stage_.thread_pipes.at(i)[0], stage_.thread_pipes.at(i)[1]})
        close(fd);
    }
    (void)munmap(page_, sizeof(Page));
  }

  /// Waits until every process is where it is to be. What it waits for in vain, empty if nothing.
  std::string settle() {
    for (std::size_t i = 0; i < nodes_.size(); i++) {
      const Slot& slot = page_->slots.at(i);
      const std::string name = "node " + std::to_string(i);
      if (!eventually([&] { return slot.ready != 0; }))
        return name + " is not ready";
      const bool spins = nodes_[i].block == Block::kSpin;
      if (!eventually([&] { return spins || state(slot.pid) == 'S'; }))
        return name + " does not block";
      if (nodes_[i].thread && !eventually([&] { return threads_of(slot.pid).size() == 2; }))
        return name + " has no other thread";
      if (nodes_[i].zombie && !eventually([&] { return is_zombie(slot.zombie); }))
        return name + " has no zombie";
    }
    for (std::size_t i = 0; i < nodes_.size(); i++) {
      const pid_t pid = page_->slots.at(i).pid;
      if (nodes_[i].stopped &&
          (kill(pid, SIGSTOP) != 0 || !eventually([&] { return is_stopped(pid); })))
        return "node " + std::to_string(i) + " does not stop";
    }
    return {};
  }

  /// Lets every process go on and look at itself. As settle().
  std::string wake() {
    for (std::size_t i = 0; i < nodes_.size(); i++) {
      Slot& slot = page_->slots.at(i);
      if (is_stopped(slot.pid))
        (void)kill(slot.pid, SIGCONT);
      slot.go = 1;
      (void)!write(stage_.pipes.at(i)[1], "", 1);
      (void)!write(stage_.thread_pipes.at(i)[1], "", 1);
      (void)syscall(SYS_futex, &slot.go, FUTEX_WAKE, 1, nullptr, nullptr, 0);
      const bool by_signal =
          nodes_[i].block == Block::kSigsuspend || nodes_[i].block == Block::kPause;
      const auto checked = [&] {
        if (by_signal && slot.woken == 0)  // pause(2) may be entered after the signal
          (void)kill(slot.pid, SIGUSR1);
        return slot.checked != 0;
      };
      if (!eventually(checked))
        return "node " + std::to_string(i) + " does not go on, in state " + state(slot.pid);
    }
    return {};
  }

  [[nodiscard]] const Slot& slot(std::size_t index) const { return page_->slots.at(index); }
  [[nodiscard]] pid_t root() const { return slot(0).pid; }
  [[nodiscard]] const Pty& terminal() const { return old_; }
  static char state(pid_t pid) {
    const auto stat = read_stat(pid);
    return stat ? stat->state : '-';
  }

 private:
  static std::array<int, 2> high_pipe() {
    std::array<int, 2> ends{};
    RC_ASSERT(pipe2(ends.data(), O_CLOEXEC) == 0);
    for (int& end : ends) {
      const int high = fcntl(end, F_DUPFD_CLOEXEC, kHighestFd);
      close(end);
      end = high;
    }
    return ends;
  }

  /// The leader of a session on the old terminal: the root itself, or what started it.
  void start(bool session_leader) {
    first_ = fork();
    RC_ASSERT(first_ >= 0);
    if (first_ > 0) {
      old_.pts.reset();
      return;
    }
    for (int fd = 0; fd < kHighestFd; fd++)
      close(fd);
    const int terminal = open(old_.name.c_str(), O_RDWR | O_NOCTTY);
    if (terminal != 0 || setsid() < 0 || ioctl(0, TIOCSCTTY, 0) != 0)
      _exit(1);
    (void)dup(0);
    (void)dup(0);
    if (session_leader)
      run_node(stage_, 0);
    (void)signal(SIGTTOU, SIG_IGN);
    const pid_t job = fork();
    if (job == 0) {
      (void)setpgid(0, 0);
      (void)tcsetpgrp(0, getpid());
      (void)signal(SIGTTOU, SIG_DFL);
      run_node(stage_, 0);
    }
    while (true)
      pause();
  }

  std::vector<NodeSpec> nodes_;
  Pty old_;
  Page* page_ = nullptr;
  Stage stage_;
  pid_t first_ = 0;
};

/// Which of the descriptors on that terminal share one open file description.
std::map<std::pair<pid_t, int>, int> sharing(const RealTree& tree, std::size_t count,
                                             const std::string& terminal) {
  std::map<std::pair<pid_t, int>, int> classes;
  std::vector<std::pair<pid_t, int>> first_of;
  for (std::size_t i = 0; i < count; i++) {
    const pid_t pid = tree.slot(i).pid;
    for (const int fd : fds_on(pid, terminal)) {
      const auto known = std::find_if(first_of.begin(), first_of.end(), [&](const auto& other) {
        return syscall(SYS_kcmp, pid, other.first, KCMP_FILE, fd, other.second) == 0;
      });
      classes[{pid, fd}] = static_cast<int>(known - first_of.begin());
      if (known == first_of.end())
        first_of.emplace_back(pid, fd);
    }
  }
  return classes;
}

/// The group that the plan says.
pid_t planned_pgid(const tracer::MovePlan& plan, pid_t pid, pid_t now) {
  const tracer::ProcessPlan* const part = plan.find(pid);
  for (const auto& step : part->prepare) {
    if (const auto* join = std::get_if<tracer::step::JoinGroup>(&step))
      now = join->pgid;
  }
  for (const auto& step : part->commit) {
    if (const auto* join = std::get_if<tracer::step::JoinGroup>(&step))
      now = join->pgid;
    if (std::holds_alternative<tracer::step::NewSession>(step))
      now = pid;
  }
  return now;
}

void check_node(const Slot& slot, const tracer::MovePlan& plan, const Pty& from, const Pty& to) {
  const Facts& before = slot.before;
  const Facts& after = slot.after;
  RC_ASSERT(slot.wrong == 0);
  RC_ASSERT(slot.thread_wrong <= 0);
  RC_ASSERT(after.ppid == before.ppid);
  RC_ASSERT(after.blocked == before.blocked);
  RC_ASSERT(after.ignored == before.ignored);
  RC_ASSERT(after.caught == before.caught);
  RC_ASSERT(after.pgid == planned_pgid(plan, slot.pid, before.pgid));
  const bool is_root = slot.pid == plan.root;
  const bool new_session = is_root && plan.topology == Topology::kNewSession;
  RC_ASSERT(after.sid == (new_session ? slot.pid : before.sid));
  for (std::size_t fd = 0; fd < before.fds.size(); fd++) {
    FdState expected = before.fds.at(fd);
    if (expected.device == from.device)
      expected.device = to.device;
    RC_ASSERT(after.fds.at(fd).fd_flags == expected.fd_flags);
    RC_ASSERT(after.fds.at(fd).status_flags == expected.status_flags);
    RC_ASSERT(after.fds.at(fd).device == expected.device);
  }
  if (is_root && plan.topology != Topology::kKeepSession) {
    RC_ASSERT(after.tty_errno == 0);
    RC_ASSERT(after.tty_device != before.tty_device || before.tty_errno != 0);
  } else {
    RC_ASSERT(after.tty_errno == ENXIO);
  }
}

std::vector<NodeSpec> any_nodes() {
  const auto node = rc::gen::build<NodeSpec>(
      rc::gen::set(&NodeSpec::parent, rc::gen::inRange(0U, 60U)),
      rc::gen::set(&NodeSpec::group, rc::gen::element(Group::kInherit, Group::kInherit, Group::kOwn,
                                                      Group::kSession)),
      rc::gen::set(
          &NodeSpec::block,
          rc::gen::element(Block::kRead, Block::kPoll, Block::kSelect, Block::kNanosleep,
                           Block::kFutex, Block::kSigsuspend, Block::kPause, Block::kSpin)),
      rc::gen::set(&NodeSpec::thread), rc::gen::set(&NodeSpec::opens_terminal),
      rc::gen::set(&NodeSpec::duplicates), rc::gen::set(&NodeSpec::appends),
      rc::gen::set(&NodeSpec::masks),
      rc::gen::set(&NodeSpec::zombie, rc::gen::weightedElement<bool>({{4, false}, {1, true}})),
      rc::gen::set(&NodeSpec::stopped, rc::gen::weightedElement<bool>({{5, false}, {1, true}})));
  return *rc::gen::resize(static_cast<int>(kMaxNodes),
                          rc::gen::suchThat(rc::gen::container<std::vector<NodeSpec>>(node),
                                            [](const std::vector<NodeSpec>& nodes) {
                                              return !nodes.empty() && nodes.size() <= kMaxNodes;
                                            }))
              .as("nodes");
}

void a_tree_lives_on() {
  std::vector<NodeSpec> nodes = any_nodes();
  nodes[0].group = Group::kInherit;  // its group and session are those of `leads`
  const bool leads = *rc::gen::arbitrary<bool>().as("root is a session leader");
  const bool keep_session = *rc::gen::weightedElement<bool>({{5, false}, {1, true}}).as("keep");
  // Two spinning processes would have both processors to themselves.
  bool spins = false;
  for (NodeSpec& node : nodes) {
    if (node.block == Block::kSpin && std::exchange(spins, true))
      node.block = Block::kRead;
  }
  RealTree tree(nodes, leads);
  RC_ASSERT(tree.settle() == "");
  const tracer::MoveOptions options{
      .whole_tree = true, .keep_session = keep_session, .timeout_s = 15};
  const auto survey = tracer::survey(tree.root(), options);
  if (!survey)
    RC_FAIL("refused: " + survey.error().message());
  const tracer::MovePlan& plan = survey->plan;
  RC_ASSERT(plan.root == tree.root());
  const auto shared_before = sharing(tree, nodes.size(), tree.terminal().name);
  const Pty to;
  auto moved = tracer::move_tree(tree.root(), options, {.ptmx = to.ptmx.get()});
  if (!moved)
    RC_FAIL("not moved: " + moved.error().message());
  RC_ASSERT(moved->moved.topology == plan.topology);
  RC_ASSERT(moved->moved.warnings.empty());
  RC_ASSERT(moved->moved.job_pgid == plan.job_pgid);
  RC_ASSERT(sharing(tree, nodes.size(), to.name) == shared_before);
  for (std::size_t i = 0; i < nodes.size(); i++) {
    const pid_t pid = tree.slot(i).pid;
    const auto& on = plan.continue_after;
    if (nodes[i].stopped && std::find(on.begin(), on.end(), pid) == on.end())
      RC_ASSERT(eventually([pid] { return is_stopped(pid); }));
    else
      RC_ASSERT(eventually([pid] { return is_alive(pid) && !is_stopped(pid); }));
    RC_ASSERT(!is_traced(pid));
    RC_ASSERT(!nodes[i].zombie || is_zombie(tree.slot(i).zombie));
  }
  RC_ASSERT(tree.wake() == "");
  std::string shown = to.shown();
  for (std::size_t i = 0; i < nodes.size(); i++) {
    const std::string line = "<node " + std::to_string(i) + ">";
    const std::size_t at = shown.find(line);
    RC_ASSERT(at != std::string::npos);
    RC_ASSERT(shown.find(line, at + 1) == std::string::npos);
    RC_LOG() << "node " << i << "\n";
    check_node(tree.slot(i), plan, tree.terminal(), to);
  }
  RC_ASSERT(tree.terminal().shown().empty());
}

TEST(RealTreeProperty, EveryProcessLivesOnAsItWas) {
  std::ifstream scope_file("/proc/sys/kernel/yama/ptrace_scope");
  int scope = 0;
  if (geteuid() != 0 && scope_file >> scope && scope > 0)
    GTEST_SKIP() << "yama ptrace_scope=" << scope;
  constexpr int kCases = 40;                   // of 0.1 s
  constexpr std::chrono::seconds kEnough{35};  // on a loaded machine fewer cases must do
  const auto begin = Clock::now();
  int cases = 0;
  rc::detail::TestMetadata metadata;
  metadata.id = "RealTreeProperty/EveryProcessLivesOnAsItWas";
  metadata.description = "every process lives on as it was";
  rc::detail::TestParams params = rc::detail::configuration().testParams;
  params.maxSuccess = kCases;
  bool failed = false;  // then it shrinks
  const auto property = [&] {
    if (!failed && Clock::now() - begin > kEnough)
      return;
    cases++;
    failed = true;
    a_tree_lives_on();
    failed = false;
  };
  const rc::detail::TestResult result = rc::detail::checkTestable(property, metadata, params);
  std::ostringstream text;
  rc::detail::printResultMessage(result, text);
  EXPECT_TRUE(result.is<rc::detail::SuccessResult>()) << text.str();
  EXPECT_GE(cases, 3);
  std::cout << cases << " trees\n";
}

}  // namespace

}  // namespace grab::test
