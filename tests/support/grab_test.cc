// SPDX-License-Identifier: MIT
#include "support/grab_test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace grab::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrompt = "shell> ";

std::vector<std::string> shell_command(const std::string& kind, bool login) {
  const std::string path = installed(kind).value_or(kind);
  const auto with_login = [&](std::vector<std::string> command) {
    if (login)
      command.emplace_back("-l");
    return command;
  };
  if (kind == "bash")
    return login ? with_login({path, "--noprofile", "--norc", "-i"})
                 : std::vector<std::string>{path, "--norc", "-i"};
  if (kind == "zsh")
    return with_login({path, "-f", "-i"});
  if (kind == "fish")
    return with_login({path, "-i", "-C",
                       std::string("function fish_prompt; printf '") + kPrompt +
                           "'; end; function fish_greeting; end; function fish_title; end"});
  if (kind == "busybox")
    return {path, "ash", "-i"};
  if (kind == "tcsh")
    return {path, "-f"};
  if (kind == "yash")
    return {path, "--norcfile", "-i"};
  if (kind == "xonsh")
    return {path, "--no-rc", std::string("-DPROMPT=") + kPrompt};
  if (kind == "nu")
    return {path, "--no-config-file", "--execute",
            std::string("$env.config.show_banner = false; $env.PROMPT_COMMAND = '") + kPrompt +
                "'; $env.PROMPT_COMMAND_RIGHT = ''; $env.PROMPT_INDICATOR = ''"};
  return with_login({path, "-i"});
}

std::map<std::string, std::string> shell_environment() {
  return {{"PS1", kPrompt},
          {"PATH", program_folder() + ":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"},
          {"INPUTRC", "/dev/null"},
          {"HISTFILE", ""},
          {"SHELL", "/bin/sh"},
          {"TEXMFHOME", ""},
          {"LESS", ""}};
}

void must_be(const testing::AssertionResult& result) {
  if (!result)
    throw std::runtime_error(result.message());
}

}  // namespace

std::string grab_path() {
  const char* other = ::getenv("GRAB");
  return other != nullptr ? other : GRAB_PATH;
}

std::optional<std::string> installed(const std::string& program) {
  for (const char* folder : {"/usr/local/bin/", "/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/"}) {
    if (const std::string path = folder + program; ::access(path.c_str(), X_OK) == 0)
      return path;
  }
  return std::nullopt;
}

std::optional<std::string> why_not_traceable() {
  std::ifstream file("/proc/sys/kernel/yama/ptrace_scope");
  int scope = 0;
  if (!(file >> scope) || scope == 0 || (scope < 3 && ::geteuid() == 0))
    return std::nullopt;
  return "/proc/sys/kernel/yama/ptrace_scope is " + std::to_string(scope);
}

std::string program_folder() {
  std::string folder = scratch("bin");
  if (!exists(folder)) {
    fs::create_directory(folder);
    fs::create_symlink(grab_path(), folder + "/grab");
    const fs::path zoo = ZOO_PATH;
    const char* other = std::getenv("GRAB_TEST_ZOO");
    fs::create_symlink(other != nullptr ? zoo.parent_path() / other : zoo, folder + "/tracee_zoo");
    for (const char* more : {"tracee_zoo32", "tracee_zoo32_static", "x32_lines"}) {
      if (const fs::path built = zoo.parent_path() / more; fs::exists(built))
        fs::create_symlink(built, folder + "/" + more);
    }
  }
  return folder;
}

std::string scratch(const std::string& name) {
  return scratch_folder() + "/" + name;
}

