// SPDX-License-Identifier: MIT
// grab_bench: how long a tree takes to move, and for how long its processes stand still, beside
// reptyr (one process) and beside the floor (seize, interrupt, wait, detach and nothing else).
//
// Every sample is taken on a fresh tree on a fresh terminal. The contenders take turns within a
// round, so that what else the machine does meets all of them. The times are the tree's own: the
// root spins and reads CLOCK_MONOTONIC without end; the others, which cannot all spin on a few
// cores, sleep and read (the sleeps are short and start at different moments, so that some end at
// any moment of the window). contender.h says what each column is.
#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "table.h"

namespace grab::bench {
namespace {

constexpr const char* kHelp =
    "usage: grab_bench [--grab PATH] [--reptyr PATH] [--rounds N] [--sizes N,N...] [--check]\n"
    "  --grab PATH    the grab to measure (build/release/grab)\n"
    "  --reptyr PATH  the reptyr to compare with (/usr/bin/reptyr); \"none\" leaves it out\n"
    "  --rounds N     rounds (7)\n"
    "  --sizes N,...  processes in the tree (1,10,100,1000)\n"
    "  --check        exit status 1 when a target is missed\n";

struct Options {
  std::string grab = "build/release/grab";
  std::string reptyr = "/usr/bin/reptyr";
  int rounds = 7;
  std::vector<int> sizes{1, 10, 100, 1000};
  bool check = false;
};

std::optional<int> number_in(std::string_view text, int most) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 1 || value > most)
    return std::nullopt;
  return value;
}

std::optional<std::vector<int>> sizes_in(const std::string& text) {
  std::vector<int> sizes;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    const auto size = number_in(word, kMostProcesses);
    if (!size)
      return std::nullopt;
    sizes.push_back(*size);
  }
  if (sizes.empty())
    return std::nullopt;
  return sizes;
}

std::optional<Options> parse(const std::vector<std::string>& words) {
  Options options;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--check") {
      options.check = true;
      continue;
    }
    if (i + 1 == words.size())
      return std::nullopt;
    const std::string& name = words[i];
    const std::string& value = words[++i];
    if (name == "--grab") {
      options.grab = value;
    } else if (name == "--reptyr") {
      options.reptyr = value;
    } else if (const auto rounds = number_in(value, 1000); name == "--rounds" && rounds) {
      options.rounds = *rounds;
    } else if (const auto sizes = sizes_in(value); name == "--sizes" && sizes) {
      options.sizes = *sizes;
    } else {
      return std::nullopt;
    }
  }
  return options;
}

std::vector<Contender> contenders_for(const Options& options, int size) {
  std::vector<Contender> all{{Kind::kFloor, {}}, {Kind::kGrab, options.grab}};
  if (size == 1 && options.reptyr != "none")
    all.push_back({Kind::kReptyr, options.reptyr});
  return all;
}

// One sample of each contender on each size. Failures are told once each; they are no samples.
int run_round(const Options& options, Samples& samples, std::set<std::string>& told) {
  int failures = 0;
  for (const int size : options.sizes) {
    for (const Contender& contender : contenders_for(options, size)) {
      const Result<Sample> sample = measure(contender, size);
      if (sample) {
        samples[{size, contender.kind}].push_back(*sample);
        continue;
      }
      ++failures;
      if (told.insert(sample.error().message()).second)
        std::cerr << "grab_bench: " << size << " processes: " << sample.error().message() << "\n"
                  << sample.error().hint << "\n";
    }
  }
  return failures;
}

int run(const Options& options) {
  (void)::prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0, 0, 0);
  Samples samples;
  std::set<std::string> told;
  int failures = 0;
  for (int round = 1; round <= options.rounds; ++round) {
    std::cerr << "round " << round << " of " << options.rounds << "\n";
    failures += run_round(options, samples, told);
  }
  std::cout << options.rounds << " rounds, " << ::sysconf(_SC_NPROCESSORS_ONLN)
            << " cores; medians (least-most)\n\n";
  print_table(samples, std::cout);
  std::cout << "\nmoved    from the start of the program until the root has its new terminal "
               "(floor: until it ends)\n"
               "frozen   the longest window that a process saw, by its clock; median: the median "
               "process\n"
               "at most  the longest gap between two readings, sleeps included; quiet: frozen, "
               "before the start\n\n";
  const int missed = print_targets(samples, std::cout);
  if (failures > 0)
    std::cout << "  FAILED   " << failures << " runs gave no sample (see above)\n";
  return failures > 0 || (options.check && missed > 0) ? 1 : 0;
}

}  // namespace
}  // namespace grab::bench

int main(int argc, char** argv) {
  using namespace grab::bench;
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words[0] == "--floor") {
    std::vector<pid_t> pids;
    for (std::size_t i = 1; i < words.size(); ++i)
      pids.push_back(std::atoi(words[i].c_str()));
    return run_floor(pids);
  }
  if (!words.empty() && words[0] == "--help") {
    std::cout << kHelp;
    return 0;
  }
  const auto options = parse(words);
  if (!options) {
    std::cerr << kHelp;
    return 2;
  }
  return run(*options);
}
