// SPDX-License-Identifier: MIT
#include "tracer/mend.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <thread>

#include "arch/batch.h"
#include "base/unique_fd.h"
#include "proc/speaker.h"
#include "tracer/on_its_way.h"
#include "tracer/vdso_room.h"

namespace grab::tracer {
namespace {

// Kernel: the last field is the instruction pointer, of a stopped thread too. Source:
// proc_pid_syscall(5).
std::uint64_t instruction_pointer_of(const std::string& task) {
  std::ifstream file(task + "/syscall");
  std::string field;
  for (std::string next; file >> next;)
    field = next;
  std::uint64_t ip = 0;
  return std::sscanf(field.c_str(), "%" SCNx64, &ip) == 1 ? ip : 0;
}

/// What lies in the vDSO of a process whose thread is in a batch; nothing if none is.
std::optional<std::vector<std::byte>> batch_of(pid_t pid) {
  // Kernel: a main thread that has ended has no memory any more, and an empty maps. Source:
  // kernel/exit.c exit_mm(); seen.
  const pid_t speaker = proc::speaker_of(pid);
  const UniqueFd memory = open_memory(speaker);
  const auto whole = memory.valid() ? find_vdso_room(speaker, memory.get(), 0) : std::nullopt;
  if (!whole)
    return std::nullopt;
  // One that writes the rest of a write(2) is where it belongs.
  const VdsoRoom room = without_kept_code(*whole, memory.get());
  std::error_code error;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
    const std::uint64_t ip = instruction_pointer_of(task.path());
    if (!room.contains(ip))
      continue;
    std::vector<std::byte> code(arch::batch_code_size());
    if (pread(memory.get(), code.data(), code.size(), static_cast<off_t>(room.start)) < 0)
      return std::nullopt;
    return code;
  }
  return std::nullopt;
}

char state_of(pid_t pid) {
  const auto stat = proc::stat_of_process(pid);
  return stat ? stat->state : 'X';
}

bool has_ended(char state) {
  return state == 'Z' || state == 'X';
}

/// One that may stand in a batch, or is about to, while it is brought out.
class Straggler {
 public:
  explicit Straggler(pid_t pid) : pid_(pid), way_(pid) {}

  /// Does what is to be done now. Whether something is left to do.
  bool go_on() {
    const char state = state_of(pid_);
    if (step_ == Step::kFind)
      find(state);
    else if (step_ == Step::kBringOut)
      bring_out(state);
    else if (state == 'T' || has_ended(state) || !way_.may_be(state))
      step_ = Step::kDone;
    return step_ != Step::kDone;
  }
  [[nodiscard]] bool stood_in_batch() const { return batch_.has_value(); }

 private:
  enum class Step { kFind, kBringOut, kStopAgain, kDone };

  void begin(Step step) {
    step_ = step;
    way_ = OnItsWay(pid_);
  }

  void find(char state) {
    // It may be on its way into the stop that its tracer has left it in.
    if ((state == 't' || state == 'R' || state == 'D') && way_.may_be(state))
      return;
    if (state == 'T')
      batch_ = batch_of(pid_);
    begin(batch_ ? Step::kBringOut : Step::kDone);
  }

  // A batch has stops on its way, so one SIGCONT may not be enough.
  void bring_out(char state) {
    const bool inside = batch_of(pid_).has_value();
    if (state == 'T' && inside)
      (void)kill(pid_, SIGCONT);
    // Of one that runs nobody knows where it is.
    if ((inside || state == 'R') && way_.may_be(state))
      return;
    const bool stops = arch::was_stopped(*batch_) && !has_ended(state);
    if (stops)
      (void)kill(pid_, SIGSTOP);
    begin(stops ? Step::kStopAgain : Step::kDone);
  }

  pid_t pid_;
  OnItsWay way_;  // in this step
  Step step_ = Step::kFind;
  std::optional<std::vector<std::byte>> batch_;
};

/// The stopped ones of the tree and of the old shell's other children: a command of a pipeline that
/// has left its group with an unfinished move is none of the tree.
std::vector<pid_t> stopped_candidates(const proc::Snapshot& snapshot) {
  std::set<pid_t> pids;
  for (const proc::Process& process : snapshot.processes) {
    if (process.stat.state == 'T')
      pids.insert(process.stat.pid);
  }
  if (!snapshot.parent)
    return {pids.begin(), pids.end()};
  const std::string shell = std::to_string(snapshot.parent->stat.pid);
  std::ifstream children("/proc/" + shell + "/task/" + shell + "/children");
  for (pid_t child = 0; children >> child;) {
    if (state_of(child) == 'T')
      pids.insert(child);
  }
  return {pids.begin(), pids.end()};
}

}  // namespace

bool bring_out_of_batches(const std::vector<pid_t>& pids) {
  constexpr std::chrono::milliseconds kMoment{1};
  std::vector<Straggler> stragglers(pids.begin(), pids.end());
  for (bool again = true; again;) {
    again = false;
    for (Straggler& straggler : stragglers)
      again = straggler.go_on() || again;
    if (again)
      std::this_thread::sleep_for(kMoment);
  }
  return std::any_of(stragglers.begin(), stragglers.end(),
                     [](const Straggler& straggler) { return straggler.stood_in_batch(); });
}

bool mend_half_moved(const proc::Snapshot& snapshot) {
  return bring_out_of_batches(stopped_candidates(snapshot));
}

}  // namespace grab::tracer
