// SPDX-License-Identifier: MIT
#include "faults/tree_state.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>

#include "support/grab_test.h"
#include "support/proc_info.h"

namespace grab::test {
namespace {

std::string base_of(pid_t pid) {
  return "/proc/" + std::to_string(pid) + "/";
}

std::string target_of(const std::string& link) {
  char target[PATH_MAX] = {};
  return ::readlink(link.c_str(), target, sizeof target - 1) < 0 ? "?" : target;
}

/// Lines of /proc/PID/status that are no counters of what happens anyhow.
std::string lasting_status(const std::string& path) {
  static const std::vector<std::string> keys = {
      "Name",   "TracerPid", "Uid",    "Gid",    "SigPnd", "ShdPnd",     "SigBlk", "SigIgn",
      "SigCgt", "CapEff",    "CapPrm", "CapInh", "CapBnd", "NoNewPrivs", "Seccomp"};
  std::istringstream in(read_file(path));
  std::string out;
  for (std::string line; std::getline(in, line);) {
    for (const std::string& key : keys) {
      if (line.compare(0, key.size() + 1, key + ":") == 0)
        out += line + "\n";
    }
    // Who runs or sleeps does so by itself; who is stopped is not to run, nor the other way round.
    if (line.compare(0, 6, "State:") == 0)
      out += line.find("(stopped)") != std::string::npos ? "stopped\n" : "not stopped\n";
  }
  return out;
}

/// The call that a thread waits in, with its first argument, stack and instruction pointer; empty
/// for one that does not wait, or whose call the kernel has made a restart_syscall of.
std::string waiting_call(const std::string& task) {
  constexpr std::size_t kFields = 9;  // number, six arguments of which the call may use fewer, two
  constexpr const char* kRestartSyscall = "219";
  std::istringstream in(read_file(task + "syscall"));
  std::vector<std::string> fields;
  for (std::string field; in >> field;)
    fields.push_back(field);
  if (fields.size() != kFields || fields[0] == kRestartSyscall)
    return {};
  return fields[0] + " " + fields[1] + " " + fields[7] + " " + fields[8];
}

std::string vdso_bytes(pid_t pid) {
  std::istringstream maps(read_file(base_of(pid) + "maps"));
  const int mem = ::open((base_of(pid) + "mem").c_str(), O_RDONLY | O_CLOEXEC);
  std::string bytes;
  for (std::string line; std::getline(maps, line);) {
    unsigned long start = 0;
    unsigned long end = 0;
    if (line.find("[vdso]") == std::string::npos ||
        std::sscanf(line.c_str(), "%lx-%lx", &start, &end) != 2)
      continue;
    bytes.resize(end - start);
    const ssize_t count = ::pread(mem, bytes.data(), bytes.size(), static_cast<off_t>(start));
    bytes.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  }
  ::close(mem);
  return bytes;
}

void add_process(pid_t pid, TreeState& state) {
  const std::string base = base_of(pid);
  const std::string name = std::to_string(pid) + " ";
  const auto stat = read_stat(pid);
  if (!stat) {
    state[name + "stat"] = "gone";
    return;
  }
  std::ostringstream ids;
  ids << stat->ppid << " " << stat->pgid << " " << stat->sid << " " << stat->tty << " "
      << stat->tpgid << (stat->state == 'Z' ? " zombie" : "");
  state[name + "stat"] = ids.str();
  state[name + "status"] = lasting_status(base + "status");
  std::istringstream maps(read_file(base + "maps"));
  for (std::string line; std::getline(maps, line);)
    state[name + "maps " + line] = "mapped";
  state[name + "vdso"] = vdso_bytes(pid);
  for (const auto& [fd, facts] : fds_of(pid)) {
    const std::string number = std::to_string(fd);
    state[name + "fd/" + number] = target_of(base + "fd/" + number);
    state[name + "fdinfo/" + number] = read_file(base + "fdinfo/" + number);
  }
  for (const pid_t tid : threads_of(pid)) {
    const std::string task = "task/" + std::to_string(tid) + "/";
    state[name + task + "status"] = lasting_status(base + task + "status");
    if (const std::string call = waiting_call(base + task); !call.empty())
      state[name + task + "syscall"] = call;
  }
}

}  // namespace

TreeState state_of(const TerminalSession& terminal, const std::vector<pid_t>& pids) {
  TreeState state;
  for (const pid_t pid : pids)
    add_process(pid, state);
  const termios modes = terminal.modes();
  state["terminal modes"] =
      std::string(reinterpret_cast<const char*>(&modes), sizeof modes);  // NOLINT: bytes to compare
  state["terminal foreground"] = std::to_string(terminal.foreground_pgid());
  return state;
}

std::string difference(const TreeState& before, const TreeState& after) {
  const auto value = [](const TreeState& state, const std::string& key) {
    const auto found = state.find(key);
    return found == state.end() ? std::string("(none)") : found->second;
  };
  std::set<std::string> keys;
  for (const TreeState* state : {&before, &after}) {
    for (const auto& [key, text] : *state)
      keys.insert(key);
  }
  std::string out;
  for (const std::string& key : keys) {
    // A thread that runs, or that has not got back to its call yet, shows none.
    const bool call = key.size() > 7 && key.compare(key.size() - 7, 7, "syscall") == 0;
    if (call && (before.count(key) == 0 || after.count(key) == 0))
      continue;
    if (value(before, key) != value(after, key))
      out += key + ": was " + visible(value(before, key)) + ", is " + visible(value(after, key)) +
             "\n";
  }
  return out;
}

testing::AssertionResult is_as_before(const TreeState& before, const TerminalSession& terminal,
                                      const std::vector<pid_t>& pids) {
  std::string differs;
  if (wait_until([&] { return (differs = difference(before, state_of(terminal, pids))).empty(); },
                 Duration{2'000}))
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << differs;
}

}  // namespace grab::test
