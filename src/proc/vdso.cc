// SPDX-License-Identifier: MIT
#include "proc/vdso.h"

#include <sys/ioctl.h>

#include <array>
#include <charconv>
#include <string>

#include "proc/kernel.h"

namespace grab::proc {
namespace {

constexpr std::string_view kName = "[vdso]";

struct ProcmapQuery {  // struct procmap_query of linux/fs.h, which older headers lack
  std::uint64_t size, flags, address;
  std::uint64_t start, end, vma_flags, page_size, offset, inode;
  std::uint32_t device_major, device_minor, name_size, build_id_size;
  std::uint64_t name, build_id;
};
constexpr std::uint64_t kExecutable = 0x4;  // PROCMAP_QUERY_VMA_EXECUTABLE

// Kernel: PROCMAP_QUERY tells of one mapping what the file says of all of them, for a process with
// thousands. Source: proc_pid_maps(5), Linux >= 6.11.
std::optional<VdsoMapping> query(int maps_fd, std::uint64_t address) {
  std::array<char, 16> name{};
  ProcmapQuery query{};
  query.size = sizeof query;
  query.address = address;
  query.name = reinterpret_cast<std::uintptr_t>(name.data());
  query.name_size = name.size();
  if (::ioctl(maps_fd, _IOWR('f', 17, ProcmapQuery), &query) != 0 || name.data() != kName)
    return std::nullopt;
  return VdsoMapping{query.start, query.end - query.start, (query.vma_flags & kExecutable) != 0};
}

std::string_view take_field(std::string_view& line) {
  const std::size_t from = line.find_first_not_of(' ');
  line.remove_prefix(from == std::string_view::npos ? line.size() : from);
  const std::string_view field = line.substr(0, line.find(' '));
  line.remove_prefix(field.size());
  return field;
}

std::optional<VdsoMapping> parse_line(std::string_view line) {
  const std::string_view range = take_field(line);
  const std::string_view permissions = take_field(line);
  for (int skipped = 0; skipped < 3; ++skipped)  // offset, device, inode
    (void)take_field(line);
  if (take_field(line) != kName || !line.empty())
    return std::nullopt;
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  const char* const last = range.data() + range.size();
  const auto [dash, error] = std::from_chars(range.data(), last, start, 16);
  if (error != std::errc() || dash == last ||
      std::from_chars(dash + 1, last, end, 16).ec != std::errc() || end < start)
    return std::nullopt;
  return VdsoMapping{start, end - start, permissions.find('x') != std::string_view::npos};
}

}  // namespace

std::optional<VdsoMapping> parse_maps_vdso(std::string_view maps) {
  while (!maps.empty()) {
    const std::size_t end = maps.find('\n');
    if (const auto found = parse_line(maps.substr(0, end)))
      return found;
    maps.remove_prefix(end == std::string_view::npos ? maps.size() : end + 1);
  }
  return std::nullopt;
}

std::optional<VdsoMapping> find_vdso(int maps_fd, std::uint64_t hint) {
  if (hint != 0) {
    if (const auto found = query(maps_fd, hint))
      return found;
  }
  std::string text;
  return read_whole(maps_fd, text) == 0 ? parse_maps_vdso(text) : std::nullopt;
}

}  // namespace grab::proc
