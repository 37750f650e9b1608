// SPDX-License-Identifier: MIT
#include "tracer/move.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>
#include <set>
#include <thread>
#include <unordered_map>

#include "base/fault.h"
#include "base/text.h"
#include "proc/surroundings.h"
#include "proc/tree_reader.h"
#include "tracer/batch_run.h"
#include "tracer/donor.h"
#include "tracer/guards.h"
#include "tracer/job_guard.h"
#include "tracer/lent_numbers.h"
#include "tracer/mend.h"
#include "tracer/old_shell.h"
#include "tracer/refusal.h"
#include "tracer/served_screen.h"
#include "tracer/tell.h"
#include "tracer/terminal.h"
#include "tracer/tracees.h"

namespace grab::tracer {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLeaveScreenLimit{500};  // vim, less, htop: 1-20 ms; others wait in vain
constexpr milliseconds kMoment{2};              // between two looks at what may pass
constexpr milliseconds kPassingLimit{50};       // a parent reaps, an execve ends in 1-5 ms
constexpr milliseconds kPassageLimit{1000};     // and where many wait for a processor, later
constexpr milliseconds kPromptLimit{1000};      // for a shell that cannot be told

/// The other end of this pipe or socket has been closed.
bool has_gone(int fd) {
  pollfd poll_fd{fd, 0, 0};
  return fd >= 0 && poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLHUP) != 0;
}

class Move {
 public:
  Move(pid_t named, const MoveOptions& options, MoveEnds ends, const MoveChannel& channel)
      : named_(named), options_(options), ends_(ends), channel_(channel) {}

  Status run() {
    GRAB_TRY(auto reader, proc::TreeReader::open(named_, reader_options()));
    reader_ = std::make_unique<proc::TreeReader>(std::move(reader));
    GRAB_CHECK(look_first());
    tracees_ = std::make_unique<Tracees>(*reader_, options_.partial);
    Status moved = freeze_and_move();
    if (!moved) {
      let_go();
      if (moved.error().hint.empty())
        moved.error().hint = "nothing was moved: the tree goes on as before";
      return moved;
    }
    if (plan_.clean_old_terminal && reader_->old_terminal_fd() >= 0)
      clean_up();
    tracees_.reset();
    tell();
    return {};
  }

 private:
  [[nodiscard]] proc::TreeReader::Options reader_options() const {
    proc::TreeReader::Options options{.force_stdio = options_.force_stdio,
                                      .also = options_.also,
                                      .also_from = options_.also_from};
    if (ends_.unfinished == nullptr)
      return options;
    for (const Moved::Process& process : ends_.unfinished->processes)
      options.also.push_back({process.pid, process.start_time});
    const auto& devices = ends_.unfinished->old_devices;
    options.old_terminals.assign(devices.begin(), devices.end());
    options.new_terminal = pts_device(ends_.ptmx);
    return options;
  }

  /// What is in the way may pass in a moment: a zombie that its parent is about to reap, a process
  /// that nobody may look into while it calls execve(2) or exit(2).
  Status look_first() {
    const auto begun = Clock::now();
    for (;;) {
      GRAB_TRY(snapshot_, reader_->read());
      if (mend_half_moved(snapshot_)) {
        GRAB_TRY(snapshot_, reader_->read());
      }
      // The tracer speaks for the command of the user, an ancestor.
      auto& lineage = snapshot_.self.lineage;
      const auto command = std::find(lineage.begin(), lineage.end(), ends_.command_pid);
      if (command != lineage.end())
        lineage.erase(lineage.begin(), command);
      Result<MovePlan> plan = plan_move(snapshot_, options_);
      const bool in_passage = !plan && is_in_passage(snapshot_);
      const bool late = Clock::now() - begun > (in_passage ? kPassageLimit : kPassingLimit);
      if (!plan && (late || !may_pass(plan.error())))
        return tl::unexpected(std::move(plan).error());
      const bool blocked =
          !plan || (plan->topology == Topology::kKeepSession && !options_.keep_session);
      if (!blocked || late) {
        if (!guarded_front_ && (guarded_front_ = have_guards_give_way(snapshot_)))
          continue;  // who is stopped was not to be told from who runs
        plan_ = std::move(*plan);
        GRAB_TRY(const bool look_again, take_servers(*reader_, snapshot_, plan_, options_));
        if (!look_again)
          return {};
        continue;
      }
      std::this_thread::sleep_for(kMoment);
    }
  }

