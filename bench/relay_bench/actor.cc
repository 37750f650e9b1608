// SPDX-License-Identifier: MIT
#include "relay_bench/actor.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <sstream>
#include <string_view>

#include "base/unique_fd.h"
#include "relay_bench/payload.h"

namespace grab::bench {
namespace {

constexpr int kInputPatienceMs = 5000;  // without a typed byte; the next one comes within 1 ms

bool write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (n < 0 && errno != EINTR)
      return false;
    bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  }
  return true;
}

// Raw, or as a shell leaves a terminal, but without echo of what is typed.
bool set_modes(bool raw) {
  termios modes{};
  if (::tcgetattr(STDIN_FILENO, &modes) != 0)
    return false;
  if (raw) {
    ::cfmakeraw(&modes);
  } else {
    modes.c_iflag |= ICRNL;
    modes.c_oflag |= OPOST | ONLCR;
    modes.c_lflag |= ICANON | ISIG;
    modes.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  }
  return ::tcsetattr(STDIN_FILENO, TCSANOW, &modes) == 0;
}

bool write_payload(const Payload& payload, std::string_view bytes) {
  for (const std::size_t size : payload.writes) {
    if (!write_all(bytes.substr(0, size)))
      return false;
    bytes.remove_prefix(size);
  }
  return true;
}

[[noreturn]] void write_lines_for_ever() {
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  const Payload payload =
      make_payload(Output::kBlocks);  // its lines end as a raw terminal needs it
  std::string_view lines = payload.bytes;
  for (;;) {
    const std::size_t size = lines.find('\n') + 1;
    if (!write_all(lines.substr(0, size)))
      ::_exit(1);
    lines.remove_prefix(size);
    if (lines.empty())
      lines = payload.bytes;
  }
}

std::string wrong(std::string_view what) {
  return std::string(what) + ": " + std::strerror(errno);
}

// "ok", or at which byte what was typed differs first; reads on to the end even then, so that who
// types is not held up.
std::string check_input(std::string_view expected) {
  std::string answer = "ok";
  std::array<char, 4096> bytes{};
  for (std::size_t position = 0; position < expected.size();) {
    pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&input, 1, kInputPatienceMs);
    if (ready == 0)
      return "only " + std::to_string(position) + " of " + std::to_string(expected.size()) +
             " typed bytes came";
    const ssize_t size = ready < 0 ? -1 : ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR)
      continue;
    if (size <= 0)
      return "the input ended after " + std::to_string(position) + " bytes";
    const std::string_view have(bytes.data(), static_cast<std::size_t>(size));
    if (answer == "ok" && have != expected.substr(position, have.size()))
      answer = "what was typed differs within " + std::to_string(have.size()) +
               " bytes behind byte " + std::to_string(position);
    position += have.size();
  }
  return answer;
}

class Actor {
 public:
  explicit Actor(UniqueFd control) : control_(std::move(control)) {}

  // Until the socket ends.
  void run() {
    while (const auto request = next_request()) {
      const std::string answer = obey(*request);
      if (::send(control_.get(), answer.data(), answer.size(), MSG_NOSIGNAL) < 0)
        return;
    }
  }

 private:
  // The next request; meanwhile echoes what is typed, if it is to.
  std::optional<std::string> next_request() {
    for (;;) {
      std::array<pollfd, 2> ends{{{.fd = control_.get(), .events = POLLIN, .revents = 0},
                                  {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0}}};
      if (::poll(ends.data(), echo_ ? 2 : 1, -1) < 0)
        continue;  // EINTR: moved to another terminal just now
      std::array<char, 256> bytes{};
      if (ends[1].revents != 0) {
        const ssize_t size = ::read(STDIN_FILENO, bytes.data(), bytes.size());
        if (size > 0)
          (void)write_all({bytes.data(), static_cast<std::size_t>(size)});
        else if (size == 0 || errno != EINTR)
          return std::nullopt;
      }
      if (ends[0].revents != 0) {
        const ssize_t size = ::recv(control_.get(), bytes.data(), bytes.size(), 0);
        if (size > 0)
          return std::string(bytes.data(), static_cast<std::size_t>(size));
        if (size == 0 || errno != EINTR)
          return std::nullopt;
      }
    }
  }

  std::string obey(const std::string& request) {
    std::istringstream words(request);
    std::string verb;
    words >> verb;
    echo_ = echo_ && (verb == "load" || verb == "unload");
    if (verb == "mark")
      return mark(words);
    if (verb == "write")
      return write(words);
    if (verb == "exchange")
      return exchange(words);
    if (verb == "echo") {
      echo_ = true;
      return set_modes(true) ? "ok" : wrong("raw mode");
    }
    if (verb == "load")
      return load();
    if (verb == "unload")
      return unload();
    return "no such request: " + request;
  }

  static std::string mark(std::istream& words) {
    std::uint64_t run = 0;
    words >> run;
    return write_all("\r\n" + end_mark(run) + "\r\n") ? "ok" : wrong("write of the mark");
  }

  static std::string write(std::istream& words) {
    std::string name;
    std::uint64_t times = 0;
    std::uint64_t run = 0;
    int flaw = 0;
    words >> name >> times >> run >> flaw;
    const auto output = output_named(name);
    if (!output)
      return "no such output: " + name;
    const Payload payload = make_payload(*output);
    std::string flawed = payload.bytes;
    flawed[flawed.size() / 2] = '!';  // no payload has it
    if (!set_modes(payload.raw))
      return wrong("modes of the terminal");
    bool written = write_all("\r\n" + begin_mark(run));
    for (std::uint64_t i = 0; written && i < times; ++i)
      written = write_payload(payload, i == times / 2 && flaw != 0 ? flawed : payload.bytes);
    written = written && write_all("\r\n" + end_mark(run) + "\r\n");
    return written ? "ok" : wrong("write of the output");
  }

  static std::string exchange(std::istream& words) {
    std::size_t lines_out = 0;
    std::size_t lines_in = 0;
    std::uint64_t run = 0;
    int flaw = 0;
    words >> lines_out >> lines_in >> run >> flaw;
    std::string output = numbered_output(lines_out);
    if (flaw != 0)
      output[output.size() / 2] ^= 1;
    if (!set_modes(true))
      return wrong("raw mode");
    const pid_t writer = ::fork();
    if (writer < 0)
      return wrong("fork of the writer");
    if (writer == 0) {
      (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
      ::_exit(write_all("\r\n" + begin_mark(run) + output + end_mark(run) + "\r\n") ? 0 : 1);
    }
    std::string answer = check_input(numbered_input(lines_in));
    int status = 0;
    while (::waitpid(writer, &status, 0) < 0 && errno == EINTR)
      continue;
    if (answer == "ok" && status != 0)
      answer = "the output could not be written";
    return answer;
  }

  std::string load() {
    load_ = ::fork();
    if (load_ == 0)
      write_lines_for_ever();
    return load_ > 0 ? "ok" : wrong("fork of the load");
  }

  std::string unload() {
    int status = 0;
    (void)::kill(load_, SIGKILL);
    while (::waitpid(load_, &status, 0) < 0 && errno == EINTR)
      continue;
    return WIFSIGNALED(status) ? "ok" : "the load has ended by itself";
  }

  UniqueFd control_;
  bool echo_ = false;
  pid_t load_ = 0;
};

}  // namespace

int run_actor(const std::string& socket_path) {
  UniqueFd control(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path)
    return 1;
  std::copy(socket_path.begin(), socket_path.end(), address.sun_path);
  if (::connect(control.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return 1;
  Actor(std::move(control)).run();
  return 0;
}

}  // namespace grab::bench
