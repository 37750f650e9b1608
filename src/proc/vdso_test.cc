// SPDX-License-Identifier: MIT
#include "proc/vdso.h"

#include <fcntl.h>
#include <sys/auxv.h>

#include <gtest/gtest.h>

#include "base/unique_fd.h"

namespace grab::proc {
namespace {

TEST(Vdso, IsWhereTheKernelHasMappedIt) {
  const UniqueFd maps(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
  const auto found = find_vdso(maps.get(), 0);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->start, ::getauxval(AT_SYSINFO_EHDR));
  EXPECT_TRUE(found->executable);
  EXPECT_GE(found->size, 4096U);
  EXPECT_EQ(find_vdso(maps.get(), found->start), found);
}

TEST(Vdso, IsFoundWhereTheHintIsWrong) {
  const UniqueFd maps(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
  const auto found = find_vdso(maps.get(), ::getauxval(AT_SYSINFO_EHDR));
  EXPECT_EQ(find_vdso(maps.get(), ::getauxval(AT_PHDR)), found);
  EXPECT_EQ(find_vdso(maps.get(), 0x1000), found);
}

TEST(Vdso, IsNoFileOrMemoryThatLooksLikeIt) {
  for (const char* name : {"/tmp/[vdso]", "/tmp/a [vdso]", "/tmp/a\\012[vdso]", "[anon:[vdso]]",
                           "/memfd:[vdso] (deleted)", "[vdso] (deleted)", ""}) {
    const std::string line = "7ffff7fc1000-7ffff7fc3000 r-xp 00000000 00:00 0    ";
    EXPECT_EQ(parse_maps_vdso(line + name + "\n"), std::nullopt) << name;
  }
}

TEST(Vdso, IsReadFromAnyLineOfTheMap) {
  const auto found = parse_maps_vdso(
      "00400000-00401000 r-xp 00000000 fe:00 12   /usr/bin/[vdso]\n"
      "7ffff7fc1000-7ffff7fc3000 r--p 00000000 00:00 0                          [vdso]\n");
  EXPECT_EQ(found, (VdsoMapping{0x7ffff7fc1000, 0x2000, false}));
}

}  // namespace
}  // namespace grab::proc