  [[nodiscard]] Clock::time_point freeze_deadline() const {
    return Clock::now() + std::chrono::duration_cast<Clock::duration>(
                              std::chrono::duration<double>(options_.timeout_s));
  }

  Status freeze_and_move() {
    GRAB_CHECK(tracees_->seize_all(freeze_deadline()));
    report_held();
    leave_screen();
    GRAB_CHECK(stop_job_for_shell());
    GRAB_CHECK(freeze());
    report_held();  // what was born meanwhile, too, before any of it is made to do something
    took_output_ = takes_output(reader_->old_terminal_fd());
    GRAB_TRY(auto donors, DonorSet::open(ends_.ptmx, snapshot_, reader_->old_terminal_fd(),
                                         reader_->left_terminal_fd()));
    for (std::size_t i = 0; i < snapshot_.descriptions.size(); i++)
      donors.carry_signal(i, reader_->description_fd(static_cast<int>(i)));
    if (ends_.unfinished == nullptr) {  // else somebody is there, who may have set others
      GRAB_CHECK(set_modes(reader_->old_terminal_fd(), donors.terminal_fd(), plan_.modes));
      set_missing_size(reader_->old_terminal_fd(), ends_.ptmx);
    }
    GRAB_CHECK(load_batches(donors));
    report_held();
    GRAB_CHECK(run_batches(donors));
    release();
    return {};
  }

  /// Stops the tree and looks and plans again. A zombie that came in the way just now is let go
  /// first.
  Status freeze() {
    const bool blocked_before = plan_.topology == Topology::kKeepSession;
    constexpr int kTries = 20;
    for (int i = 0;; i++) {
      GRAB_CHECK(tracees_->stop_all(freeze_deadline(), proc::file_servers(snapshot_)));
      GRAB_TRY(snapshot_, reader_->reread(snapshot_));
      tracees_->tell_stopped_from_running(snapshot_, stopped_for_shell_);
      GRAB_TRY(plan_, plan_again());
      if (blocked_before || plan_.topology != Topology::kKeepSession || i == kTries)
        return {};
      tracees_->thaw();
      tracees_->serve([] { return false; }, Clock::now() + kMoment);
    }
  }

  /// The plan on what was found with the tree stopped. What was done to the screen and the job
  /// before stays done.
  Result<MovePlan> plan_again() {
    // The first look knows best who stops itself: while it does, SIGTSTP has its default action.
    GRAB_TRY(MovePlan plan, plan_move(snapshot_, options_));
    plan.leave_screen = plan_.leave_screen;
    plan.guarding.self_stoppers = plan_.guarding.self_stoppers;
    if (ends_.unfinished != nullptr)
      plan.guarding = ends_.unfinished->guarding;
    else if (plan.guarding.front_pgid == 0)
      plan.guarding.front_pgid = guarded_front_.value_or(0);
    // Those that have left the screen set up the new one by themselves: a size that changes while
    // they do can cost a key that is typed then (less: seen).
    std::erase_if(plan.redraw, [this](pid_t pid) { return screen_left_.count(pid) != 0; });
    auto& after = plan.continue_after;
    after.insert(after.end(), screen_left_.begin(), screen_left_.end());
    after.insert(after.end(), stopped_for_shell_.begin(), stopped_for_shell_.end());
    if (plan_.tell.how == TellShell::How::kStopFirst) {
      plan.tell = plan_.tell;
      plan.modes = plan_.modes;
      plan.warnings = plan_.warnings;
    }
    return plan;
  }

  void leave_screen() {
    if (plan_.leave_screen.empty())
      return;
    screen_left_ = tracees_->leave_screen(plan_.leave_screen, kLeaveScreenLimit);
  }

