// SPDX-License-Identifier: MIT
#include "soak/processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>

#include "soak/actor.h"

namespace grab::soak {
namespace {

std::string text_of(const std::string& path) {
  // Not by a stream: of a process that ends meanwhile the read fails, which throws.
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> bytes{};
  const ssize_t count = file.valid() ? read(file.get(), bytes.data(), bytes.size()) : 0;
  return {bytes.data(), count > 0 ? static_cast<std::size_t>(count) : 0};
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(tasks.c_str()), closedir);
  while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
    if (entry->d_name[0] == '.')
      continue;
    std::ifstream file(tasks + "/" + entry->d_name + "/children");
    for (pid_t child = 0; file >> child;)
      children.push_back(child);
  }
  return children;
}

}  // namespace

const char* name_of(Role role) {
  constexpr std::array<const char*, static_cast<std::size_t>(Role::kCount)> kNames = {
      "viewer", "starter", "tracer", "keeper", "relay"};
  return kNames.at(static_cast<std::size_t>(role));
}

std::vector<pid_t> below(pid_t pid) {
  std::vector<pid_t> found = children_of(pid);
  for (std::size_t i = 0; i < found.size(); i++) {
    const auto more = children_of(found[i]);
    found.insert(found.end(), more.begin(), more.end());
  }
  return found;
}

std::string comm_of(pid_t pid) {
  std::string comm = text_of("/proc/" + std::to_string(pid) + "/comm");
  if (!comm.empty())
    comm.pop_back();
  return comm;
}

std::vector<pid_t> in_role(Role role, const std::vector<pid_t>& viewers) {
  std::vector<pid_t> found;
  for (const pid_t pid : below(getpid())) {
    const std::string comm = comm_of(pid);
    const bool is_viewer = std::find(viewers.begin(), viewers.end(), pid) != viewers.end();
    const bool fits = (role == Role::kViewer && is_viewer) ||
                      (role == Role::kStarter && !is_viewer && comm == "grab") ||
                      (role == Role::kTracer && comm == "grab-tracer") ||
                      (role == Role::kKeeper && comm == "grab-keeper") ||
                      (role == Role::kRelay && comm == "grab-relay");
    if (fits && state_of(pid).lives())
      found.push_back(pid);
  }
  return found;
}

State state_of(pid_t pid) {
  const std::string text = text_of("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t end = text.rfind(") ");
  return {end != std::string::npos && end + 2 < text.size() ? text[end + 2] : '\0'};
}

dev_t output_of(pid_t pid) {
  struct stat status {};
  const std::string path = "/proc/" + std::to_string(pid) + "/fd/1";
  return stat(path.c_str(), &status) == 0 ? status.st_rdev : 0;
}

bool keeps(pid_t pid, dev_t pts) {
  constexpr unsigned kFirstPtsMajor = 136;
  constexpr unsigned kPtsPerMajor = 256;
  const unsigned index = (major(pts) - kFirstPtsMajor) * kPtsPerMajor + minor(pts);
  const std::string wanted = "tty-index:\t" + std::to_string(index) + "\n";
  const std::string infos = "/proc/" + std::to_string(pid) + "/fdinfo";
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(infos.c_str()), closedir);
  while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
    if (text_of(infos + "/" + entry->d_name).find(wanted) != std::string::npos)
      return true;
  }
  return false;
}

void end_all_below() {
  for (int i = 0; i < 500; i++) {
    for (const pid_t pid : below(getpid()))
      (void)kill(pid, SIGKILL);
    pid_t reaped = 0;
    while ((reaped = waitpid(-1, nullptr, __WALL | WNOHANG)) > 0) {
    }
    if (reaped < 0 && errno == ECHILD)
      return;
    usleep(2000);
  }
}

Pty Pty::open() {
  Pty pty;
  pty.ptmx = UniqueFd(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  std::array<char, 64> name{};
  struct stat status {};
  if (!pty.ptmx.valid() || grantpt(pty.ptmx.get()) != 0 || unlockpt(pty.ptmx.get()) != 0 ||
      ptsname_r(pty.ptmx.get(), name.data(), name.size()) != 0 || stat(name.data(), &status) != 0) {
    std::perror("soak: a terminal");
    _exit(3);
  }
  const winsize size{24, 80, 0, 0};
  (void)ioctl(pty.ptmx.get(), TIOCSWINSZ, &size);
  pty.name = name.data();
  pty.device = status.st_rdev;
  return pty;
}

void Pty::drain() {
  constexpr std::size_t kKept = 4096;
  std::array<char, 8192> bytes{};
  ssize_t count = 0;
  while (ptmx.valid() && (count = read(ptmx.get(), bytes.data(), bytes.size())) > 0)
    shown.append(bytes.data(), static_cast<std::size_t>(count));
  if (shown.size() > kKept)
    shown.erase(0, shown.size() - kKept);
}

void Pty::type(const std::string& keys) const {
  if (write(ptmx.get(), keys.data(), keys.size()) < 0)
    errno = 0;  // full: it is typed again when nothing comes of it
}

bool Pty::is_raw() const {
  termios modes{};
  return tcgetattr(ptmx.get(), &modes) == 0 && (modes.c_lflag & ICANON) == 0;
}

pid_t start_on(const Pty& terminal, const std::vector<std::string>& words, int page) {
  std::vector<char*> argv;
  for (const std::string& word : words)
    argv.push_back(const_cast<char*>(word.c_str()));  // NOLINT: execv(3) does not write to them
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid != 0)
    return pid;
  (void)setsid();
  const int fd = open(terminal.name.c_str(), O_RDWR);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    (void)dup2(fd, standard);
  if (fd > STDERR_FILENO)
    (void)close(fd);
  if (page >= 0)
    (void)dup2(page, kPageFd);
  (void)execv(argv[0], argv.data());
  _exit(127);
}

}  // namespace grab::soak
