// SPDX-License-Identifier: MIT
// What the batch of every CPU shares: how a table of calls is laid out, and where in a vDSO there
// is room.
#include "arch/batch.h"

#include <elf.h>
#include <sys/auxv.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>

#include "arch/kept_code.h"

namespace grab::arch {
namespace {

/// One call as the batch code reads it.
struct PackedCall {
  std::uint16_t number;
  std::uint16_t flags;
  std::int32_t expected;
  std::array<std::int32_t, 4> args;
};
static_assert(sizeof(PackedCall) == kPackedCallSize);

constexpr std::uint16_t kAnyResult = 0x10;
constexpr std::uint16_t kYieldsDescriptor = 0x20;
constexpr std::uint16_t kLeavesPage = 0x40;
constexpr std::uint16_t kEnd = 0x80;
constexpr std::uint16_t kZeroWillDo = 0x100;

/// Whether the argument is too wide for a packed call, which then says where its eight bytes lie.
bool is_wide(Argument argument) {
  return argument.in_data || argument.value != static_cast<std::int32_t>(argument.value);
}

PackedCall pack(const Call& call, std::size_t pointers_before) {
  PackedCall packed{call.number, 0, call.expected, {}};
  if (call.any_result)
    packed.flags |= kAnyResult;
  if (call.zero_will_do)
    packed.flags |= kZeroWillDo;
  if (call.yields_descriptor)
    packed.flags |= kYieldsDescriptor;
  if (call.leaves_page)
    packed.flags |= kLeavesPage;
  if (call.is_end)
    packed.flags |= kEnd;
  std::size_t pointer = pointers_before;
  for (std::size_t i = 0; i < call.args.size(); i++) {
    packed.args[i] = static_cast<std::int32_t>(call.args[i].value);
    if (!is_wide(call.args[i]))
      continue;
    packed.flags = static_cast<std::uint16_t>(packed.flags | (1U << i));
    packed.args[i] = static_cast<std::int32_t>(pointer++ * sizeof(std::uint64_t));
  }
  return packed;
}

std::size_t pointers_of(const Call& call) {
  return static_cast<std::size_t>(std::count_if(call.args.begin(), call.args.end(), is_wide));
}

std::size_t pointer_count(const CallTable& table) {
  std::size_t count = 0;
  for (const Call& call : table.calls)
    count += pointers_of(call);
  return count;
}

/// Bytes up to the arguments of the end, which nobody reads.
std::size_t calls_size_of(const CallTable& table) {
  const bool ends = !table.calls.empty() && table.calls.back().is_end;
  return table.calls.size() * sizeof(PackedCall) - (ends ? sizeof(PackedCall::args) : 0);
}

void append(std::vector<std::byte>& out, const void* bytes, std::size_t size) {
  const auto* first = static_cast<const std::byte*>(bytes);
  out.insert(out.end(), first, first + size);
}

}  // namespace

Argument CallTable::add_data(std::span<const std::byte> bytes) {
  const auto offset = static_cast<std::int64_t>(data.size());
  data.insert(data.end(), bytes.begin(), bytes.end());
  data.resize((data.size() + 7) & ~std::size_t{7});
  return Argument{offset, true};
}

std::size_t encoded_size(const CallTable& table) {
  return calls_size_of(table) + pointer_count(table) * sizeof(std::uint64_t) + table.data.size();
}

// Layout: the calls, then the addresses that they take, then the data. The first address stands at
// the base that the batch code adds to; the base is the start of the table, so the offsets below
// count from there.
std::vector<std::byte> encode(const CallTable& table, std::uint64_t address) {
  const std::size_t calls_size = calls_size_of(table);
  const std::size_t data_offset = calls_size + pointer_count(table) * sizeof(std::uint64_t);
  std::vector<std::byte> out;
  std::vector<std::byte> pointers;
  std::size_t pointer = calls_size / sizeof(std::uint64_t);
  for (const Call& call : table.calls) {
    const PackedCall packed = pack(call, pointer);
    append(out, &packed, sizeof packed);
    pointer += pointers_of(call);
    for (const Argument arg : call.args) {
      if (!is_wide(arg))
        continue;
      const std::uint64_t base = arg.in_data ? address + data_offset : 0;
      const std::uint64_t target = base + static_cast<std::uint64_t>(arg.value);
      append(pointers, &target, sizeof target);
    }
  }
  out.resize(calls_size);
  out.insert(out.end(), pointers.begin(), pointers.end());
  out.insert(out.end(), table.data.begin(), table.data.end());
  return out;
}

namespace {

/// Size of the mapping that starts at `address`, from /proc/self/maps; 0 if there is none.
std::size_t mapping_size(std::uint64_t address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const std::size_t dash = line.find('-');
    if (dash == std::string::npos || std::stoull(line.substr(0, dash), nullptr, 16) != address) {
      continue;
    }
    return std::stoull(line.substr(dash + 1), nullptr, 16) - address;
  }
  return 0;
}

// Also a margin: the last string of the image ends with a zero.
constexpr std::size_t kAlignment = 8;

template <class Header>
std::size_t end_of_sections(std::span<const std::byte> image) {
  Header header{};
  std::memcpy(&header, image.data(), std::min(image.size(), sizeof header));
  return header.e_shoff + std::size_t{header.e_shnum} * header.e_shentsize;
}

/// Where an ELF image ends by what it says of itself; 0 if it is none.
std::size_t end_of_image(std::span<const std::byte> image) {
  if (image.size() < sizeof(Elf64_Ehdr) || std::memcmp(image.data(), ELFMAG, SELFMAG) != 0)
    return 0;
  return image[EI_CLASS] == std::byte{ELFCLASS32} ? end_of_sections<Elf32_Ehdr>(image)
                                                  : end_of_sections<Elf64_Ehdr>(image);
}

VdsoTail tail_behind(std::size_t used, std::size_t size, bool of_i386 = false) {
  used = (used + kAlignment) & ~(kAlignment - 1);
  return used < size ? VdsoTail{used, size - used, of_i386} : VdsoTail{};
}

bool is_zero(std::byte byte) {
  return byte == std::byte{0};
}

}  // namespace

