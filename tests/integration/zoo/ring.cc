// SPDX-License-Identifier: MIT
// A program that reads its terminal by io_uring, without a library.
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "integration/zoo/zoo.h"

namespace zoo {
namespace {

char* map_ring(int ring, std::size_t size, off_t what) {
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, what);
  must(at == MAP_FAILED ? -1 : 0, "mmap");
  return static_cast<char*>(at);
}

unsigned& word(char* ring, unsigned offset) {
  return *reinterpret_cast<unsigned*>(ring + offset);
}

}  // namespace

int ring_lines(const Args& /*args*/) {
  io_uring_params params{};
  const auto ring = static_cast<int>(must(::syscall(SYS_io_uring_setup, 1, &params), "io_uring"));
  char* const submit = map_ring(ring, params.sq_off.array + sizeof(unsigned), IORING_OFF_SQ_RING);
  char* const complete = map_ring(
      ring, params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe), IORING_OFF_CQ_RING);
  auto* const entry =
      reinterpret_cast<io_uring_sqe*>(map_ring(ring, sizeof(io_uring_sqe), IORING_OFF_SQES));
  char line[4096];
  for (bool first = true;; first = false) {
    std::memset(entry, 0, sizeof *entry);
    entry->opcode = IORING_OP_READ;
    entry->addr = reinterpret_cast<std::uintptr_t>(line);
    entry->len = sizeof line;
    entry->off = ~0ULL;
    word(submit, params.sq_off.array) = 0;
    ++word(submit, params.sq_off.tail);
    must(::syscall(SYS_io_uring_enter, ring, 1, 0, 0, nullptr, 0), "io_uring_enter");
    if (first)
      say_ready();
    must(::syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, nullptr, 0),
         "io_uring_enter");
    unsigned& head = word(complete, params.cq_off.head);
    const auto* results = reinterpret_cast<const io_uring_cqe*>(complete + params.cq_off.cqes);
    const int size = results[head & (params.cq_entries - 1)].res;
    ++head;
    if (size <= 0)
      return 98;
    say("got: " + std::string(line, static_cast<std::size_t>(size)));
  }
}

}  // namespace zoo
