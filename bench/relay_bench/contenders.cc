// SPDX-License-Identifier: MIT
#include "relay_bench/contenders.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace grab::bench {
namespace {

std::string search(const std::string& program) {
  const char* path = ::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "/usr/bin:/bin");
  for (std::string path_of; std::getline(folders, path_of, ':');) {
    path_of += "/" + program;
    if (::access(path_of.c_str(), X_OK) == 0)
      return path_of;
  }
  return {};
}

void append(std::vector<std::string>& words, const std::vector<std::string>& more) {
  words.insert(words.end(), more.begin(), more.end());
}

// One word for sh(1).
std::string quoted(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& word : words) {
    all += all.empty() ? "'" : " '";
    for (const char c : word)
      all += c == '\'' ? std::string("'\\''") : std::string(1, c);
    all += "'";
  }
  return all;
}

}  // namespace

Contenders find_contenders(const Places& places, const std::vector<std::string>& wanted) {
  // The two that are compared with each other come one after the other, so that little time lies
  // between them.
  const std::vector<Contender> known{
      {.name = kDirect, .program = {}},
      {.name = kLeast, .program = places.least},
      {.name = kGrab, .program = places.grab},
      {.name = "dtach", .program = search("dtach")},
      {.name = "tmux", .program = search("tmux"), .exact = false},
      {.name = "screen", .program = search("screen"), .exact = false},
      {.name = "script", .program = search("script")},
      {.name = "reptyr", .program = search("reptyr"), .way = Way::kMove},
  };
  const auto is_wanted = [&](const std::string& name) {
    return wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end();
  };
  Contenders contenders;
  for (const Contender& contender : known) {
    if (contender.name != kDirect && !is_wanted(contender.name))
      continue;
    const bool there = contender.name == kDirect || ::access(contender.program.c_str(), X_OK) == 0;
    if (there)
      contenders.present.push_back(contender);
    else
      contenders.missing.push_back(contender.name + ": not installed" +
                                   (contender.program.empty() ? "" : ": " + contender.program));
  }
  if (is_wanted("abduco"))
    contenders.missing.emplace_back("abduco: not in Debian");
  for (const std::string& name : wanted)
    if (name != "abduco" && std::none_of(known.begin(), known.end(),
                                         [&](const Contender& c) { return c.name == name; }))
      contenders.missing.push_back(name + ": no contender has this name");
  return contenders;
}

std::vector<std::string> command_of(const Contender& contender, const Places& places, int id,
                                    const std::vector<std::string>& program) {
  const std::string own = contender.name + std::to_string(id);
  std::vector<std::string> words;
  if (contender.name != kDirect)
    words.push_back(contender.program);
  if (contender.name == kGrab && contender.way == Way::kMove) {
    append(words, {"--tree"});
  } else if (contender.name == kGrab) {
    append(words, {"run", "--"});
  } else if (contender.name == "dtach") {
    // No detach key, no suspend key, and no ^L typed to the program.
    append(words, {"-c", places.scratch + "/" + own, "-E", "-z", "-r", "none"});
  } else if (contender.name == "tmux") {
    append(words, {"-L", own, "-f", "/dev/null", "new-session"});
  } else if (contender.name == "screen") {
    append(words, {"-c", places.scratch + "/screenrc", "-S", own});
  } else if (contender.name == "script") {
    append(words, {"-q", "-c", "exec " + quoted(program), "/dev/null"});
    return words;
  }
  if (contender.way == Way::kRun)
    append(words, program);
  return words;
}

void set_environment(const std::string& scratch) {
  for (const char* name : {"TMUX", "TMUX_PANE", "STY", "SCREENRC", "DTACH_SOCKET"})
    (void)::unsetenv(name);
  const std::string sockets = scratch + "/sockets";
  (void)::mkdir(sockets.c_str(), 0700);
  for (const char* name : {"TMUX_TMPDIR", "SCREENDIR", "XDG_RUNTIME_DIR"})
    (void)::setenv(name, sockets.c_str(), 1);
  (void)::setenv("HOME", scratch.c_str(), 1);
  (void)::setenv("TERM", "xterm-256color", 1);
  (void)::setenv("LC_ALL", "C.UTF-8", 1);
  std::ofstream(scratch + "/screenrc") << "startup_message off\n";
}

}  // namespace grab::bench
