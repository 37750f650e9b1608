// SPDX-License-Identifier: MIT
#include "tracer/journal.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

namespace grab::tracer {

static bool serves(const Held& held, const Moved::Process& process) {
  return std::any_of(held.serving.begin(), held.serving.end(),
                     [&](const Moved::Process& server) { return server.pid == process.pid; });
}

void Told::take(Report&& report) {
  if (auto* one = std::get_if<Held>(&report))
    held = std::move(*one);
  if (auto* one = std::get_if<Moved>(&report))
    moved = std::move(*one);
  if (auto* one = std::get_if<Error>(&report))
    error = std::move(*one);
  if (auto* one = std::get_if<Committing>(&report)) {
    committing = std::move(one->moved);
    for (const auto* held_ones : {&held.processes, &held.stopped}) {
      for (const Moved::Process& process : *held_ones) {
        if (!serves(held, process))
          committing->processes.push_back(process);
      }
    }
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

// Some 30 bytes a process and report, five reports, ten lives: for 10,000 processes. Only what is
// written takes memory.
struct Journal::Memory {
  static constexpr std::size_t kRoom = (std::size_t{16} << 20) - sizeof(std::size_t);
  std::atomic<std::size_t> size;
  char text[kRoom];
};

void Journal::Unmap::operator()(Memory* memory) const {
  (void)::munmap(memory, sizeof(Memory));
}

// Kernel: a memfd is a file, whose size RLIMIT_FSIZE bounds, by a signal that kills; a mapping that
// is shared with children is not. Source: setrlimit(2), mmap(2) MAP_SHARED; seen.
Result<Journal> Journal::open() {
  constexpr int kFlags = MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE;
  void* memory = ::mmap(nullptr, sizeof(Memory), PROT_READ | PROT_WRITE, kFlags, -1, 0);
  if (memory == MAP_FAILED)
    return fail_errno(errno, "making shared memory");
  Journal journal;
  journal.memory_.reset(static_cast<Memory*>(memory));  // zeros
  return journal;
}

bool Journal::append(std::string_view line) const {
  const std::size_t size = memory_->size;
  if (line.size() > Memory::kRoom - size)
    return false;
  std::memcpy(memory_->text + size, line.data(), line.size());
  memory_->size = size + line.size();
  return true;
}

Told Journal::read() const {
  return read_journal({memory_->text, memory_->size});
}

}  // namespace grab::tracer
