// SPDX-License-Identifier: MIT
// What is left of an interrupted write on x86_64.
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>

#include "arch/i386_rest.h"
#include "arch/made_call.h"
#include "arch/short_write.h"
#include "arch/x86_64_registers.h"

namespace grab::arch {

// The first makes the rest of a call and gives the count of the whole. The second, for a writev(2),
// writes the rest of an element, then enters the first at its beginning, or where less than that
// could be written at the place where the count is made up. The constants are filled in. The
// registers at the end, rcx, r11 and the flags among them, are those that the kernel leaves behind
// one call: the sign of rax is looked at without a flag.
asm(R"(
  .pushsection .rodata
  .intel_syntax noprefix
grab_rest_begin:
  syscall
  mov rcx, rax
  bswap rcx
  movzx ecx, cl             # the highest byte: not 0 in -errno
  jrcxz grab_rest_sum
  mov eax, 0
grab_rest_sum:
  lea rax, [rax + 0x11223344]
grab_rest_result:
  lea rsi, [rsi - 0x11223344]
grab_rest_back:
  lea rdx, [rdx + 0x11223344]
grab_rest_count:
  movabs rcx, 0x1122334455667788
grab_rest_return:
  notrack jmp rcx
grab_rest_end:

grab_element_begin:
  syscall
  lea rcx, [rax - 0x11223344]
grab_element_size:
  movabs rsi, 0x1122334455667788
grab_element_vector:
  mov edx, 0x11223344
grab_element_count:
  jrcxz 2f
  mov rcx, rax
  bswap rcx
  movzx ecx, cl
  jrcxz 1f
  mov eax, 0
1:lea rax, [rax - 0x11223344]
grab_element_short:
  .byte 0xe9                # jmp
  .long 0
grab_element_to_sum:
2:mov eax, 20               # writev
  .byte 0xe9
  .long 0
grab_element_to_rest:
grab_element_end:
  .att_syntax
  .popsection
)");

extern "C" {
extern const std::byte grab_rest_begin[];       // NOLINT: labels of the code above
extern const std::byte grab_rest_sum[];         // NOLINT
extern const std::byte grab_rest_result[];      // NOLINT
extern const std::byte grab_rest_back[];        // NOLINT
extern const std::byte grab_rest_count[];       // NOLINT
extern const std::byte grab_rest_return[];      // NOLINT
extern const std::byte grab_rest_end[];         // NOLINT
extern const std::byte grab_element_begin[];    // NOLINT
extern const std::byte grab_element_size[];     // NOLINT
extern const std::byte grab_element_vector[];   // NOLINT
extern const std::byte grab_element_count[];    // NOLINT
extern const std::byte grab_element_short[];    // NOLINT
extern const std::byte grab_element_to_sum[];   // NOLINT
extern const std::byte grab_element_to_rest[];  // NOLINT
extern const std::byte grab_element_end[];      // NOLINT
}

namespace {

constexpr std::uint64_t kLongestWrite = 0x7ffff000;  // write(2): no call transfers more
constexpr std::uint64_t kMostElements = 1024;        // UIO_MAXIOV, writev(2)
constexpr std::size_t kNarrow = sizeof(std::int32_t);

/// One of the codes above, to be filled in.
class Code {
 public:
  Code(const std::byte* begin, const std::byte* end) : begin_(begin), bytes_(begin, end) {}
  /// The constant that ends at this label.
  void fill(const std::byte* behind, std::uint64_t value, std::size_t size = kNarrow) {
    store(bytes_.data() + (behind - begin_) - size, value, size);
  }
  [[nodiscard]] std::vector<std::byte> take() {
    bytes_.resize(kKeptCodeSize);
    return std::move(bytes_);
  }

