// SPDX-License-Identifier: MIT
#include "base/fault.h"

#ifdef GRAB_FAULTS

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <string>

namespace grab {
namespace {

constexpr int kStop = -1;

struct Wanted {
  std::string name;
  int err = 0;
};

const Wanted& wanted() {
  static const Wanted found = [] {
    const char* text = ::getenv("GRAB_FAULT");
    Wanted out{text == nullptr ? "" : text, 0};
    if (const auto equals = out.name.rfind('='); equals != std::string::npos) {
      const std::string how = out.name.substr(equals + 1);
      out.err = how == "stop" ? kStop : std::stoi(how);
      out.name.erase(equals);
    }
    return out;
  }();
  return found;
}

void note(const std::string& line) {
  static const char* const path = ::getenv("GRAB_FAULT_LOG");
  if (path == nullptr)
    return;
  const int fd = ::open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  (void)(::write(fd, line.data(), line.size()) < 0);
  ::close(fd);
}

}  // namespace

int fault(std::string_view step, std::string_view object, int err) {
  static std::mutex mutex;
  static std::map<std::string, int> passed;
  const std::lock_guard lock(mutex);
  const auto pass = [&](std::string_view of) {
    std::string name = std::string(step) + "@" + std::string(of);
    return name + "#" + std::to_string(++passed[name]);
  };
  const std::string name = pass(object), of_any = pass("*");
  const bool fails = name == wanted().name || of_any == wanted().name;
  note((fails ? "failed " : "") + name + "\n");
  if (!fails)
    return 0;
  if (wanted().err == kStop) {
    (void)::raise(SIGSTOP);
    return 0;
  }
  return wanted().err != 0 ? wanted().err : err;
}

int fault(std::string_view step, long object, int err) {
  return fault(step, std::to_string(object), err);
}

}  // namespace grab

#endif
