// SPDX-License-Identifier: MIT
#include "tracer/vdso_room.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <vector>

#include "arch/batch.h"
#include "arch/kept_code.h"
#include "proc/vdso.h"

namespace grab::tracer {
namespace {

const arch::VdsoTail& own_tail() {
  static const arch::VdsoTail found = arch::vdso_tail();
  return found;
}

bool read_at(int mem_fd, std::uint64_t address, std::span<std::byte> bytes) {
  return pread(mem_fd, bytes.data(), bytes.size(), static_cast<off_t>(address)) ==
         static_cast<ssize_t>(bytes.size());
}

/// Of 64-bit programs the vDSO is ours, too. That of 32-bit ones we have never seen: what the
/// process has in its place is taken as it is. A program that has changed it has changed its own
/// memory, and is given nothing else back.
arch::VdsoTail tail_in(int mem_fd, const proc::VdsoMapping& vdso) {
  constexpr std::size_t kLargest = 1U << 16U;
  const auto& own = own_tail();
  std::array<std::byte, 5> head{};  // magic number and class, elf(5)
  const bool is_native = read_at(mem_fd, vdso.start, head) && head[4] == std::byte{2};
  if (is_native)
    return vdso.size == own.offset + own.size ? own : arch::VdsoTail{};
  std::vector<std::byte> image(vdso.size <= kLargest ? vdso.size : 0);
  return read_at(mem_fd, vdso.start, image) ? arch::vdso_tail_of(image) : arch::VdsoTail{};
}

bool holds_kept_code(int mem_fd, std::uint64_t address, std::size_t size) {
  std::array<std::byte, arch::kKeptCodeSize> room{};
  const std::span bytes = std::span(room).first(size);
  return read_at(mem_fd, address, bytes) && arch::is_kept_code(bytes);
}

}  // namespace

std::optional<VdsoRoom> find_vdso_room(pid_t tid, int mem_fd, std::uint64_t hint) {
  const std::string path = "/proc/" + std::to_string(tid) + "/maps";
  const UniqueFd maps(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const auto vdso = maps.valid() ? proc::find_vdso(maps.get(), hint) : std::nullopt;
  if (!vdso || !vdso->executable)
    return std::nullopt;
  const arch::VdsoTail tail = tail_in(mem_fd, *vdso);
  if (tail.size == 0)
    return std::nullopt;
  return VdsoRoom{vdso->start + tail.offset, vdso->start + vdso->size, tail.of_i386};
}

std::size_t kept_code_size(VdsoRoom room) {
  return room.of_i386 ? arch::kKeptCodeSizeI386 : arch::kKeptCodeSize;
}

std::uint64_t first_kept_code(VdsoRoom room) {
  constexpr std::size_t kMost = 8;
  // The calls that lead to a page with more of them, or that end a batch there. Of 32-bit programs
  // there is room for just these (one_call.h) on Linux 6.12.
  constexpr std::size_t kFewCalls = 12 * arch::kPackedCallSize;
  constexpr std::size_t kFewestCalls = 5 * arch::kPackedCallSize;
  const std::size_t code = room.of_i386 ? arch::batch_code_size_i386() : arch::batch_code_size();
  const std::size_t calls = room.of_i386 ? kFewestCalls : kFewCalls;
  const std::size_t aligned_code = (code + 7) & ~std::size_t{7};
  return std::max(room.end - kMost * kept_code_size(room), room.start + aligned_code + calls);
}

VdsoRoom without_kept_code(VdsoRoom room, int mem_fd) {
  const std::uint64_t first = first_kept_code(room);
  const std::size_t size = kept_code_size(room);
  while (room.end - size >= first && holds_kept_code(mem_fd, room.end - size, size))
    room.end -= size;
  return room;
}

UniqueFd open_memory(pid_t tid) {
  return UniqueFd(open(("/proc/" + std::to_string(tid) + "/mem").c_str(), O_RDWR | O_CLOEXEC));
}

}  // namespace grab::tracer