  /// Design 2.6: a shell that cannot be told must see its job stop, to take its terminal back.
  Status stop_job_for_shell() {
    if (plan_.tell.how != TellShell::How::kStopFirst)
      return {};
    for (const proc::Process& process : snapshot_.processes) {
      if (process.is_zombie() || process.stat.pgid != plan_.tell.job_pgid)
        continue;
      if (process.stat.state == 'T' || kill(process.stat.pid, SIGSTOP) != 0)
        continue;
      stopped_for_shell_.push_back(process.stat.pid);
    }
    const auto deadline = Clock::now() + kPromptLimit;
    const auto shell_has_terminal = [this] {
      const auto now = reader_->read();
      return now && now->old_terminal.foreground_pgid != plan_.tell.job_pgid;
    };
    tracees_->serve(shell_has_terminal, deadline);
    return {};
  }

  Status load_batches(DonorSet& donors) {
    const auto threads = tracees_->by_process();
    std::unordered_map<pid_t, const proc::Process*> processes;
    for (const proc::Process& process : snapshot_.processes)
      processes[process.stat.pid] = &process;
    for (const ProcessPlan& plan : plan_.processes) {
      if (plan.prepare.empty() && plan.commit.empty() && !plan.depart)
        continue;
      const proc::Process* process = processes[plan.pid];
      const auto tids = threads.find(plan.pid);
      if (process == nullptr || tids == threads.end())
        continue;  // it has ended meanwhile
      const Result<int> mem_fd = reader_->mem_fd(plan.pid);
      if (!mem_fd && mem_fd.error().err != EMFILE)
        return tl::unexpected(mem_fd.error());
      GRAB_TRY(BatchRun run, BatchRun::look(*process, tids->second.front(), mem_fd.value_or(-1)));
      if (plan.pid == plan_.root)
        root_run_ = runs_.size();
      if (makes_group(plan))
        group_makers_ = runs_.size() + 1;
      // Kept first: whatever comes of it, its traces are removed.
      runs_.push_back(std::move(run));
      GRAB_CHECK(load(runs_.back(), plan, *process, donors));
    }
    return {};
  }

  static bool makes_group(const ProcessPlan& plan) {
    return std::any_of(plan.prepare.begin(), plan.prepare.end(), [&](const PrepareStep& step) {
      const auto* join = std::get_if<step::JoinGroup>(&step);
      return join != nullptr && join->pgid == plan.pid;
    });
  }

  Status load(BatchRun& run, const ProcessPlan& plan, const proc::Process& process,
              DonorSet& donors) {
    TableRequest request;
    request.plan = &plan;
    request.process = &process;
    request.snapshot = &snapshot_;
    GRAB_TRY(request.donor, donors.for_process(process));
    request.tid = run.known_tid();
    request.signal_mask = run.signal_mask();
    request.lent = lent_.of(process);
    request.is_guarded = ends_.front >= 0 && plan_.guarding.has(plan.pid);
    BatchTable table = make_batch_table(request);
    if (!run.fits(table) || request.donor.sends) {
      const std::size_t size = table.mailbox.size() + arch::encoded_size(table.table);
      GRAB_TRY(request.page, run.map_page(size, request.donor.sends));
      table = make_batch_table(request);
    }
    if (lent_.keep(process, table.kept))
      sharers_.insert(plan.pid);
    return run.load(std::move(table));
  }

  void report_held() {
    Held held{.front = plan_.foreground ? snapshot_.old_terminal.foreground_pgid : 0};
    for (const proc::Process& process : snapshot_.processes) {
      const ProcessPlan* plan = plan_.find(process.stat.pid);
      if (plan == nullptr || plan->role == Role::kLeft || process.is_zombie())
        continue;
      const bool stays = process.stat.state == 'T' && screen_left_.count(process.stat.pid) == 0;
      const Moved::Process id{process.stat.pid, process.stat.start_time};
      (stays ? held.stopped : held.processes).push_back(id);
      if (plan->role == Role::kServer)
        held.serving.push_back(id);
    }
    (void)channel_.report(held);
  }

  /// Prepares all, then commits all, root first. On an error nothing has been committed, and what
  /// was prepared is undone.
  Status run_batches(DonorSet& donors) {
    if (Status passed = prepare_and_commit_root(donors); !passed) {
      undo();
      return passed;
    }
    // From here on there is no way back: what fails is left out, and told.
    carry_type_ahead();
    commit_followers();
    start_job_guard(plan_.guarding, ends_.front, ends_.ptmx, runs_);
    return {};
  }

