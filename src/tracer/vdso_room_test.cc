// SPDX-License-Identifier: MIT
#include "tracer/vdso_room.h"

#include <gtest/gtest.h>

#include "arch/batch.h"
#include "arch/kept_code.h"
#include "tracer/one_call.h"

namespace grab::tracer {
namespace {

constexpr std::uint64_t kStart = 0xf7fc1e68;

// docs/kernel.md: 408 bytes on Linux 6.12.
TEST(VdsoRoom, Of32BitProgramsIsEnoughForTheRestOfAWriteBesideTheCallsThatMapAPage) {
  constexpr VdsoRoom room{kStart, kStart + 408, true};
  const std::uint64_t first = first_kept_code(room);
  EXPECT_EQ(first, room.end - arch::kKeptCodeSizeI386);
  const std::uint64_t calls = (room.start + arch::batch_code_size_i386() + 7) & ~std::uint64_t{7};
  constexpr Page page{0x7ffff000, 0x10000, true};  // the last that a call has room for
  constexpr pid_t last = 4'194'304;
  constexpr std::uint64_t mask = ~0ULL;
  for (const auto& table :
       {make_map_table(page, last, last, mask), make_unmap_table(page, last, last, mask),
        make_close_table(1023, last, last, mask), make_end_table(last, last, mask, true)})
    EXPECT_LE(calls + arch::encoded_size(table), first);
}

TEST(VdsoRoom, HasNoPieceWhereTheBatchNeedsItAll) {
  constexpr VdsoRoom room{kStart, kStart + 400, true};
  EXPECT_GT(first_kept_code(room), room.end - arch::kKeptCodeSizeI386);
}

TEST(VdsoRoom, HasEightPiecesAtTheMost) {
  constexpr VdsoRoom room{kStart, kStart + 4096, false};
  EXPECT_EQ(first_kept_code(room), room.end - 8 * arch::kKeptCodeSize);
}

}  // namespace
}  // namespace grab::tracer
