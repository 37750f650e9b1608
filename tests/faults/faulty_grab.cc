// SPDX-License-Identifier: MIT
#include "faults/faulty_grab.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>

namespace grab::test {
namespace {

constexpr const char* kFailedWord = "failed ";

/// The grab of every test in this program is the one with fault points, unless GRAB names another.
[[maybe_unused]] const int kGrabIsNamed = ::setenv("GRAB", FAULTY_GRAB_PATH, 0);

}  // namespace

FaultyGrab::FaultyGrab(const std::string& fault, const std::vector<std::string>& arguments,
                       std::vector<std::string> before)
    : log_(scratch("faults.log")) {
  ::unlink(log_.c_str());
  std::vector<std::string> command = std::move(before);
  if (command.empty())
    command = {grab_path()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  terminal_ = std::make_unique<TerminalSession>(
      "grab with " + fault, command,
      TerminalSession::Options{.environment = {{"GRAB_FAULT", fault}, {"GRAB_FAULT_LOG", log_}},
                               .size = {30, 132}});
}

void FaultyGrab::wait() {
  const auto ended = [&] {
    if (const auto status = reaped_status(terminal_->pid())) {
      exit_status_ = WIFEXITED(*status) ? WEXITSTATUS(*status) : 128 + WTERMSIG(*status);
      return true;
    }
    return shows_ = (terminal_->modes().c_lflag & ISIG) == 0;
  };
  if (!wait_until(ended))
    throw std::runtime_error("grab neither ends nor shows the tree\n" + all_transcripts());
}

void FaultyGrab::wait_for_stop() const {
  if (!wait_until([this] { return has_failed_step(); }))
    throw std::runtime_error("grab does not come to that step\n" + all_transcripts());
}

void FaultyGrab::wait_for_telling() const {
  if (!wait_until([] { return !descendant_named(::getpid(), "grab-tracer"); }))
    throw std::runtime_error("the tracer does not end\n" + all_transcripts());
}

bool FaultyGrab::said_one_sentence() const {
  static const std::regex form("grab: [^\r\n]+\r\n(hint: [^\r\n]+\r\n)?");
  // What a process has written before its end is shown a moment later.
  return wait_until([this] { return std::regex_match(said(), form); }, Duration{1'000});
}

bool FaultyGrab::has_failed_step() const {
  const std::string log = read_file(log_);
  return log.rfind(kFailedWord, 0) == 0 ||
         log.find(std::string("\n") + kFailedWord) != std::string::npos;
}

std::vector<std::string> FaultyGrab::steps() const {
  std::istringstream in(read_file(log_));
  std::vector<std::string> steps;
  std::set<std::string> known;
  for (std::string line; std::getline(in, line) && line.rfind(kFailedWord, 0) != 0;) {
    if (known.insert(line).second)
      steps.push_back(line);
  }
  return steps;
}

std::optional<pid_t> stopped_tracer() {
  for (const pid_t pid : descendants_of(::getpid())) {
    const auto stat = read_stat(pid);
    if (stat && stat->comm == "grab-tracer" && stat->state == 'T')
      return pid;
  }
  return std::nullopt;
}

pid_t stopped_after(pid_t before, const FaultyGrab& grab) {
  pid_t tracer = 0;
  EXPECT_TRUE(wait_until([&] { return (tracer = stopped_tracer().value_or(before)) != before; }))
      << grab.said();
  return tracer;
}

pid_t kill_with_starter(const FaultyGrab& grab, pid_t before) {
  const pid_t tracer = stopped_after(before, grab);
  const pid_t starter = read_stat(tracer)->ppid;
  EXPECT_NE(starter, grab.terminal().pid());
  ::kill(starter, SIGSTOP);
  for (const pid_t pid : {starter, tracer})
    ::kill(pid, SIGKILL);
  return tracer;
}

}  // namespace grab::test