// Kernel: the vDSO is a whole number of pages, the same image in every process of one kind, and the
// last page is zero behind the image -> room for code that needs no mapping. Source:
// arch/x86/entry/vdso/vma.c.
VdsoTail vdso_tail() {
  const std::uint64_t base = getauxval(AT_SYSINFO_EHDR);
  const std::size_t size = base == 0 ? 0 : mapping_size(base);
  if (size == 0)
    return {};
  const std::span image(reinterpret_cast<const std::byte*>(base), size);  // NOLINT: of the kernel's
  const auto last = std::find_if_not(image.rbegin(), image.rend(), is_zero);
  const auto used = static_cast<std::size_t>(image.rend() - last);
  return tail_behind(std::max(used, end_of_image(image)), size);
}

VdsoTail vdso_tail_of(std::span<const std::byte> image) {
  const std::size_t end = end_of_image(image);
  if (end == 0 || end >= image.size())
    return {};
  const bool of_i386 = image[EI_CLASS] == std::byte{ELFCLASS32};
  const std::size_t piece = of_i386 ? kKeptCodeSizeI386 : kKeptCodeSize;
  const VdsoTail tail = tail_behind(end, image.size(), of_i386);
  auto bytes = image.subspan(std::min<std::size_t>(tail.offset, image.size()), tail.size);
  while (bytes.size() >= piece && is_kept_code(bytes.last(piece)))
    bytes = bytes.first(bytes.size() - piece);
  const bool is_free = std::all_of(bytes.begin(), bytes.end(), is_zero);
  return is_free || begins_with_batch_code(bytes) ? tail : VdsoTail{};
}

}  // namespace grab::arch
