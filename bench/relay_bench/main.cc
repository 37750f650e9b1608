// SPDX-License-Identifier: MIT
// relay_bench: what it costs to have a relay between a program and its terminal. Measured are the
// program directly on a terminal, the least possible relay, grab, and the programs that people use
// today, in turns. The benchmark is the outer terminal, and it starts itself as the program inside
// (--actor); every byte that passes on is compared with what it has to be.
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "relay_bench/actor.h"
#include "relay_bench/options.h"
#include "relay_bench/processes.h"
#include "relay_bench/report.h"
#include "relay_bench/rounds.h"

namespace grab::bench {
namespace {

namespace fs = std::filesystem;

volatile std::sig_atomic_t stop_requested = 0;

// A second signal ends the benchmark at once; its sessions then end by themselves.
void request_stop_on(std::initializer_list<int> signals) {
  for (const int signal : signals) {
    struct sigaction action {};
    action.sa_handler = [](int) { stop_requested = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    (void)::sigaction(signal, &action, nullptr);
  }
}

Result<fs::path> make_scratch() {
  std::string path = (fs::temp_directory_path() / "relay_bench.XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr)
    return fail_errno(errno, "mkdtemp " + path);
  return fs::path(path);
}

// Returns the exit status.
int print(const Report& report, const Options& options) {
  int missed = 0;
  if (options.json != "-") {
    std::cout << options.rounds << " rounds, " << ::sysconf(_SC_NPROCESSORS_ONLN)
              << " cores; medians (the middle half of the values)\n\n";
    print_tables(report, std::cout);
    missed = print_targets(report, std::cout);
  } else {
    std::ostringstream unseen;
    missed = print_targets(report, unseen);
    print_json(report, std::cout);
  }
  if (!options.json.empty() && options.json != "-") {
    std::ofstream file(options.json);
    print_json(report, file);
    if (!file.flush()) {
      std::cerr << "relay_bench: " << options.json << " could not be written\n";
      return 1;
    }
  }
  return !report.failures.empty() || (options.check && missed > 0) ? 1 : 0;
}

int run(const Options& options) {
  // Whoever a session leaves behind comes to this process, and is seen at the end.
  (void)::prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0, 0, 0);
  const Result<fs::path> scratch = make_scratch();
  if (!scratch) {
    std::cerr << "relay_bench: " << scratch.error().message() << "\n";
    return 1;
  }
  set_environment(scratch->string());
  request_stop_on({SIGINT, SIGTERM, SIGHUP});
  Rounds rounds(options,
                Places{.grab = fs::absolute(options.grab).string(),
                       .least = fs::absolute(options.least).string(),
                       .scratch = scratch->string()},
                [] { return stop_requested != 0; });
  const Status done = rounds.run();
  std::error_code error;
  fs::remove_all(*scratch, error);
  int status = print(rounds.report(), options);
  if (!done) {
    std::cerr << "relay_bench: " << done.error().message() << "\n";
    status = 1;
  }
  for (const pid_t pid : descendants_of(::getpid(), {})) {
    std::cerr << "relay_bench: process " << pid << " was left behind\n";
    status = 1;
  }
  return status;
}

}  // namespace
}  // namespace grab::bench

int main(int argc, char** argv) {
  using namespace grab::bench;
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 2 && words[0] == "--actor")
    return run_actor(words[1]);
  if (!words.empty() && words[0] == "--help") {
    std::cout << help_text();
    return 0;
  }
  const auto options = parse(words);
  if (!options) {
    std::cerr << help_text();
    return 2;
  }
  return run(*options);
}
