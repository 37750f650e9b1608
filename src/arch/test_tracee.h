// SPDX-License-Identifier: MIT
// A process of a test's own, in which a batch can be run.
#pragma once

#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "arch/batch.h"

namespace grab::arch {

/// A tracee of ours, stopped; it has what was mapped with MAP_SHARED.
inline pid_t start_tracee() {
  const pid_t pid = fork();
  if (pid == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    for (;;)
      asm volatile("pause");
  }
  waitpid(pid, nullptr, 0);
  return pid;
}

/// A tracee of ours that spins over a register pattern until it is told to end.
class SpinningTracee {
 public:
  SpinningTracee() {
    page_ = mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                 MAP_SHARED | MAP_ANONYMOUS | MAP_32BIT, -1, 0);  // 32-bit code gets there, too
    pid_ = start_tracee();
  }
  ~SpinningTracee() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    munmap(page_, 4096);
  }
  SpinningTracee(const SpinningTracee&) = delete;
  SpinningTracee& operator=(const SpinningTracee&) = delete;

  [[nodiscard]] int wait_stop() const {
    int status = 0;
    waitpid(pid_, &status, 0);
    return WIFSTOPPED(status) ? WSTOPSIG(status) : -1;
  }
  [[nodiscard]] Registers registers() const {
    Registers regs;
    EXPECT_EQ(ptrace(PTRACE_GETREGS, pid_, 0, regs.words.data()), 0);
    EXPECT_TRUE(runs_usual_code(regs));
    return regs;
  }
  void set(Registers regs) const {
    EXPECT_EQ(ptrace(PTRACE_SETREGS, pid_, 0, regs.words.data()), 0);
  }
  void go() const { EXPECT_EQ(ptrace(PTRACE_CONT, pid_, 0, 0), 0); }
  [[nodiscard]] std::uint64_t code() const { return reinterpret_cast<std::uint64_t>(page_); }
  [[nodiscard]] std::uint64_t table() const { return code() + 1024; }
  static void write(std::uint64_t address, const std::vector<std::byte>& bytes) {
    std::memcpy(reinterpret_cast<void*>(address), bytes.data(), bytes.size());
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] Call stop() const {
    return Call{
        .number = SYS_tgkill, .args = {{{pid_}, {pid_}, {SIGSTOP}, {}}}, .any_result = true};
  }

 private:
  void* page_ = nullptr;
  pid_t pid_ = 0;
};

}  // namespace grab::arch
