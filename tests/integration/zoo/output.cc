// SPDX-License-Identifier: MIT
// Writers that trust a call to write all that they give it, as many programs do.
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>
#include <vector>

#include "integration/zoo/zoo.h"

namespace zoo {
namespace {

volatile sig_atomic_t usr1_handled = 0;

void on_usr1(int /*signo*/) {
  usr1_handled = usr1_handled + 1;
}

std::string numbered_lines(long first, long count) {
  std::string text;
  for (long n = first; n < first + count; ++n) {
    char line[32];
    std::snprintf(line, sizeof line, "n%08ld\n", n);
    text += line;
  }
  return text;
}

/// By writev(2), in elements of many sizes.
ssize_t write_in_elements(std::string text) {
  constexpr std::size_t kSizes[] = {1, 0, 999, 10'000, 7, 70'000};
  std::vector<iovec> vector;
  for (std::size_t at = 0; at < text.size(); at += vector.back().iov_len) {
    const std::size_t size = kSizes[vector.size() % std::size(kSizes)];
    vector.push_back({text.data() + at, std::min(size, text.size() - at)});
  }
  return ::writev(1, vector.data(), static_cast<int>(vector.size()));
}

}  // namespace

int whole_writes(const Args& args) {
  const long blocks = args.empty() ? 2 : std::atol(args[0].c_str());
  const long lines = args.size() < 2 ? 20'000 : std::atol(args[1].c_str());
  const std::string when = args.size() < 3 ? "" : args[2];
  const std::string how = args.size() < 4 ? "" : args[3];
  sigset_t usr1;
  ::sigemptyset(&usr1);
  ::sigaddset(&usr1, SIGUSR1);
  must(::sigprocmask(SIG_BLOCK, &usr1, nullptr), "sigprocmask");
  if (when != "now") {
    say_ready();
    must(::sigwaitinfo(&usr1, nullptr), "sigwaitinfo");
  }
  int short_counts = 0;
  for (long block = 0; block < blocks; ++block) {
    const std::string text = numbered_lines(1 + block * lines, lines);
    const ssize_t count =
        how == "writev" ? write_in_elements(text) : ::write(1, text.data(), text.size());
    if (count != static_cast<ssize_t>(text.size()))
      ++short_counts;
  }
  say("wrote all, " + std::to_string(short_counts) + " short\n");
  return 0;
}

int whole_send(const Args& /*args*/) {
  int ends[2];
  must(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "socketpair");
  if (must(::fork(), "fork") == 0) {
    char bytes[4096];
    ::close(ends[1]);
    must(::read(0, bytes, sizeof bytes), "read");  // a line says that it is to begin
    for (ssize_t count = 0; (count = ::read(ends[0], bytes, sizeof bytes)) > 0;)
      say(std::string(bytes, static_cast<std::size_t>(count)));
    return 0;
  }
  ::close(ends[0]);
  say_ready();
  const std::string text = numbered_lines(1, 60'000);
  const ssize_t count = ::send(ends[1], text.data(), text.size(), 0);
  ::close(ends[1]);
  must(::wait(nullptr), "wait");
  say("sent " + std::to_string(count) + " of " + std::to_string(text.size()) + "\n");
  return 0;
}

int timed_write(const Args& /*args*/) {
  struct sigaction action {};
  action.sa_handler = on_usr1;
  must(::sigaction(SIGUSR1, &action, nullptr), "sigaction");  // without SA_RESTART
  say_ready();
  const std::string text = numbered_lines(1, 20'000);
  const ssize_t count = ::write(1, text.data(), text.size());
  const int err = errno;
  const std::string result =
      count < 0 ? std::string(std::strerror(err)) : std::to_string(count) + " bytes";
  say("\nwrite: " + result + ", " + std::to_string(usr1_handled) + " signals\n");
  return 0;
}

}  // namespace zoo
