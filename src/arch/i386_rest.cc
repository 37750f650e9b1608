// SPDX-License-Identifier: MIT
#include "arch/i386_rest.h"

#include <algorithm>
#include <cstring>

namespace grab::arch {

// The constants are filled in. Neither the stack nor a flag is touched: int 0x80 leaves all
// registers but eax as they are, and so does this. The far jump takes an address and not a
// distance, wherever the code lies; its segment is the one of 32-bit programs.
asm(R"(
  .pushsection .rodata
  .intel_syntax noprefix
  .code32
grab_i386_rest_begin:
  int 0x80
  cdq
  mov ecx, edx              # not 0 for -errno
  jecxz 1f
  mov eax, 0
1:lea eax, [eax + 0x11223344]
grab_i386_rest_result:
  mov ecx, 0x11223344
grab_i386_rest_buffer:
  mov edx, 0x11223344
grab_i386_rest_count:
  .byte 0xea                # jmp 0x23:0x11223344
  .long 0x11223344
grab_i386_rest_return:
  .word 0x23
grab_i386_rest_end:
  .code64
  .att_syntax
  .popsection
)");

extern "C" {
extern const std::byte grab_i386_rest_begin[];   // NOLINT: labels of the code above
extern const std::byte grab_i386_rest_result[];  // NOLINT
extern const std::byte grab_i386_rest_buffer[];  // NOLINT
extern const std::byte grab_i386_rest_count[];   // NOLINT
extern const std::byte grab_i386_rest_return[];  // NOLINT
extern const std::byte grab_i386_rest_end[];     // NOLINT
}

std::vector<std::byte> i386_rest_code(const I386Write& write) {
  std::vector<std::byte> code(grab_i386_rest_begin, grab_i386_rest_end);
  const auto fill = [&](const std::byte* behind, std::uint32_t value) {
    std::memcpy(code.data() + (behind - grab_i386_rest_begin) - sizeof value, &value, sizeof value);
  };
  fill(grab_i386_rest_result, write.written);
  fill(grab_i386_rest_buffer, write.buffer);
  fill(grab_i386_rest_count, write.count);
  fill(grab_i386_rest_return, write.resume_at);
  return code;
}

bool is_i386_rest_code(std::span<const std::byte> bytes) {
  const auto up_to_constant =
      static_cast<std::size_t>(grab_i386_rest_result - grab_i386_rest_begin) -
      sizeof(std::uint32_t);
  return bytes.size() >= up_to_constant &&
         std::equal(grab_i386_rest_begin, grab_i386_rest_begin + up_to_constant, bytes.begin());
}

}  // namespace grab::arch
