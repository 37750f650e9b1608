// SPDX-License-Identifier: MIT
#include "relay_bench/options.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <map>
#include <sstream>
#include <string_view>

namespace grab::bench {
namespace {

constexpr std::array<std::string_view, 10> kMeasures{"text", "lines", "blocks",  "log",    "screen",
                                                     "echo", "load",  "streams", "memory", "idle"};

bool positive(const std::string& text, double most, double& value) {
  char* end = nullptr;
  value = std::strtod(text.c_str(), &end);
  return end != text.c_str() && *end == '\0' && value > 0 && value <= most;
}

bool rounds_in(const std::string& text, int& rounds) {
  double value = 0;
  if (!positive(text, 1000, value) || value != static_cast<int>(value))
    return false;
  rounds = static_cast<int>(value);
  return true;
}

std::vector<std::string> words_in(const std::string& text) {
  std::vector<std::string> all;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');)
    all.push_back(word);
  return all;
}

bool measures_in(const std::string& text, std::vector<std::string>& measures) {
  measures = words_in(text);
  return !measures.empty() && std::all_of(measures.begin(), measures.end(), [](const auto& name) {
    return std::find(kMeasures.begin(), kMeasures.end(), name) != kMeasures.end();
  });
}

bool flaw_in(const std::string& text, Flaw& flaw) {
  flaw = text == "written" ? Flaw::kWritten : Flaw::kTyped;
  return text == "written" || text == "typed";
}

void set_quick(Options& options) {
  options.rounds = 1;
  options.seconds = 0.03;
  options.idle = 0.5;
  options.echoes = 100;
  options.loaded_echoes = 30;
  options.lines = 2'000;
}

}  // namespace

const char* help_text() {
  return "usage: relay_bench [OPTIONS]\n"
         "  --grab PATH         the grab to measure (build/release/grab)\n"
         "  --least PATH        the least relay (build/release/bench/least_relay)\n"
         "  --grab-way WAY      run: grab run; tree: grab --tree of a program that waits;\n"
         "                      auto: run if this grab knows it (auto)\n"
         "  --rounds N          rounds (9)\n"
         "  --seconds S         how long each run of output shall take (0.2)\n"
         "  --idle S            how long the contenders are watched while idle (10)\n"
         "  --contenders A,...  only these of least, grab, dtach, tmux, screen, script, reptyr; "
         "direct "
         "is\n"
         "                      always measured\n"
         "  --measures A,...    only these of text, lines, blocks, log, screen, echo, load, "
         "streams,\n"
         "                      memory, idle\n"
         "  --quick             one short round, to see that everything works; options behind it "
         "count\n"
         "  --json FILE         every reading as JSON; \"-\" writes it instead of the tables\n"
         "  --check             exit status 1 when a target is missed\n"
         "  --flaw KIND         one byte in each stream is wrong (written or typed), to see it "
         "found\n"
         "Exit status 1 when a contender failed or a byte was wrong.\n";
}

bool Options::wants(const std::string& measure) const {
  return measures.empty() || std::find(measures.begin(), measures.end(), measure) != measures.end();
}

std::optional<Options> parse(const std::vector<std::string>& words) {
  Options options;
  const auto path = [](std::string& field) {
    return [&field](const std::string& value) {
      field = value;
      return !value.empty();
    };
  };
  const std::map<std::string, std::function<bool(const std::string&)>> with_value{
      {"--grab", path(options.grab)},
      {"--least", path(options.least)},
      {"--json", path(options.json)},
      {"--grab-way",
       [&](const std::string& value) {
         options.grab_way = value;
         return value == "auto" || value == "run" || value == "tree";
       }},
      {"--rounds", [&](const std::string& value) { return rounds_in(value, options.rounds); }},
      {"--seconds", [&](const std::string& value) { return positive(value, 10, options.seconds); }},
      {"--idle", [&](const std::string& value) { return positive(value, 3600, options.idle); }},
      {"--contenders",
       [&](const std::string& value) {
         options.contenders = words_in(value);
         return !options.contenders.empty();
       }},
      {"--measures",
       [&](const std::string& value) { return measures_in(value, options.measures); }},
      {"--flaw", [&](const std::string& value) { return flaw_in(value, options.flaw); }},
  };
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--check") {
      options.check = true;
    } else if (words[i] == "--quick") {
      set_quick(options);
    } else {
      const auto option = with_value.find(words[i]);
      if (option == with_value.end() || ++i == words.size() || !option->second(words[i]))
        return std::nullopt;
    }
  }
  return options;
}

}  // namespace grab::bench