bool exists(const std::string& path) {
  return fs::exists(fs::symlink_status(path));
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

Shell::Shell(const std::string& kind, Options options)
    : TerminalSession(
          options.name + ", " + kind, shell_command(kind, options.login),
          {.environment = shell_environment(), .size = options.size, .emulated = options.emulated}),
      kind_(kind) {
  if (kind == "tcsh")
    run(std::string("set prompt='") + kPrompt + "'");
  // These set their prompt to "# " for root; a login shell's /etc/profile sets PATH as well.
  if (kind == "yash" || kind == "mksh" || kind == "ksh93")
    run(std::string("PS1='") + kPrompt + "'");
  if (kind == "dash" && options.login)
    run("PATH=" + program_folder() + ":$PATH PS1='" + kPrompt + "'");
  if (kind == "zsh")
    run("unsetopt PROMPT_SP");
  must_be(expect_prompt());
  must_be(answers());
}

void Shell::run(const std::string& line) {
  type(line + "\r");
}

testing::AssertionResult Shell::expect_prompt(Duration limit) {
  return expect(kPrompt, limit);
}

testing::AssertionResult Shell::answers() {
  // The quotes keep the answer from being found in the echo of the question.
  const std::string number = std::to_string(++questions_);
  if (kind_ == "xonsh" || kind_ == "nu")
    run("print ('ans' + 'wer-" + number + "-end')");
  else
    run("echo ans''wer-" + number + "-''end");
  if (auto shown = expect("answer-" + number + "-end"); !shown)
    return shown;
  return expect_prompt();
}

std::string Shell::output_of(const std::string& command) {
  const std::string number = std::to_string(++questions_);
  const std::size_t before = transcript().size();
  run("echo out''put-" + number + "; " + command + "; echo en''d-" + number);
  must_be(expect("output-" + number));
  must_be(expect("end-" + number));
  must_be(expect_prompt());
  const std::string shown = transcript().substr(before);
  const auto start = shown.find("output-" + number) + ("output-" + number).size();
  return shown.substr(start, shown.find("end-" + number, start) - start);
}

pid_t Shell::start(const std::string& line) {
  run(line);
  return static_cast<pid_t>(expect_number("ready "));
}

pid_t Shell::start_job(const std::string& line, int count) {
  run(line);
  for (int i = 0; i < count; ++i)
    (void)expect_number("ready ");
  return foreground_pgid();
}

long Shell::expect_number(const std::string& text) {
  const auto has_number = [&]() -> std::optional<long> {
    const std::string shown = unread();
    for (auto at = shown.find(text); at != std::string::npos; at = shown.find(text, at + 1)) {
      const auto first = at + text.size();
      const auto last = shown.find_first_not_of("0123456789", first);
      if (last != std::string::npos && last > first)
        return std::stol(shown.substr(first, last - first));
    }
    return std::nullopt;
  };
  std::optional<long> number;
  if (!wait_until([&] { return (number = has_number()).has_value(); }))
    throw std::runtime_error("no number was shown behind \"" + text + "\"\n" + all_transcripts());
  must_be(expect(text + std::to_string(*number)));
  return *number;
}

pid_t Shell::wait_for_program(const std::string& comm) {
  std::optional<pid_t> found;
  if (!wait_until([&] { return (found = descendant_named(pid(), comm)).has_value(); }))
    throw std::runtime_error(comm + " did not start\n" + all_transcripts());
  return *found;
}

void SecondTerminal::grab(const std::string& arguments) {
  run("grab " + arguments + "; echo \"[status $?]\"");
}

void SecondTerminal::grab_tree(pid_t pid, const std::string& options) {
  grab(options + (options.empty() ? "" : " ") + "--tree " + std::to_string(pid));
}

namespace {

// Kernel: the status of a process that its parent has reaped is told since Linux 6.15. Source:
// docs/kernel.md.
bool kernel_tells_every_status() {
  utsname name{};
  int major = 0, minor = 0;
  return ::uname(&name) == 0 && std::sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
         std::pair(major, minor) >= std::pair(6, 15);
}

}  // namespace

testing::AssertionResult SecondTerminal::expect_grab_ended(int status) {
  const auto shows = [this](const std::string& text) {
    return unread().find(text) != std::string::npos;
  };
  std::string ended = "[status " + std::to_string(status) + "]";
  const std::string not_told = "the kernel does not tell its status";
  if (!kernel_tells_every_status() && wait_until([&] { return shows(not_told) || shows(ended); }) &&
      shows(not_told))
    ended = "[status 0]";
  if (auto shown = expect(ended); !shown)
    return shown;
  return expect_prompt();
}

testing::AssertionResult SecondTerminal::echoes(const std::string& line) {
  type(line + "\r");
  return expect("got: " + line + "\r\n");
}

SecondTerminal::Outcome SecondTerminal::grab_and_wait(const std::string& arguments) {
  skip_shown();
  const std::size_t before = transcript().size();
  grab(arguments);
  must_be(expect("$?]\""));  // the echo of the line
  const long status = expect_number("[status ");
  must_be(expect_prompt());
  const std::string shown = transcript().substr(before);
  const auto start = shown.find('\n') + 1;
  return {static_cast<int>(status), shown.substr(start, shown.rfind("[status ") - start)};
}

pid_t SecondTerminal::grab_pid() {
  return wait_for_program("grab");
}

namespace {

bool has_left_now(const TerminalSession& from, pid_t pid) {
  // Asked last whether it is traced: it has other descriptors before it is moved.
  const bool has_none = fds_on(pid, from.path()).empty();
  const auto stat = read_stat(pid);
  return !stat || stat->state == 'Z' || (has_none && stat->tty != from.device() && !is_traced(pid));
}

testing::AssertionResult not_left(const TerminalSession& from, const std::vector<pid_t>& pids) {
  auto failure = testing::AssertionFailure() << "not moved off " << from.path() << ":\n";
  for (const auto& [pid, facts] : facts_of(pids))
    failure << pid << ": " << testing::PrintToString(facts) << "\n";
  return failure << all_transcripts();
}

}  // namespace

testing::AssertionResult have_left(const TerminalSession& from, const std::vector<pid_t>& pids) {
  const auto left = [&](pid_t pid) { return has_left_now(from, pid); };
  if (wait_until([&] { return std::all_of(pids.begin(), pids.end(), left); }))
    return testing::AssertionSuccess();
  return not_left(from, pids);
}

testing::AssertionResult has_left(const TerminalSession& from, pid_t pid) {
  return have_left(from, {pid});
}

bool grab_is_busy() {
  const auto pids = tree_of(::getpid());
  return std::any_of(pids.begin(), pids.end(), [](pid_t pid) {
    const auto stat = read_stat(pid);
    return stat && is_alive(pid) && stat->comm == "grab-tracer";
  });
}

testing::AssertionResult grabs_tree(SecondTerminal& second, Shell& from, pid_t pid,
                                    const std::string& options) {
  const auto tree = tree_of(pid);
  second.skip_shown();
  second.grab_tree(pid, options);
  static const std::regex status("\\[status [0-9]");  // not the echo of the line
  const auto ended = [&] { return std::regex_search(second.unread(), status); };
  const auto left = [&](pid_t member) { return has_left_now(from, member); };
  const auto all_left = [&] { return std::all_of(tree.begin(), tree.end(), left); };
  (void)wait_until([&] { return ended() || all_left(); });
  if (!all_left())
    return not_left(from, tree);
  // Before grab has its terminal in raw mode, keys mean what they mean to any program.
  if (!wait_until([&] { return ended() || (second.modes().c_lflag & ISIG) == 0; }))
    return testing::AssertionFailure() << "grab does not show the tree\n" << all_transcripts();
  if (!wait_until([] { return !grab_is_busy(); }))
    return testing::AssertionFailure() << "grab goes on tracing\n" << all_transcripts();
  // What traces is a child of grab, which ends when the old shell has been told, or stays to guard.
  const auto tracing = [&] {
    const auto grabs = children_of(second.pid());
    return std::any_of(grabs.begin(), grabs.end(), [](pid_t grab) {
      const auto own = children_of(grab);
      return std::any_of(own.begin(), own.end(), [](pid_t child) {
        const auto stat = read_stat(child);
        return stat && is_alive(child) && stat->comm != "grab-guard";
      });
    });
  };
  if (!wait_until([&] { return ended() || !tracing(); }))
    return testing::AssertionFailure() << "grab goes on tracing\n" << all_transcripts();
  return testing::AssertionSuccess();
}

Unchanged::Unchanged(const TerminalSession& terminal, std::vector<pid_t> pids)
    : terminal_(terminal),
      pids_(std::move(pids)),
      facts_(facts_of(pids_)),
      modes_(terminal.modes()),
      foreground_pgid_(terminal.foreground_pgid()) {}

testing::AssertionResult Unchanged::holds() const {
  // A tracer that ends lets go of its tracees a moment later.
  if (!wait_until([&] { return facts_of(pids_) == facts_; }, Duration{2'000})) {
    return testing::AssertionFailure() << "before: " << testing::PrintToString(facts_)
                                       << "\nafter: " << testing::PrintToString(facts_of(pids_));
  }
  const termios now = terminal_.modes();
  if (now.c_iflag != modes_.c_iflag || now.c_oflag != modes_.c_oflag ||
      now.c_lflag != modes_.c_lflag)
    return testing::AssertionFailure() << "the modes of " << terminal_.path() << " are others";
  if (terminal_.foreground_pgid() != foreground_pgid_)
    return testing::AssertionFailure()
           << "the foreground group of " << terminal_.path() << " is "
           << terminal_.foreground_pgid() << ", was " << foreground_pgid_;
  return testing::AssertionSuccess();
}

std::string terminal_of(pid_t pid) {
  const auto fds = fds_of(pid);
  const auto found = fds.find(0);
  return found == fds.end() ? std::string() : found->second.target;
}

GrabTest::GrabTest()
    // Below ctest's limit of 60 s, so that it is this that ends a test which hangs. A storm of
    // many, by hand, may take longer.
    : watchdog_(std::chrono::seconds{std::getenv("GRAB_STORM") != nullptr ? 300 : 50}, [] {
        std::cerr << all_transcripts();
        remove_scratch_folder();
      }) {
  adopt_orphans();
}

GrabTest::~GrabTest() = default;

void GrabTest::SetUp() {
  if (const auto why = why_not_traceable())
    GTEST_SKIP() << *why;
}

void GrabTest::TearDown() {
  EXPECT_TRUE(end_all_descendants()) << "something that this test started can not be ended";
  remove_scratch_folder();
}

void EveryShell::SetUp() {
  GrabTest::SetUp();
  if (!installed(GetParam()))
    GTEST_SKIP() << GetParam() << " is not installed";
}

}  // namespace grab::test
