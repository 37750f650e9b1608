// SPDX-License-Identifier: MIT
#include "tracer/vdso_room.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "arch/kept_code.h"
#include "proc/vdso.h"

namespace grab::tracer {
namespace {

bool holds_kept_code(int mem_fd, std::uint64_t address) {
  std::array<std::byte, arch::kKeptCodeSize> bytes{};
  return pread(mem_fd, bytes.data(), bytes.size(), static_cast<off_t>(address)) ==
             static_cast<ssize_t>(bytes.size()) &&
         arch::is_kept_code(bytes);
}

}  // namespace

const arch::VdsoTail& vdso_tail() {
  static const arch::VdsoTail found = arch::vdso_tail();
  return found;
}

std::optional<VdsoRoom> find_vdso_room(pid_t tid, std::uint64_t hint) {
  const arch::VdsoTail& tail = vdso_tail();
  const std::string path = "/proc/" + std::to_string(tid) + "/maps";
  const UniqueFd maps(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const auto vdso = proc::find_vdso(maps.get(), hint);
  if (tail.size == 0 || !vdso || vdso->size != tail.offset + tail.size || !vdso->executable)
    return std::nullopt;
  return VdsoRoom{vdso->start + tail.offset, vdso->start + vdso->size};
}

std::uint64_t first_kept_code(VdsoRoom room) {
  constexpr std::size_t kMost = 8;
  // The calls that lead to a page with more of them, or that end a batch there.
  constexpr std::size_t kFewCalls = 12 * arch::kPackedCallSize;
  return std::max(room.end - kMost * arch::kKeptCodeSize,
                  room.start + arch::batch_code_size() + kFewCalls);
}

VdsoRoom without_kept_code(VdsoRoom room, int mem_fd) {
  const std::uint64_t first = first_kept_code(room);
  while (room.end - arch::kKeptCodeSize >= first &&
         holds_kept_code(mem_fd, room.end - arch::kKeptCodeSize))
    room.end -= arch::kKeptCodeSize;
  return room;
}

UniqueFd open_memory(pid_t tid) {
  return UniqueFd(open(("/proc/" + std::to_string(tid) + "/mem").c_str(), O_RDWR | O_CLOEXEC));
}

}  // namespace grab::tracer
