// SPDX-License-Identifier: MIT
// Moves random trees with the real grab, kills grab's processes at random, and counts what became
// of it. Run it by tools/soak.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <new>
#include <string>
#include <vector>

#include "soak/actor.h"
#include "soak/round.h"

namespace grab::soak {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kHelp =
    R"(usage: tools/soak [SECONDS] [OPTION]...

Moves random trees with grab for SECONDS (60), kills grab's processes at random instants, and prints
counts. Exit status 0: nothing was harmed.

  --grab PATH   the program
  --seed N      the same random trees and intentions again; without it, a new one
  --tree N      only the tree that was printed with this number
  --lanes N     trees at a time (3)
  --trees N     ends earlier, when as many trees
  --kills N     and as many kills are done; and fails if they are not reached
  --verbose     prints what is done
)";

struct Options {
  std::string grab;
  std::uint64_t seed = 0, tree = 0, trees = 0, kills = 0;
  long seconds = 60;
  unsigned lanes = 3;
  bool verbose = false, help = false;
};

bool parse(const std::vector<std::string>& words, Options& options) {
  options.seed =
      static_cast<std::uint64_t>(Clock::now().time_since_epoch().count()) % 1'000'000'000;
  for (std::size_t i = 0; i < words.size(); i++) {
    const std::string& word = words[i];
    if (word == "--verbose" || word == "--help") {
      (word == "--help" ? options.help : options.verbose) = true;
      continue;
    }
    if (word[0] != '-') {
      options.seconds = std::atol(word.c_str());
      continue;
    }
    if (++i == words.size())
      return false;
    const std::uint64_t number = std::strtoull(words[i].c_str(), nullptr, 10);
    if (word == "--grab")
      options.grab = words[i];
    else if (word == "--seed")
      options.seed = number;
    else if (word == "--tree")
      options.tree = number;
    else if (word == "--trees")
      options.trees = number;
    else if (word == "--kills")
      options.kills = number;
    else if (word == "--lanes")
      options.lanes = static_cast<unsigned>(number);
    else
      return false;
  }
  return options.help || (!options.grab.empty() && options.seconds > 0 && options.lanes > 0);
}

/// A shell without job control of note: it starts the tree as a job and waits.
[[noreturn]] void be_shell() {
  (void)signal(SIGTTOU, SIG_IGN);
  const pid_t job = fork();
  if (job == 0) {
    (void)setpgid(0, 0);
    (void)tcsetpgrp(STDIN_FILENO, getpid());
    (void)signal(SIGTTOU, SIG_DFL);
    (void)execl("/proc/self/exe", "soak", "--actor", "0", nullptr);
    _exit(127);
  }
  (void)setpgid(job, job);
  (void)tcsetpgrp(STDIN_FILENO, job);
  while (waitpid(job, nullptr, 0) < 0 && errno == EINTR) {
  }
  for (;;)
    (void)pause();
}

void print(const Counts& counts, double seconds) {
  std::printf("%.0f s: %" PRIu64 " trees of %" PRIu64 " processes, %" PRIu64
              " moves, of which %" PRIu64 " of a moved tree, %" PRIu64 " half moves, %" PRIu64
              " kills (",
              seconds, counts.trees.load(), counts.processes.load(), counts.moves.load(),
              counts.moves_again.load(), counts.half_moved.load(), counts.all_kills());
  for (std::size_t i = 0; i < counts.kills.size(); i++)
    std::printf("%s%s %" PRIu64, i == 0 ? "" : ", ", name_of(static_cast<Role>(i)),
                counts.kills.at(i).load());
  std::printf("; tracer and starter at once %" PRIu64 "), %" PRIu64
              " relays and keepers replaced, %" PRIu64 " viewers came to the new relay, %" PRIu64
              " refusals, %" PRIu64 " epoll_wait interrupted, harmed: %" PRIu64 "\n",
              counts.both_killed.load(), counts.relays_replaced.load(),
              counts.viewers_returned.load(), counts.refusals.load(),
              counts.epoll_interrupted.load(), counts.harmed.load());
  (void)std::fflush(stdout);
}

bool has_enough(const Options& options, const Counts& counts) {
  return options.trees + options.kills > 0 && counts.trees >= options.trees &&
         counts.all_kills() >= options.kills;
}

std::uint64_t seed_of_tree(std::uint64_t seed, std::uint64_t number) {
  std::uint64_t mixed = seed * 0x9e3779b97f4a7c15ULL + number * 0xbf58476d1ce4e5b9ULL;
  mixed ^= mixed >> 31U;
  return mixed % 1'000'000'000'000ULL + 1;
}

[[noreturn]] void run_lane(const Options& options, unsigned lane, Counts& counts) {
  (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::string folder = "/tmp/grab-soak.XXXXXX";
  if (mkdtemp(folder.data()) == nullptr)
    _exit(3);
  (void)setenv("XDG_RUNTIME_DIR", folder.c_str(), 1);
  (void)setenv("TERM", "xterm", 1);
  const auto end = Clock::now() + std::chrono::seconds(options.seconds);
  for (std::uint64_t i = 0; Clock::now() < end && !has_enough(options, counts); i++) {
    const std::uint64_t seed =
        options.tree != 0 ? options.tree : seed_of_tree(options.seed, i * options.lanes + lane);
    run_round({options.grab, seed, options.verbose}, counts);
    if (options.tree != 0)
      break;
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  _exit(0);
}

int run(const Options& options) {
  void* const shared =
      mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED)
    return 3;
  Counts& counts = *new (shared) Counts{};
  std::printf("seed %" PRIu64 "\n", options.seed);
  (void)std::fflush(stdout);
  const auto begun = Clock::now();
  const unsigned lanes = options.tree != 0 ? 1 : options.lanes;
  for (unsigned lane = 0; lane < lanes; lane++) {
    if (fork() == 0)
      run_lane(options, lane, counts);
  }
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - begun).count(); };
  bool all_well = true;
  unsigned ended = 0;
  for (double told = 0; ended < lanes;) {
    int status = 0;
    if (waitpid(-1, &status, WNOHANG) > 0) {
      ended++;
      all_well = all_well && status == 0;
      if (status != 0)
        std::fprintf(stderr, "soak: a lane has ended with %#x\n", static_cast<unsigned>(status));
      continue;
    }
    if (seconds() - told >= 60) {
      told = seconds();
      print(counts, told);
    }
    (void)usleep(50'000);
  }
  print(counts, seconds());
  if (counts.trees < options.trees || counts.all_kills() < options.kills) {
    std::fprintf(stderr, "soak: there was time for fewer trees or kills than were asked for\n");
    all_well = false;
  }
  return all_well && counts.harmed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace grab::soak

int main(int argc, char** argv) {
  using namespace grab::soak;
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 2 && (words[0] == "--actor" || words[0] == "--actor-again"))
    run_actor(std::strtoul(words[1].c_str(), nullptr, 10), words[0] == "--actor-again");
  if (words.size() == 1 && words[0] == "--shell")
    be_shell();
  Options options;
  if (!parse(words, options) || options.help) {
    (void)std::fputs(kHelp, options.help ? stdout : stderr);
    return options.help ? 0 : 2;
  }
  return run(options);
}