  Status prepare_and_commit_root(DonorSet& donors) {
    GRAB_CHECK(prepare(donors));
    const bool forsaken = getppid() != grab_ || has_gone(ends_.command);
    if (forsaken && ends_.unfinished == nullptr)
      return fail(ErrorKind::kSystem, "a process of grab was killed before anything was moved");
    if (const int err = fault("commit", "", EIO); err != 0)
      return fail_errno(err, "the last moment before the commit");
    leave_old_terminal_open();
    if (!channel_.report(Committing{moved_but_processes()}))
      return fail(ErrorKind::kSystem, "the tree is too large to be written down");
    GRAB_CHECK(ready_followers());
    return commit_root();
  }

  /// Who keeps the terminal of a session leader (xterm) must not see it close, and hang up what was
  /// on it, before it is told. Our copies keep it open until then; these do if we are killed.
  void leave_old_terminal_open() const {
    if (plan_.topology != Topology::kSessionLeader || plan_.tell.how != TellShell::How::kTold)
      return;
    ends_.left_open.put(reader_->old_terminal_fd());
    for (const int fd : reader_->earlier_terminal_fds())
      ends_.left_open.put(fd);
  }

  Status commit_root() {
    if (!root_run_)
      return {};
    BatchRun& run = runs_[*root_run_];
    GRAB_CHECK(run.start_commit());
    GRAB_CHECK(run.await_commit(left_out_));
    const auto now = left_out_.empty() ? std::nullopt : proc::stat_of(plan_.root);
    root_lacks_terminal_ = now && now->tty == 0 && plan_.topology != Topology::kKeepSession;
    return {};
  }

  void commit_followers() {
    std::vector<Status> started(runs_.size());
    for (std::size_t i = 0; i < runs_.size(); i++) {
      if (i != root_run_)
        started[i] = runs_[i].start_commit();
    }
    // Each goes on as soon as it is done, while those behind it still commit.
    for (std::size_t i = 0; i < runs_.size(); i++) {
      if (i == root_run_)
        stop_leader_again();
      else if (started[i])
        started[i] = runs_[i].await_commit(left_out_);
      note_failure(started[i]);
      finish(runs_[i], started[i].has_value());
    }
    for (const Error& error : left_out_)
      warnings_.push_back(error.message() + "; the tree was moved all the same" +
                          (root_lacks_terminal_ ? ", without a controlling terminal" : ""));
  }

  Status prepare(DonorSet& donors) {
    Status first_failure;
    std::vector<Status> started;
    std::size_t awaited = 0;
    const auto await_started = [&] {
      for (; awaited < prepared_; awaited++) {
        const Status done = prepare_one(runs_[awaited], started[awaited], donors);
        if (!done && first_failure)
          first_failure = done;
      }
    };
    while (prepared_ < runs_.size() && first_failure) {
      // The first ones make the groups that the others join; and of those that share a descriptor
      // table each has to find free what it was told.
      if (prepared_ <= group_makers_ || sharers_.count(runs_[prepared_].pid()) != 0)
        await_started();
      if (!first_failure)
        break;
      started.push_back(begin(runs_[prepared_]));
      prepared_++;
    }
    await_started();
    return first_failure;
  }

  /// Waits for one prepare. A close-on-exec that is other than /proc could tell is corrected in the
  /// plan, and the process prepares again.
  Status prepare_one(BatchRun& run, Status status, DonorSet& donors) {
    if (status)
      status = run.await();
    while (!status && run.other_flag()) {
      const BatchRun::OtherFlag flag = *run.other_flag();
      GRAB_CHECK(run.start_undo());
      GRAB_CHECK(run.await());
      run.leave();
      ProcessPlan* plan = correct(run.pid(), flag);
      const proc::Process* process = snapshot_.find(run.pid());
      if (plan == nullptr || process == nullptr)
        return status;
      GRAB_CHECK(load(run, *plan, *process, donors));
      status = begin(run);
      if (status)
        status = run.await();
    }
    return status;
  }

  static Status begin(BatchRun& run) {
    GRAB_CHECK(run.receive());
    return run.start_prepare();
  }

