// SPDX-License-Identifier: MIT
// A process of a test's own that makes one system call, or code that stands for one.
#pragma once

#include <elf.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstring>

#include <gtest/gtest.h>

#include "arch/batch.h"
#include "arch/test_tracee.h"

namespace grab::arch {

inline constexpr std::size_t kR10 = 7, kR8 = 9, kRax = 10, kRdx = 12, kRsi = 13, kRdi = 14,
                             kOrigRax = 15, kRip = 16;  // in Registers

/// A tracee of ours, in whose memory a call stands with a breakpoint behind it; stopped.
class CallingTracee {
 public:
  CallingTracee() {
    memory_ = static_cast<std::byte*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    // syscall; int3
    const unsigned char code[] = {0x0f, 0x05, 0xcc};
    lay(0, code, sizeof code);
    pid_ = start_tracee();
  }
  ~CallingTracee() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    munmap(memory_, 4096);
  }
  CallingTracee(const CallingTracee&) = delete;
  CallingTracee& operator=(const CallingTracee&) = delete;

  /// Of its memory, from 16 on for who uses it.
  [[nodiscard]] std::uint64_t address(std::size_t offset) const {
    return reinterpret_cast<std::uint64_t>(memory_) + offset;
  }
  void lay(std::size_t at, const void* bytes, std::size_t size) {
    std::memcpy(memory_ + at, bytes, size);
  }
  [[nodiscard]] const std::byte* bytes(std::size_t at) const { return memory_ + at; }
  /// Every register with a value of its own, before a call with these arguments.
  [[nodiscard]] Registers before_call(std::uint64_t number,
                                      const std::array<std::uint64_t, 4>& arguments) const {
    Registers regs = registers();
    for (const std::size_t i : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11})
      regs.words[i] = 0x0101010101010101ULL * (i + 1);
    regs.words[kOrigRax] = ~0ULL;
    regs.words[kRax] = number;
    regs.words[kRdi] = arguments[0];
    regs.words[kRsi] = arguments[1];
    regs.words[kRdx] = arguments[2];
    regs.words[kR10] = arguments[3];
    regs.words[kRip] = address(0);
    return regs;
  }
  /// The same inside that call, which is about to return `result`.
  [[nodiscard]] static Registers stopped_in(const Registers& before, std::int64_t result) {
    Registers stopped = before;
    stopped.words[kOrigRax] = before.words[kRax];
    stopped.words[kRax] = static_cast<std::uint64_t>(result);
    stopped.words[kRip] += 2;
    return stopped;
  }
  /// Runs to the breakpoint behind the call.
  Registers run(Registers regs) {
    iovec io{regs.words.data(), sizeof regs.words};
    EXPECT_EQ(ptrace(PTRACE_SETREGSET, pid_, NT_PRSTATUS, &io), 0);
    EXPECT_EQ(ptrace(PTRACE_CONT, pid_, 0, 0), 0);
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    EXPECT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP) << status;
    return registers();
  }

 private:
  [[nodiscard]] Registers registers() const {
    Registers regs;
    iovec io{regs.words.data(), sizeof regs.words};
    EXPECT_EQ(ptrace(PTRACE_GETREGSET, pid_, NT_PRSTATUS, &io), 0);
    return regs;
  }
  std::byte* memory_ = nullptr;
  pid_t pid_ = 0;
};

}  // namespace grab::arch
