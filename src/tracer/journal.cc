// SPDX-License-Identifier: MIT
#include "tracer/journal.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace grab::tracer {

void Told::take(Report&& report) {
  if (auto* one = std::get_if<Held>(&report))
    held = std::move(*one);
  if (auto* one = std::get_if<Moved>(&report))
    moved = std::move(*one);
  if (auto* one = std::get_if<Error>(&report))
    error = std::move(*one);
  if (auto* one = std::get_if<Committing>(&report)) {
    committing = std::move(one->moved);
    auto& processes = committing->processes;
    processes.insert(processes.end(), held.processes.begin(), held.processes.end());
    processes.insert(processes.end(), held.stopped.begin(), held.stopped.end());
  }
}

Told read_journal(std::string_view text) {
  Told told;
  for (std::size_t end = 0; (end = text.find('\n')) != std::string_view::npos;
       text.remove_prefix(end + 1)) {
    if (Result<Report> report = parse_line(text.substr(0, end)))
      told.take(std::move(*report));
  }
  return told;
}

Result<Journal> Journal::open() {
  Journal journal;
  journal.memory_.reset(::memfd_create("grab-journal", MFD_CLOEXEC));
  if (!journal.memory_.valid())
    return fail_errno(errno, "making shared memory");
  return journal;
}

// Kernel: the position of a file is shared by all that fork(2) has given it -> each goes on behind
// the last. Source: fork(2).
void Journal::append(std::string_view line) const {
  // What a writer who was killed has not completed is to be a line of its own.
  const std::string text = "\n" + std::string(line);
  (void)!::write(memory_.get(), text.data(), text.size());
}

Told Journal::read() const {
  std::string text;
  char bytes[4096];
  for (ssize_t count = 0;
       (count = ::pread(memory_.get(), bytes, sizeof bytes, static_cast<off_t>(text.size()))) > 0;)
    text.append(bytes, static_cast<std::size_t>(count));
  return read_journal(text);
}

}  // namespace grab::tracer
