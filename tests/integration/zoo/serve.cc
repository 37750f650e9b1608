// SPDX-License-Identifier: MIT
// The part that all behaviours share: a program that answers lines.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

#include "integration/zoo/zoo.h"

namespace zoo {
namespace {

std::string terminal_of(int fd) {
  char name[128];
  return ::ttyname_r(fd, name, sizeof name) == 0 ? name : "none";
}

std::string report_line(const char* who) {
  std::ostringstream out;
  // /proc names the terminal that /dev/tty is by its number only, so ask it for its session.
  const int own = ::open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
  out << who << ": pid=" << ::getpid() << " pgid=" << ::getpgrp() << " sid=" << ::getsid(0)
      << " tty=" << terminal_of(0) << " devtty="
      << (own < 0 ? std::string(std::strerror(errno)) : std::to_string(::tcgetsid(own)))
      << " end\n";
  if (own >= 0)
    ::close(own);
  return out.str();
}

void spawn() {
  const auto pid = static_cast<pid_t>(must(::fork(), "fork"));
  if (pid == 0) {
    say(report_line("child"));
    ::_exit(0);
  }
  int status = 0;
  must(::waitpid(pid, &status, 0), "waitpid");
  say("child has ended\n");
}

void answer(const std::string& line, const Commands& extra) {
  if (const auto found = extra.find(line); found != extra.end()) {
    found->second();
  } else if (line == "report") {
    say(report_line("report"));
  } else if (line == "spawn") {
    spawn();
  } else if (line.compare(0, 5, "exit ") == 0) {
    std::exit(std::atoi(line.c_str() + 5));
  } else if (line.compare(0, 5, "kill ") == 0) {
    ::kill(::getpid(), signal_number(line.substr(5)));
  } else {
    say("got: " + line + "\n");
  }
}

void wait_for_state_s(const std::string& path) {
  for (;;) {
    std::ifstream in(path);
    std::stringstream text;
    text << in.rdbuf();
    const auto close = text.str().rfind(')');
    if (close != std::string::npos && text.str()[close + 2] == 'S')
      return;
    const timespec pause{0, 1'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

}  // namespace

void say(const std::string& text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::write(1, text.data() + done, text.size() - done);
    if (count < 0)
      std::exit(96);  // nobody to tell
    done += static_cast<std::size_t>(count);
  }
}

void say_ready() {
  say("ready " + std::to_string(::getpid()) + "\n");
}

long must(long result, const char* what) {
  if (result >= 0)
    return result;
  say(std::string("tracee_zoo: ") + what + ": " + std::strerror(errno) + "\n");
  std::exit(97);
}

int serve(const Commands& extra) {
  std::string pending;
  for (;;) {
    char buffer[4096];
    const ssize_t count = ::read(0, buffer, sizeof buffer);
    if (count == 0) {
      say("end of input\n");
      return 0;
    }
    if (count < 0) {
      const int err = errno;
      say(std::string("read failed: ") + std::strerror(err) + "\n");
      if (err != EINTR)
        return 98;
      continue;
    }
    pending.append(buffer, static_cast<std::size_t>(count));
    for (auto end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
      const std::string line = pending.substr(0, end);
      pending.erase(0, end + 1);
      answer(line, extra);
    }
  }
}

int signal_number(const std::string& name) {
  for (int signo = 1; signo < 32; ++signo) {
    if (const char* known = ::sigabbrev_np(signo); known != nullptr && name == known)
      return signo;
  }
  return std::atoi(name.c_str());
}

void wait_until_asleep(pid_t tid) {
  wait_for_state_s("/proc/self/task/" + std::to_string(tid) + "/stat");
}

void wait_until_process_asleep(pid_t pid) {
  wait_for_state_s("/proc/" + std::to_string(pid) + "/stat");
}

}  // namespace zoo