  // Kernel: a background group whose parents are all in other sessions is orphaned and gets EIO
  // from read(2) of its terminal -> when root has made its setsid(2), nobody may go on reading the
  // old one, should the tracer die. (No companion may come back to a leader's group before its
  // TIOCNOTTY hangs that up.) Source: drivers/tty/tty_jobctrl.c __tty_check_change; seen.
  Status ready_followers() {
    for (std::size_t i = 0; i < runs_.size(); i++) {
      GRAB_CHECK(runs_[i].depart());
      const bool serves = plan_.find(runs_[i].pid())->role == Role::kServer;
      if (i != root_run_ && (serves || plan_.topology != Topology::kSessionLeader))
        GRAB_CHECK(runs_[i].stand_before_commit());
    }
    return {};
  }

  /// The plan of that process, with the flag set right; null if it was right already.
  ProcessPlan* correct(pid_t pid, BatchRun::OtherFlag flag) {
    for (ProcessPlan& plan : plan_.processes) {
      if (plan.pid == pid)
        return set_right(plan, flag) ? &plan : nullptr;
    }
    return nullptr;
  }

  // Kernel: the SIGCONT that a leader's TIOCNOTTY sends ends a group-stop when it is sent, blocked
  // or not -> a leader that was stopped gets a SIGSTOP, which takes effect before it runs. Source:
  // kernel/signal.c prepare_signal; seen.
  void stop_leader_again() const {
    if (plan_.topology == Topology::kSessionLeader && options_.keep_stopped &&
        snapshot_.find(plan_.root)->stat.state == 'T')
      (void)kill(plan_.root, SIGSTOP);
  }

  void note_failure(const Status& status) {
    if (!status && status.error().kind != ErrorKind::kGone)
      warnings_.push_back(status.error().message());
  }

  void undo() {
    for (std::size_t i = prepared_; i-- > 0;) {
      // One that has left its batch has been undone, and its table may be gone.
      if (runs_[i].is_inside() && runs_[i].start_undo())
        (void)runs_[i].await();
    }
  }

  void clean_up() {
    for (std::size_t i = 0; i < snapshot_.descriptions.size(); i++)
      make_blocking(reader_->description_fd(static_cast<int>(i)));
    clean_old_terminal(reader_->old_terminal_fd(), ends_.ptmx,
                       proc::environment_of(plan_.root, "TERM"), took_output_);
  }

  void carry_type_ahead() {
    if (!plan_.carry_type_ahead || reader_->old_terminal_fd() < 0)
      return;
    const std::string typed = take_type_ahead(reader_->old_terminal_fd());
    if (!typed.empty())
      (void)(write(ends_.ptmx, typed.data(), typed.size()) < 0);  // what it has no room for is lost
  }

  void finish(BatchRun& run, bool committed) {
    if (!committed || !run.hand_over())
      run.finish();
    tracees_->forget(run.tid());
  }

  void release() {
    tracees_->detach_all();
    frozen_ = Clock::now() - tracees_->first_interrupt();
    for (const pid_t pid : plan_.continue_after)
      (void)kill(pid, SIGCONT);
  }

  /// After a failure: everything goes on as it was.
  void let_go() {
    for (BatchRun& run : runs_)
      finish(run, false);
    tracees_->detach_all();
    for (const pid_t pid : screen_left_)
      (void)kill(pid, SIGCONT);
    for (const pid_t pid : stopped_for_shell_)
      (void)kill(pid, SIGCONT);
  }

  [[nodiscard]] Moved moved() const {
    Moved moved = moved_but_processes();
    std::unordered_map<pid_t, std::uint64_t> start_times;
    for (const proc::Process& process : snapshot_.processes)
      start_times[process.stat.pid] = process.stat.start_time;
    // With an earlier move some of the tree had nothing left that was to be moved.
    std::set<pid_t> moved_before;
    for (const proc::ProcessId& process : reader_options().also)
      moved_before.insert(process.pid);
    for (const ProcessPlan& plan : plan_.processes) {
      if (plan.role == Role::kRoot || plan.role == Role::kFollower ||
          (plan.role == Role::kUntouched && moved_before.count(plan.pid) != 0))
        moved.processes.push_back({plan.pid, start_times[plan.pid]});
    }
    return moved;
  }

