// SPDX-License-Identifier: MIT
#include "soak/round.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <new>
#include <optional>
#include <vector>

#include "relay/proc_info.h"
#include "soak/actor.h"
#include "soak/chance.h"

namespace grab::soak {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kStoppedLimit{2000};
// A process that runs may have to wait for its turn where trees storm on two processors.
constexpr milliseconds kHangLimit{10'000};
constexpr milliseconds kGrabLimit{15'000};  // its own limit for the freeze is 2 s
// Keeper and relay stand in for one another: the second is not killed sooner than this after the
// first. That both are killed at once is the one thing that ends a tree.
constexpr milliseconds kBetweenKills{100};

struct Watched {
  UniqueFd pidfd;
  std::uint64_t beats = 0;
  Clock::time_point beat_at = Clock::now();
  std::optional<Clock::time_point> stopped_at;
};

class Round {
 public:
  Round(const RoundOptions& options, Counts& counts)
      : options_(options), counts_(counts), chance_(options.seed) {
    page_fd_ = UniqueFd(memfd_create("soak", MFD_CLOEXEC));
    if (ftruncate(page_fd_.get(), sizeof(Page)) != 0)
      std::abort();
    void* const page =
        mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, page_fd_.get(), 0);
    page_ = new (page) Page;
  }
  ~Round() { (void)munmap(page_, sizeof(Page)); }
  Round(const Round&) = delete;
  Round& operator=(const Round&) = delete;

  void run() {
    choose_tree();
    if (start_tree()) {
      counts_.trees++;
      const unsigned moves = chance_.one_in(3) ? 2 + chance_.below_n(2) : 1;
      for (unsigned i = 0; i < moves && !harmed_ && move(i); i++)
        use();
      verify();
    }
    if (harmed_)
      report();
    else if (options_.keep_log)
      print_log();
    for (std::size_t i = 0; i < page_->nodes; i++)
      counts_.epoll_interrupted += static_cast<unsigned>(page_->slot.at(i).epoll_interrupted);
    end_all_below();
  }

 private:
  // -------------------------------------------------------------- the tree

  void choose_tree() {
    page_->nodes = 1 + chance_.below_n(chance_.one_in(8) ? kMaxNodes : 8);
    page_->node[0] = {Kind::kTerminal, Group::kInherit, 0, chance_.one_in(4)};
    for (std::size_t i = 1; i < page_->nodes; i++) {
      Node& node = page_->node.at(i);
      node.kind = static_cast<Kind>(1 + chance_.below_n(static_cast<unsigned>(Kind::kCount) - 1));
      node.group =
          chance_.one_in(5) ? (chance_.one_in(3) ? Group::kSession : Group::kOwn) : Group::kInherit;
      if (node.kind == Kind::kStopped)
        node.group = Group::kOwn;
      node.parent = chance_.below_n(static_cast<unsigned>(i));
      node.masks = node.kind != Kind::kStopped && chance_.one_in(4);
    }
    // Nothing hangs below one that does not start its children again, or stands still.
    for (std::size_t i = 1; i < page_->nodes; i++) {
      Node& node = page_->node.at(i);
      if (page_->node.at(node.parent).kind == Kind::kStopped)
        node.parent = 0;
    }
    with_shell_ = chance_.one_in(2);
  }

  bool start_tree() {
    const std::string self = "/proc/self/exe";
    if (with_shell_) {
      const std::string path = own_path();
      shell_ = start_on(old_, {"/bin/bash", "--norc", "--noprofile", "-i"}, page_fd_.get());
      (void)wait([&] { return !old_.shown.empty(); }, kHangLimit);
      old_.type(path + " --actor 0\r");
    } else {
      shell_ = start_on(old_, {self, "--shell"}, page_fd_.get());
    }
    log("tree of " + std::to_string(page_->nodes) + (with_shell_ ? " in bash" : ""));
    if (!wait([&] { return all_beat(); }, kHangLimit))
      return false;
    root_ = page_->slot[0].pid;
    counts_.processes += below(shell_).size();
    started_ = true;
    watched_.clear();
    for (std::size_t i = 0; i < page_->nodes; i++) {
      Result<UniqueFd> pidfd = relay::open_pidfd({page_->slot.at(i).pid, 0});
      watched_.emplace_back().pidfd = pidfd ? std::move(*pidfd) : UniqueFd();
    }
    return true;
  }

  static std::string own_path() {
    std::string path(4096, '\0');
    const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
    path.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
    return path;
  }

  [[nodiscard]] bool stands(std::size_t i) const {
    return page_->node.at(i).kind == Kind::kStopped;
  }

  [[nodiscard]] bool all_beat() const {
    for (std::size_t i = 0; i < page_->nodes; i++) {
      const Slot& slot = page_->slot.at(i);
      if (slot.pid == 0 || (stands(i) ? state_of(slot.pid).letter != 'T' : slot.beats < 2))
        return false;
    }
    return true;
  }

  // -------------------------------------------------------------- watching

  void log(const std::string& what) {
    const auto ms = std::chrono::duration_cast<milliseconds>(Clock::now() - begun_).count();
    log_ += "  " + std::to_string(ms) + " ms: " + what + "\n";
  }

  void harm(const std::string& what) {
    log("HARM: " + what);
    harmed_ = true;
  }

  static std::string how_ended(pid_t pid, const UniqueFd& pidfd) {
    const auto status = relay::wait_status({pid, 0}, pidfd.get());
    if (!status)
      return {};
    return WIFSIGNALED(*status) ? " of signal " + std::to_string(WTERMSIG(*status))
                                : " with status " + std::to_string(WEXITSTATUS(*status));
  }

  void look() {
    const auto now = Clock::now();
    for (std::size_t i = 0; i < page_->nodes && !harmed_; i++) {
      const Slot& slot = page_->slot.at(i);
      Watched& watched = watched_.at(i);
      const std::string name = "node " + std::to_string(i) + " " + name_of(page_->node.at(i).kind) +
                               " " + std::to_string(slot.pid);
      if (slot.wrong != 0 || slot.where != 0)
        return harm(name + " saw errno " + std::to_string(slot.wrong) + " in line " +
                    std::to_string(slot.where));
      const State state = state_of(slot.pid);
      if (!state.lives())
        return harm(name + " has died" + how_ended(slot.pid, watched.pidfd) + ", hung up by " +
                    std::to_string(slot.hung_up_by) + ", the shell is " + std::to_string(shell_));
      if (stands(i))
        continue;
      if (slot.beats != watched.beats) {
        watched.beats = slot.beats;
        watched.beat_at = now;
        watched.stopped_at.reset();
        continue;
      }
      if (state.letter != 'T' && state.letter != 't')
        watched.stopped_at.reset();
      else if (!watched.stopped_at)
        watched.stopped_at = now;
      else if (now - *watched.stopped_at > kStoppedLimit)
        return harm(name + " has been in state " + std::string(1, state.letter) + " for 2 s");
      if (now - watched.beat_at > kHangLimit)
        return harm(name + " hangs in state " + std::string(1, state.letter));
    }
  }

  bool wait(const std::function<bool()>& holds, milliseconds limit) {
    const auto deadline = Clock::now() + limit;
    for (auto looked = Clock::now();;) {
      old_.drain();
      for (Pty& viewer : terminals_)
        viewer.drain();
      reap();
      if (started_ && Clock::now() - looked > milliseconds(50)) {
        look();
        looked = Clock::now();
      }
      if (holds())
        return true;
      if (harmed_ || Clock::now() > deadline)
        return false;
      usleep(2000);
    }
  }
  void pass(milliseconds time) {
    (void)wait([] { return false; }, time);
  }

  void reap() {
    int status = 0;
    for (pid_t pid = 0; (pid = waitpid(-1, &status, __WALL | WNOHANG)) > 0;) {
      if (pid == viewer_) {
        viewer_status_ = status;
        viewer_ = 0;
      }
    }
  }

  // -------------------------------------------------------------- grab

  [[nodiscard]] std::vector<pid_t> role(Role role) const { return in_role(role, viewers_); }

  void start_grab(const std::vector<std::string>& words) {
    std::vector<std::string> all = {options_.grab};
    std::string line = "grab";
    for (const std::string& word : words) {
      all.push_back(word);
      line += " " + word;
    }
    terminals_.push_back(Pty::open());
    viewer_status_.reset();
    viewer_ = start_on(terminals_.back(), all, -1);
    viewers_.push_back(viewer_);
    log(line + ": " + std::to_string(viewer_));
  }

  /// The terminals that the processes write to. One that execs just now is asked again.
  [[nodiscard]] std::vector<dev_t> outputs() const {
    std::vector<dev_t> devices;
    for (std::size_t i = 0; i < page_->nodes; i++)
      devices.push_back(output_of(page_->slot.at(i).pid));
    return devices;
  }
  static bool are_together(const std::vector<dev_t>& devices) {
    return std::all_of(devices.begin(), devices.end(),
                       [&](dev_t device) { return device == devices.front(); });
  }

  /// Keeper and relay of the terminal that root is on are there. (Of one that the tree has left
  /// there may be others for a while.)
  [[nodiscard]] bool is_kept() const { return has(Role::kKeeper) && has(Role::kRelay); }
  [[nodiscard]] bool has(Role whom) const {
    const std::vector<pid_t> pids = role(whom);
    const dev_t terminal = output_of(root_);
    return std::any_of(pids.begin(), pids.end(),
                       [terminal](pid_t pid) { return keeps(pid, terminal); });
  }

  void kill_one(Role whom, pid_t pid) {
    (void)kill(pid, SIGKILL);
    counts_.kills.at(static_cast<std::size_t>(whom))++;
    log("killed the " + std::string(name_of(whom)) + " " + std::to_string(pid));
    last_kill_ = Clock::now();
  }

  /// Kills somebody who is there. Whether there was one.
  bool kill_any(Role whom) {
    const std::vector<pid_t> pids = role(whom);
    if (pids.empty())
      return false;
    kill_one(whom, pids.at(chance_.below_n(static_cast<unsigned>(pids.size()))));
    return true;
  }

  /// Before either can see the other go: the command is left.
  void kill_with_its_starter(pid_t tracer) {
    const std::vector<pid_t> starters = role(Role::kStarter);
    const auto starter = std::find_if(starters.begin(), starters.end(), [tracer](pid_t pid) {
      const std::vector<pid_t> started = below(pid);
      return std::find(started.begin(), started.end(), tracer) != started.end();
    });
    if (starter == starters.end())
      return;
    (void)kill(*starter, SIGSTOP);
    kill_one(Role::kTracer, tracer);
    kill_one(Role::kStarter, *starter);
    counts_.both_killed++;
  }

  static void sleep_us(std::chrono::microseconds time) {
    const auto end = Clock::now() + time;
    if (time > milliseconds(1))
      usleep(static_cast<useconds_t>(time.count()) - 500);
    while (Clock::now() < end) {
    }
  }

  /// Root is the last to take the new terminal in prepare: then the commit begins. (What looks like
  /// a tracer may be telling the shell already, and stay to guard it.)
  void await_commit(pid_t tracer) {
    const dev_t before = output_of(root_);
    while (output_of(root_) == before && state_of(tracer).lives() &&
           comm_of(tracer) == "grab-tracer") {
    }
    sleep_us(chance_.instant(0.02, 3));
  }

  /// While a grab moves: one of its processes is killed, at an instant of the whole run.
  void kill_in_the_move() {
    const unsigned dice = chance_.below_n(20);
    const Role whom = dice < 10   ? Role::kTracer
                      : dice < 14 ? Role::kStarter
                      : dice < 16 ? Role::kViewer
                      : dice < 18 ? Role::kKeeper
                                  : Role::kRelay;
    const auto when = chance_.instant(0.05, 30);
    if (whom == Role::kTracer || whom == Role::kStarter) {
      const auto is_there = [&] { return !role(whom).empty(); };
      const auto deadline = Clock::now() + milliseconds(500);
      while (!is_there() && Clock::now() < deadline && state_of(viewer_).lives())
        usleep(100);
      const std::vector<pid_t> pids = role(whom);
      if (pids.empty())
        return;
      if (whom == Role::kTracer && chance_.one_in(2))
        await_commit(pids.front());
      else
        sleep_us(when);
      if (whom == Role::kTracer && chance_.one_in(4))
        kill_with_its_starter(pids.front());
      else if (state_of(pids.front()).lives())
        kill_one(whom, pids.front());
      return;
    }
    sleep_us(when);
    (void)kill_any(whom);
  }

  [[nodiscard]] bool grab_is_quiet() const {
    return role(Role::kTracer).empty() && role(Role::kStarter).empty() &&
           has(Role::kKeeper) == has(Role::kRelay);
  }

  /// Moves the tree, again and again until all of it has gone; false if that was refused.
  bool move(unsigned earlier_moves) {
    constexpr unsigned kTries = 8;
    const unsigned kills = chance_.below_n(4);
    if (earlier_moves > 0)
      counts_.moves_again++;
    for (unsigned attempt = 0; attempt < kTries && !harmed_; attempt++) {
      const bool detached = chance_.one_in(4);
      std::vector<std::string> words = {"--tree", std::to_string(root_)};
      if (detached)
        words.emplace_back("--detached");
      if (earlier_moves > 0 || attempt > 0)
        words.emplace_back("--force");
      const auto kills_before = last_kill_;
      const std::vector<dev_t> before = outputs();
      start_grab(words);
      if (attempt < kills)
        kill_in_the_move();
      const bool killed = last_kill_ != kills_before;
      if (!wait([&] { return is_over(); }, kGrabLimit)) {
        if (!harmed_)
          harm("grab does not come to an end: " + terminals_.back().shown);
        return false;
      }
      const std::vector<dev_t> now = outputs();
      std::size_t left = 0;
      for (std::size_t i = 0; i < now.size(); i++)
        left += now[i] != before[i] ? 1 : 0;
      log(std::to_string(left) + " of " + std::to_string(page_->nodes) + " have left");
      if (now[0] != before[0] && are_together(now)) {
        counts_.moves++;
        return true;
      }
      if (!are_together(now)) {
        counts_.half_moved += now != before ? 1 : 0;
        pass(milliseconds(chance_.below_n(300)));
      }
      if (killed)
        continue;
      counts_.refusals++;
      log("refused: " + terminals_.back().shown);
      std::fprintf(stderr, "tree %llu refused: %s", static_cast<unsigned long long>(options_.seed),
                   terminals_.back().shown.c_str());
      if (now != before)
        harm("a grab of which nobody was killed has moved only some");
    }
    if (!harmed_ && !are_together(outputs()))
      harm("what was moved in part was not completed");
    return false;
  }

  /// The command shows the tree or has ended, and of grab only keepers, relays and viewers are
  /// left.
  [[nodiscard]] bool is_over() {
    terminals_.back().drain();
    return grab_is_quiet() && (viewer_ == 0 || terminals_.back().is_raw()) &&
           Clock::now() - last_kill_ > kBetweenKills;
  }

  // -------------------------------------------------------------- after the move

  /// What is done with a tree that has a relay.
  void use() {
    for (unsigned turns = 1 + chance_.below_n(5); turns > 0 && !harmed_; turns--) {
      switch (chance_.below_n(6)) {
        case 0:
        case 1:
          replace(Role::kRelay);
          break;
        case 2:
          replace(Role::kKeeper);
          break;
        case 3:
          if (kill_any(Role::kViewer))
            (void)wait([&] { return viewer_ == 0; }, kHangLimit);
          break;
        case 4:
          attach();
          break;
        default:
          close_old_terminal();
      }
    }
  }

  void replace(Role whom) {
    const std::vector<pid_t> before = role(whom);
    pass(std::chrono::duration_cast<milliseconds>(chance_.instant(1, 40)));
    if (before.empty() || !state_of(before.front()).lives())
      return;
    const bool viewed = viewer_ != 0;
    for (const pid_t pid : before)
      kill_one(whom, pid);
    const auto another = [&] {
      const std::vector<pid_t> now = role(whom);
      return is_kept() && std::none_of(now.begin(), now.end(), [&](pid_t pid) {
               return std::find(before.begin(), before.end(), pid) != before.end();
             });
    };
    if (!wait(another, kGrabLimit)) {
      if (!harmed_)
        harm("no other " + std::string(name_of(whom)) + " came");
      return;
    }
    counts_.relays_replaced++;
    pass(kBetweenKills);
    if (whom == Role::kRelay && viewed) {
      if (types_to_root())
        counts_.viewers_returned++;
      else if (!harmed_)
        harm("the viewer has not come to the new relay: " + terminals_.back().shown);
    }
  }

  bool types_to_root() {
    const unsigned before = page_->slot[0].lines;
    auto typed = Clock::time_point{};
    return wait(
        [&] {
          if (viewer_ != 0 && terminals_.back().is_raw() &&
              Clock::now() - typed > milliseconds(200)) {
            terminals_.back().type("x\r");
            typed = Clock::now();
          }
          return page_->slot[0].lines != before;
        },
        kGrabLimit);
  }

  void attach() {
    if (viewer_ != 0) {
      (void)kill_any(Role::kViewer);
      (void)wait([&] { return viewer_ == 0; }, kHangLimit);
    }
    start_grab({"attach", std::to_string(root_)});
    if (!types_to_root() && !harmed_)
      harm("what is typed in grab attach does not come to the tree: " + terminals_.back().shown);
  }

  void close_old_terminal() {
    if (!old_.ptmx.valid())
      return;
    pid_t foreground = 0;
    (void)ioctl(old_.ptmx.get(), TIOCGPGRP, &foreground);
    log("closes the old terminal, with " + std::to_string(foreground) + " in its foreground");
    old_.ptmx.reset();
    (void)wait([&] { return !state_of(shell_).lives(); }, milliseconds(500));
    if (chance_.one_in(2))
      (void)kill(shell_, SIGKILL);
  }

  /// At the end: every process goes on, and the tree is reached.
  void verify() {
    if (harmed_)
      return;
    pass(milliseconds(30));
    std::vector<std::uint64_t> before;
    for (std::size_t i = 0; i < page_->nodes; i++) {
      const Slot& slot = page_->slot.at(i);
      if (stands(i)) {
        const char letter = state_of(slot.pid).letter;
        if (letter != 'T' && slot.beats == 0)
          harm("node " + std::to_string(i) + " was stopped, and is in state " +
               std::string(1, letter));
        (void)kill(slot.pid, SIGCONT);
      }
      before.push_back(slot.beats);
    }
    const auto all_go_on = [&] {
      for (std::size_t i = 0; i < page_->nodes; i++) {
        if (page_->slot.at(i).beats == before[i])
          return false;
      }
      return true;
    };
    if (!wait(all_go_on, kHangLimit) && !harmed_)
      harm("not all go on");
    if (!harmed_ && is_kept())
      attach();
  }

  // -------------------------------------------------------------- telling

  void print_log() const {
    std::fprintf(stderr, "tree %llu:\n%s", static_cast<unsigned long long>(options_.seed),
                 log_.c_str());
  }

  /// Its number and arguments, as proc_pid_syscall(5) has them.
  static std::string call_of(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/syscall");
    std::string line;
    std::getline(file, line);
    return line;
  }

  void report() {
    counts_.harmed++;
    for (std::size_t i = 0; i < page_->nodes; i++) {
      const Node& node = page_->node.at(i);
      const Slot& slot = page_->slot.at(i);
      const State state = state_of(slot.pid);
      log_ += "  node " + std::to_string(i) + " " + name_of(node.kind) + " below " +
              std::to_string(node.parent) + " group " +
              std::to_string(static_cast<unsigned>(node.group)) + " pid " +
              std::to_string(slot.pid) + " state " + std::string(1, state.letter) + " terminal " +
              std::to_string(output_of(slot.pid)) + " beats " + std::to_string(slot.beats) + "\n";
    }
    for (const pid_t pid : below(getpid()))
      log_ += "  " + std::to_string(pid) + " " + comm_of(pid) + " " +
              std::string(1, state_of(pid).letter) + " in call " + call_of(pid) + "\n";
    print_log();
  }

  const RoundOptions& options_;
  Counts& counts_;
  Chance chance_;
  UniqueFd page_fd_;
  Page* page_ = nullptr;
  bool with_shell_ = false;
  bool started_ = false;
  bool harmed_ = false;
  Pty old_ = Pty::open();
  std::vector<Pty> terminals_;  // of viewers, the present one last
  pid_t shell_ = 0, root_ = 0;
  pid_t viewer_ = 0;
  std::vector<pid_t> viewers_;  // all that were ever started
  std::optional<int> viewer_status_;
  Clock::time_point begun_ = Clock::now();
  Clock::time_point last_kill_;
  std::vector<Watched> watched_;
  std::string log_;
};

}  // namespace

void run_round(const RoundOptions& options, Counts& counts) {
  Round(options, counts).run();
}

}  // namespace grab::soak
