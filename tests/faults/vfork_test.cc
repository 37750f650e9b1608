// SPDX-License-Identifier: MIT
// A child of vfork(2) has its parent's memory until it calls execve(2). Whenever that is, nothing
// is written into the parent in its place.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <regex>
#include <string>
#include <vector>

#include "faults/faulty_grab.h"

namespace grab::test {
namespace {

// Without randomization both have their vDSO at one address. The child waits before its execve.
struct Vfork {
  Vfork() {
    EXPECT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    parent = first.start("setarch -R tracee_zoo vfork-late " + fifo);
    EXPECT_TRUE(wait_until([this] { return tree_of(parent).size() == 2; }));
  }
  ~Vfork() { ::unlink(fifo.c_str()); }
  Vfork(const Vfork&) = delete;
  Vfork& operator=(const Vfork&) = delete;
  void let_child_go_on() const { write_file(fifo, "x"); }
  [[nodiscard]] std::vector<std::string> grab_arguments() const {
    return {"--tree", std::to_string(parent)};
  }

  Shell first{"bash"};
  const std::string fifo = scratch("go");
  pid_t parent = 0;
};

// What is asked of both while they run, from the memory of the child on; not what names a process.
std::vector<std::string> steps_of_the_look() {
  Vfork tree;
  FaultyGrab grab("", tree.grab_arguments());
  const auto seizes = [](const std::string& step) { return step.rfind("PTRACE_SEIZE", 0) == 0; };
  EXPECT_TRUE(wait_until([&] {
    const std::vector<std::string> taken = grab.steps();
    return std::any_of(taken.begin(), taken.end(), seizes);
  })) << grab.said();
  tree.let_child_go_on();
  grab.wait();
  EXPECT_TRUE(grab.shows_the_tree()) << grab.said();
  static const std::regex names_none("(openat|read|kcmp|getdents)@[^/]*#[0-9]+");
  std::vector<std::string> steps;
  bool begun = false;
  for (const std::string& step : grab.steps()) {
    begun = begun || step == "openat@mem#2";
    if (seizes(step))
      break;
    if (begun && std::regex_match(step, names_none))
      steps.push_back(step);
  }
  return steps;
}

// The command has the same steps, before it starts the tracer.
pid_t stopped_grab() {
  for (const pid_t pid : descendants_of(::getpid())) {
    const auto stat = read_stat(pid);
    if (stat && stat->state == 'T' && stat->comm.rfind("grab", 0) == 0)
      return pid;
  }
  return 0;
}

class VforkChild : public GrabTest {};

TEST_F(VforkChild, IsMovedWithItsParentAtWhicheverStepOfTheLookItCallsExecve) {
  const std::vector<std::string> steps = steps_of_the_look();
  EXPECT_GT(steps.size(), 20U);
  for (const std::string& step : steps) {
    SCOPED_TRACE(step);
    Vfork tree;
    FaultyGrab grab(step + "=stop", tree.grab_arguments());
    grab.wait_for_stop();
    ASSERT_TRUE(wait_until([] { return stopped_grab() != 0; }));
    tree.let_child_go_on();
    ASSERT_TRUE(tree.first.expect("ready "));
    ::kill(stopped_grab(), SIGCONT);
    grab.wait();
    ASSERT_TRUE(grab.shows_the_tree()) << grab.said();
    grab.terminal().type("hello\r");
    ASSERT_TRUE(grab.terminal().expect("got: hello"));
  }
  std::cout << steps.size() << " steps of the look\n";
}

}  // namespace
}  // namespace grab::test
