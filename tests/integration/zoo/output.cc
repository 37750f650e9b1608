// SPDX-License-Identifier: MIT
// Writers that trust write(2) to write all that they give it, as many programs do.
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "integration/zoo/zoo.h"

namespace zoo {
namespace {

volatile sig_atomic_t handled = 0;

void on_usr1(int /*signo*/) {
  handled = handled + 1;
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

}  // namespace

int whole_writes(const Args& args) {
  const long blocks = args.empty() ? 2 : std::atol(args[0].c_str());
  const long lines = args.size() < 2 ? 20'000 : std::atol(args[1].c_str());
  const std::string when = args.size() < 3 ? "" : args[2];
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
    if (::write(1, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
      ++short_counts;
  }
  say("wrote all, " + std::to_string(short_counts) + " short\n");
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
  say("\nwrite: " + result + ", " + std::to_string(handled) + " signals\n");
  return 0;
}

}  // namespace zoo