 private:
  const std::byte* begin_;
  std::vector<std::byte> bytes_;
};

/// What goes back to the program at the end: rsi less and rdx more than in the last call.
std::vector<std::byte> ending_code(std::uint64_t back, std::uint64_t count, std::uint64_t written,
                                   std::uint64_t resume_at) {
  Code code(grab_rest_begin, grab_rest_end);
  code.fill(grab_rest_result, written);
  code.fill(grab_rest_back, 0 - back);
  code.fill(grab_rest_count, count);
  code.fill(grab_rest_return, resume_at, sizeof resume_at);
  return code.take();
}

bool begins_with(std::span<const std::byte> bytes, const std::byte* begin, const std::byte* behind,
                 std::size_t constant) {
  const auto fixed = static_cast<std::size_t>(behind - begin) - constant;
  return bytes.size() >= fixed && std::equal(begin, begin + fixed, bytes.begin());
}

}  // namespace

std::optional<ShortWrite> short_write(const Registers& stopped) {
  const user_regs_struct regs = unpack(stopped);
  const auto [number, args] = made_call(stopped);
  const auto written = static_cast<std::int64_t>(regs.rax);
  const auto asked = static_cast<std::int64_t>(std::min<std::uint64_t>(args[2], kLongestWrite));
  if (written <= 0 || written > static_cast<std::int64_t>(kLongestWrite))
    return std::nullopt;
  if (stopped.in_i386_call != (regs.cs == kUserCode32))
    return std::nullopt;  // the code for the rest is of the kind that makes such calls
  // Kernel: each send with MSG_ZEROCOPY is counted for the program, which waits for as many
  // notices. Source: Documentation/networking/msg_zerocopy.rst.
  if (number == SYS_sendto && (args[3] & MSG_ZEROCOPY) != 0)
    return std::nullopt;
  ShortWrite cut{static_cast<int>(args[0]), static_cast<std::int32_t>(written)};
  const bool is_native = !stopped.in_i386_call;
  if (number == SYS_write || (number == SYS_sendto && is_native))
    return written < asked ? std::optional(cut) : std::nullopt;
  if (number != SYS_writev || !is_native || args[2] > kMostElements)
    return std::nullopt;
  cut.vector = args[1];
  cut.elements = static_cast<std::uint32_t>(args[2]);
  return cut;
}

std::vector<std::byte> rest_code(const Registers& stopped) {
  const user_regs_struct regs = unpack(stopped);
  if (!stopped.in_i386_call)
    return ending_code(regs.rax, regs.rax, regs.rax, regs.rip);
  std::vector<std::byte> code = i386_rest_code({.buffer = low(regs.rcx),
                                                .count = low(regs.rdx),
                                                .written = low(regs.rax),
                                                .resume_at = low(regs.rip)});
  code.resize(kKeptCodeSizeI386);
  return code;
}

bool is_rest_code(std::span<const std::byte> bytes) {
  return begins_with(bytes, grab_rest_begin, grab_rest_result, kNarrow) ||
         begins_with(bytes, grab_element_begin, grab_element_size, kNarrow) ||
         is_i386_rest_code(bytes);
}

Registers write_the_rest(const Registers& stopped, std::uint64_t code) {
  user_regs_struct regs = unpack(stopped);
  auto& buffer = stopped.in_i386_call ? regs.rcx : regs.rsi;
  buffer += regs.rax;
  regs.rdx -= regs.rax;
  regs.rip = code + kSyscallInstructionSize;
  regs.rax = static_cast<std::uint64_t>(kRestartSys);
  return pack(regs, stopped.in_i386_call);
}

std::optional<VectorRest> vector_rest(std::span<const iovec> vector, std::int32_t written) {
  std::uint64_t total = 0;
  for (const iovec& element : vector) {
    total += element.iov_len;
    if (element.iov_len > kLongestWrite || total > kLongestWrite)
      return std::nullopt;
  }
  auto left = static_cast<std::uint64_t>(written);
  if (written <= 0 || left >= total)
    return std::nullopt;
  std::uint32_t behind = 0;
  for (; left >= vector[behind].iov_len; behind++)
    left -= vector[behind].iov_len;
  if (left == 0)
    return VectorRest{.behind = behind};
  const iovec& element = vector[behind];
  return VectorRest{reinterpret_cast<std::uint64_t>(element.iov_base) + left,
                    static_cast<std::int32_t>(element.iov_len - left), behind + 1};
}

std::vector<std::byte> rest_of_vector_code(const Registers& stopped, const VectorRest& rest) {
  const user_regs_struct regs = unpack(stopped);
  return ending_code(rest.behind * sizeof(iovec), rest.behind,
                     regs.rax + static_cast<std::uint64_t>(rest.size), regs.rip);
}

std::vector<std::byte> rest_of_element_code(const Registers& stopped, const VectorRest& rest,
                                            std::int64_t distance) {
  const user_regs_struct regs = unpack(stopped);
  const auto size = static_cast<std::uint64_t>(rest.size);
  const auto from = [distance](const std::byte* label) {
    return static_cast<std::uint64_t>(distance - (label - grab_element_begin));
  };
  static_assert(SYS_writev == 20, "as the code has it");
  Code code(grab_element_begin, grab_element_end);
  code.fill(grab_element_size, 0 - size);
  code.fill(grab_element_vector, regs.rsi + rest.behind * sizeof(iovec), sizeof regs.rsi);
  code.fill(grab_element_count, regs.rdx - rest.behind);
  code.fill(grab_element_short, 0 - size);
  code.fill(grab_element_to_sum, from(grab_element_to_sum) +
                                     static_cast<std::uint64_t>(grab_rest_sum - grab_rest_begin));
  code.fill(grab_element_to_rest, from(grab_element_to_rest));
  return code.take();
}

Registers write_the_rest_of_vector(const Registers& stopped, const VectorRest& rest,
                                   std::uint64_t code) {
  user_regs_struct regs = unpack(stopped);
  if (rest.size != 0) {
    regs.orig_rax = SYS_write;
    regs.rsi = rest.address;
    regs.rdx = static_cast<std::uint64_t>(rest.size);
  } else {
    regs.rsi += rest.behind * sizeof(iovec);
    regs.rdx -= rest.behind;
  }
  regs.rip = code + kSyscallInstructionSize;
  regs.rax = static_cast<std::uint64_t>(kRestartSys);
  return pack(regs);
}

}  // namespace grab::arch