  /// For while the tree stands still: the processes have been reported as held.
  [[nodiscard]] Moved moved_but_processes() const {
    if (ends_.unfinished != nullptr) {
      Moved moved = *ends_.unfinished;
      moved.processes.clear();
      moved.warnings.insert(moved.warnings.end(), warnings_.begin(), warnings_.end());
      if (moved.telling)
        moved.telling->again = true;  // nobody knows how far the first has come
      std::set<pid_t> followers(plan_.follower_pgids.begin(), plan_.follower_pgids.end());
      followers.insert(moved.follower_pgids.begin(), moved.follower_pgids.end());
      followers.erase(moved.job_pgid);
      moved.follower_pgids.assign(followers.begin(), followers.end());
      moved.frozen_ms = frozen_ms();
      return moved;
    }
    Moved moved;
    moved.old_devices = {snapshot_.old_terminal.device};
    if (snapshot_.left_terminal.device != 0)
      moved.old_devices.push_back(snapshot_.left_terminal.device);
    moved.old_devices.insert(moved.old_devices.end(), options_.also_from.begin(),
                             options_.also_from.end());
    moved.root_name = name_of(*snapshot_.find(plan_.root));
    moved.old_terminal = snapshot_.old_terminal.name;
    // Where the kernel does not send what ^C and ^Z mean, the relay does.
    moved.topology = root_lacks_terminal_ ? Topology::kKeepSession : plan_.topology;
    moved.job_pgid = plan_.job_pgid;
    moved.follower_pgids = plan_.follower_pgids;
    moved.redraw = plan_.redraw;
    moved.status_pid = plan_.status_pid;
    moved.guarding = plan_.guarding;
    moved.telling = to_telling(plan_.tell);
    moved.warnings = plan_.warnings;
    moved.warnings.insert(moved.warnings.end(), warnings_.begin(), warnings_.end());
    moved.frozen_ms = frozen_ms();
    return moved;
  }

  [[nodiscard]] double frozen_ms() const {
    return std::chrono::duration<double, std::milli>(frozen_).count();
  }

  void tell() {
    const TellShell& tell = plan_.tell;
    if (tell.how == TellShell::How::kStopFirst)
      channel_.notice(tell.why);
    const auto telling = moved_but_processes().telling;
    if (!telling)
      return (void)channel_.report(moved());
    const auto notice = [this, &tell](const std::string& sentence) {
      channel_.notice(tell.advice.empty() ? sentence : sentence + "; " + tell.advice);
    };
    // The one that tells is there before the move is done: whoever is killed, the shell is told.
    tell_shell(*telling, {[this] { (void)channel_.report(moved()); },
                          [this] { ends_.left_open.clear(); }, notice});
  }

  pid_t named_;
  const pid_t grab_ = getppid();
  const MoveOptions& options_;
  const MoveEnds ends_;
  const MoveChannel& channel_;
  std::unique_ptr<proc::TreeReader> reader_;
  std::unique_ptr<Tracees> tracees_;
  proc::Snapshot snapshot_;
  MovePlan plan_;
  std::optional<pid_t> guarded_front_;  // in front by the guard of an earlier move
  std::set<pid_t> screen_left_;
  std::vector<pid_t> stopped_for_shell_;
  std::vector<BatchRun> runs_;
  std::optional<std::size_t> root_run_;
  std::size_t prepared_ = 0;
  bool took_output_ = false;      // the old terminal, when the tree stood still
  std::size_t group_makers_ = 0;  // the last of them is the run before this one
  LentNumbers lent_;
  std::set<pid_t> sharers_;  // processes with the descriptor table of one that prepares before them
  bool root_lacks_terminal_ = false;  // taking the new one has failed
  std::vector<Error> left_out_;       // what failed where there was no way back
  std::vector<std::string> warnings_;
  Clock::duration frozen_{};
};

}  // namespace

Status run_move(pid_t named, const MoveOptions& options, MoveEnds ends,
                const MoveChannel& channel) {
  return Move(named, options, ends, channel).run();
}

}  // namespace grab::tracer
