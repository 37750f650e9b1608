// SPDX-License-Identifier: MIT
// 32-bit programs: what their calls mean, how they are made again, and that a batch comes back to
// 32-bit code. The last runs only where the kernel runs 32-bit programs at all.
#include <elf.h>
#include <fcntl.h>
#include <sys/user.h>

#include <array>
#include <cerrno>

#include "arch/short_write.h"
#include "arch/test_tracee.h"

namespace grab::arch {
namespace {

constexpr std::uint64_t kCode32 = 0x23;

Registers pack(const user_regs_struct& regs, bool in_i386_call = true) {
  Registers out;
  std::memcpy(out.words.data(), &regs, sizeof regs);
  out.in_i386_call = in_i386_call;
  return out;
}
user_regs_struct unpack(const Registers& regs) {
  user_regs_struct out{};
  std::memcpy(&out, regs.words.data(), sizeof out);
  return out;
}

// ebx ecx edx esi edi ebp
Registers stopped_in(std::uint32_t number, std::int64_t result,
                     const std::array<std::uint32_t, 6>& args) {
  user_regs_struct regs{};
  regs.orig_rax = number;
  regs.rax = static_cast<std::uint64_t>(result);
  regs.rbx = args[0];
  regs.rcx = args[1];
  regs.rdx = args[2];
  regs.rsi = args[3];
  regs.rdi = args[4];
  regs.rbp = args[5];
  regs.rip = 0x8049002;
  regs.cs = kCode32;
  return pack(regs);
}

TEST(I386, CallThatWasInterruptedIsMadeAgain) {
  const Registers read = resume_by_itself(stopped_in(3, -512, {0, 0x8050000, 80, 0, 0, 0}));
  EXPECT_EQ(unpack(read).rax, 3U);
  EXPECT_EQ(unpack(read).rip, 0x8049000U);
  EXPECT_EQ(unpack(read).cs, kCode32);
  const Registers nanosleep = resume_by_itself(stopped_in(162, -516, {0x8050000, 0, 0, 0, 0, 0}));
  EXPECT_EQ(unpack(nanosleep).rax, 0U) << "restart_syscall is 0 there";
}

struct Interrupted {
  const char* name;
  std::uint32_t number;
  std::array<std::uint32_t, 6> args;
  bool restarts;
};
void PrintTo(const Interrupted& of, std::ostream* out) {
  *out << of.name;
}

class I386Interrupted : public testing::TestWithParam<Interrupted> {};

TEST_P(I386Interrupted, IsMadeAgainOnlyWhereItHadNoTimeout) {
  const auto& [name, number, args, restarts] = GetParam();
  const Registers stopped = stopped_in(number, -EINTR, args);
  const Registers resumed = resume_by_kernel(stopped);
  if (restarts)
    EXPECT_EQ(static_cast<std::int64_t>(unpack(resumed).rax), -514);
  else
    EXPECT_EQ(resumed, stopped);
}
constexpr std::uint32_t kForEver = static_cast<std::uint32_t>(-1);
INSTANTIATE_TEST_SUITE_P(
    Each, I386Interrupted,
    testing::Values(Interrupted{"epoll_wait", 256, {3, 0x9000, 1, kForEver, 0, 0}, true},
                    Interrupted{"epoll_wait_timed", 256, {3, 0x9000, 1, 100, 0, 0}, false},
                    Interrupted{"epoll_pwait", 319, {3, 0x9000, 1, kForEver, 0, 0}, true},
                    Interrupted{"semop_by_ipc", 117, {1, 7, 1, 0, 0x9000, 0}, true},
                    Interrupted{"semtimedop_by_ipc", 117, {4, 7, 1, 0, 0x9000, 0x9100}, false},
                    Interrupted{"semtimedop_no_limit", 117, {4, 7, 1, 0, 0x9000, 0}, true},
                    Interrupted{"msgrcv_by_ipc", 117, {12, 7, 1, 0, 0x9000, 0}, false},
                    Interrupted{"semtimedop_time64", 420, {7, 0x9000, 1, 0, 0, 0}, true},
                    Interrupted{"sigtimedwait", 177, {0x9000, 0, 0, 8, 0, 0}, true},
                    Interrupted{"sigtimedwait_timed", 177, {0x9000, 0, 0x9100, 8, 0, 0}, false},
                    Interrupted{"sigtimedwait_time64", 421, {0x9000, 0, 0, 8, 0, 0}, true},
                    // Of a socket with a timeout, which begins again.
                    Interrupted{"accept_by_socketcall", 102, {5, 0x9000, 0, 0, 0, 0}, true},
                    Interrupted{"recvmsg_by_socketcall", 102, {17, 0x9000, 0, 0, 0, 0}, true},
                    Interrupted{"connect_by_socketcall", 102, {3, 0x9000, 0, 0, 0, 0}, false},
                    Interrupted{"accept4", 364, {3, 0, 0, 0, 0, 0}, true},
                    Interrupted{"recvfrom", 371, {3, 0x9000, 1, 0, 0, 0}, true},
                    Interrupted{"recvmmsg_timed", 337, {3, 0x9000, 1, 0, 0x9100, 0}, false},
                    // What has that number in 64-bit programs is a wait without timeout.
                    Interrupted{"listxattr_no_epoll", 232, {0, 0, 0, kForEver, 0, 0}, false}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST(I386, CallOfA64BitProgramIsReadByI386Numbers) {
  user_regs_struct regs = unpack(stopped_in(256, -EINTR, {3, 0x9000, 1, kForEver, 0, 0}));
  regs.cs = 0x33;
  EXPECT_NE(resume_by_kernel(pack(regs)), pack(regs));
  EXPECT_EQ(resume_by_kernel(pack(regs, false)), pack(regs, false)) << "256 is migrate_pages";
}

TEST(I386, WaitsOfAShellAreUnderstoodAndAnsweredInItsLayout) {
  const auto waitpid = entering_wait(
      stopped_in(7, -ENOSYS, {static_cast<std::uint32_t>(-1), 0xffffd000, WUNTRACED, 99, 0, 0}));
  ASSERT_TRUE(waitpid);
  EXPECT_EQ(waitpid->id, -1);
  EXPECT_EQ(waitpid->status, 0xffffd000U);
  EXPECT_EQ(waitpid->options, WUNTRACED);
  EXPECT_EQ(waitpid->rusage, 0U);
  const auto wait4 = entering_wait(stopped_in(114, -ENOSYS, {77, 0x9000, 2, 0x9100, 0, 0}));
  ASSERT_TRUE(wait4);
  EXPECT_EQ(wait4->rusage, 0x9100U);
  EXPECT_EQ(rusage_size(*wait4), 72U);
  const auto waitid = entering_wait(stopped_in(284, -ENOSYS, {P_PID, 77, 0x9000, WEXITED, 0, 0}));
  ASSERT_TRUE(waitid);
  EXPECT_TRUE(waitid->is_waitid);
  const auto bytes = wait_result(*waitid, {.pid = 77, .uid = 1000, .wait_status = SIGINT});
  ASSERT_EQ(bytes.size(), 128U);
  std::array<std::int32_t, 6> head{};
  std::memcpy(head.data(), bytes.data(), sizeof head);
  EXPECT_EQ(head, (std::array<std::int32_t, 6>{SIGCHLD, 0, CLD_KILLED, 77, 1000, SIGINT}));
  EXPECT_FALSE(entering_wait(stopped_in(7, 0, {1, 0, 0, 0, 0, 0}))) << "it has returned";
}

TEST(I386, CallsOfAShellAreUnderstood) {
  EXPECT_TRUE(entering_read(stopped_in(3, -ENOSYS, {})));
  EXPECT_TRUE(entering_read(stopped_in(142, -ENOSYS, {})));
  EXPECT_FALSE(entering_read(stopped_in(0, -ENOSYS, {})));  // read(2) of 64-bit programs
  EXPECT_TRUE(entering_exit(stopped_in(252, -ENOSYS, {})));
  EXPECT_TRUE(sleeps_for_child(stopped_in(179, -514, {})));
  EXPECT_FALSE(sleeps_for_child(stopped_in(114, -512, {1, 0, WNOHANG, 0, 0, 0})));
  const auto kill =
      entering_kill(stopped_in(37, -ENOSYS, {static_cast<std::uint32_t>(-77), SIGHUP, 0, 0, 0, 0}));
  ASSERT_TRUE(kill);
  EXPECT_EQ(kill->pid, -77);
  EXPECT_EQ(kill->signo, SIGHUP);
}

std::vector<std::byte> image32(std::uint32_t sections_at, std::size_t size) {
  Elf32_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS32;
  header.e_shoff = sections_at;
  header.e_shnum = 2;
  header.e_shentsize = sizeof(Elf32_Shdr);
  std::vector<std::byte> image(size);
  std::memcpy(image.data(), &header, sizeof header);
  return image;
}

TEST(VdsoTailOf, A32BitImageBeginsBehindItsSections) {
  const auto image = image32(0x18f0, 0x2000);
  EXPECT_EQ(vdso_tail_of(image).offset, 0x1948U);
  EXPECT_EQ(vdso_tail_of(image).offset + vdso_tail_of(image).size, 0x2000U);
  EXPECT_EQ(vdso_tail_of(image32(0x1fd0, 0x2000)).size, 0U);
  EXPECT_EQ(vdso_tail_of(image32(0xfffffff0, 0x2000)).size, 0U);
  EXPECT_EQ(vdso_tail_of({}).size, 0U);
  EXPECT_EQ(vdso_tail_of(std::vector<std::byte>(0x2000)).size, 0U) << "no ELF image";
}

TEST(VdsoTailOf, IsNoneWhereSomebodyUsesItUnlessThatWasAGrab) {
  auto image = image32(0x18f0, 0x2000);
  const std::size_t offset = vdso_tail_of(image).offset;
  const auto code = batch_code(Registers{});
  std::copy(code.begin(), code.end(), image.begin() + static_cast<std::ptrdiff_t>(offset));
  EXPECT_EQ(vdso_tail_of(image).offset, offset);
  const auto rest = rest_code(stopped_in(4, 40, {1, 0x8050000, 100, 0, 0, 0}));
  std::copy(rest.begin(), rest.end(), image.end() - static_cast<std::ptrdiff_t>(rest.size()));
  EXPECT_EQ(vdso_tail_of(image).offset, offset);
  std::fill_n(image.begin() + static_cast<std::ptrdiff_t>(offset), code.size(), std::byte{0});
  EXPECT_EQ(vdso_tail_of(image).offset, offset) << "the rest of a write stays behind a grab";
  image[offset] = std::byte{0xcc};
  EXPECT_EQ(vdso_tail_of(image).size, 0U);
}

TEST(I386, RestOfAWriteIsHandedToTheKernelAsOneThatHasYetToBegin) {
  const Registers stopped = stopped_in(4, 40, {1, 0x8050000, 100, 5, 6, 7});
  const auto found = short_write(stopped);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->fd, 1);
  EXPECT_EQ(found->written, 40);
  EXPECT_TRUE(is_rest_code(rest_code(stopped)));
  EXPECT_EQ(rest_code(stopped).size(), kKeptCodeSizeI386);
  const user_regs_struct rest = unpack(write_the_rest(stopped, 0xf7fc1f80));
  EXPECT_EQ(rest.rbx, 1U);
  EXPECT_EQ(rest.rcx, 0x8050028U);
  EXPECT_EQ(rest.rdx, 60U);
  EXPECT_EQ(rest.orig_rax, 4U);
  EXPECT_EQ(resume_by_itself(write_the_rest(stopped, 0xf7fc1f80)).words, pack([&] {
                                                                           user_regs_struct again =
                                                                               rest;
                                                                           again.rax = 4;
                                                                           again.rip = 0xf7fc1f80;
                                                                           again.orig_rax = ~0ULL;
                                                                           return again;
                                                                         }())
                                                                             .words);
  EXPECT_FALSE(short_write(stopped_in(1, 40, {1, 0x8050000, 100, 0, 0, 0}))) << "exit(2)";
}

TEST(I386, CodeReachesNoAddressBeyond4GiB) {
  const Registers stopped = stopped_in(4, 40, {});
  EXPECT_TRUE(reaches(stopped, 0xf7fc2000));
  EXPECT_FALSE(reaches(stopped, 0x7ffff7fc2000));
  EXPECT_TRUE(reaches(Registers{}, 0x7ffff7fc2000));
}

TEST(I386, RestOfAWriteIsLeftWhereACallOfTheOtherKindIsMade) {
  user_regs_struct regs = unpack(stopped_in(4, 40, {1, 0x8050000, 100, 0, 0, 0}));
  regs.cs = 0x33;
  EXPECT_FALSE(short_write(pack(regs)));
}

// The vDSO of 32-bit programs has 408 bytes for it and the calls that map a page (Linux 6.12).
TEST(I386, BatchIsShort) {
  EXPECT_EQ(batch_code(stopped_in(3, -512, {})).size(), batch_code_size_i386());
  EXPECT_LE(batch_code_size_i386(), 248U);
}

TEST(I386, BatchRemembersThatTheProcessWasStopped) {
  EXPECT_TRUE(was_stopped(batch_code(stopped_in(3, -512, {}), true)));
  EXPECT_FALSE(was_stopped(batch_code(stopped_in(3, -512, {}), false)));
}

/// Whether this kernel runs 32-bit programs: runs the smallest there is, exit(7).
bool runs_32_bit_programs() {
  Elf32_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS32;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = EM_386;
  header.e_version = EV_CURRENT;
  header.e_ehsize = sizeof header;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Elf32_Phdr);
  header.e_phnum = 1;
  constexpr std::array<unsigned char, 12> kExit7 = {0xb8, 1, 0, 0, 0, 0xbb, 7, 0, 0, 0, 0xcd, 0x80};
  Elf32_Phdr load{};
  load.p_type = PT_LOAD;
  load.p_flags = PF_R | PF_X;
  load.p_vaddr = 0x8048000;
  load.p_filesz = load.p_memsz = sizeof header + sizeof load + sizeof kExit7;
  load.p_align = 0x1000;
  header.e_entry = load.p_vaddr + sizeof header + sizeof load;
  const int file = memfd_create("exit7", 0);
  EXPECT_EQ(write(file, &header, sizeof header), static_cast<ssize_t>(sizeof header));
  EXPECT_EQ(write(file, &load, sizeof load), static_cast<ssize_t>(sizeof load));
  EXPECT_EQ(write(file, kExit7.data(), kExit7.size()), static_cast<ssize_t>(kExit7.size()));
  const pid_t pid = fork();
  if (pid == 0) {
    std::array<char*, 1> none = {nullptr};
    (void)fexecve(file, none.data(), none.data());
    _exit(1);
  }
  close(file);
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 7;
}

// A 64-bit process runs 32-bit code as soon as it is in that segment.
TEST(I386, BatchComesBackTo32BitCodeWithEveryRegisterAndFlag) {
  if (!runs_32_bit_programs())
    GTEST_SKIP() << "this kernel runs no 32-bit programs";
  for (const std::uint64_t flags : {0x000U, 0x001U, 0x844U, 0x8d5U, 0x0d5U}) {
    const SpinningTracee tracee;
    const std::uint64_t landing = tracee.code() + 3000;
    SpinningTracee::write(landing, {std::byte{0xcc}});  // int3
    user_regs_struct want = unpack(tracee.registers());
    want.rax = 0x01010101;
    want.rbx = 0x82020202;
    want.rcx = 0x03030303;
    want.rdx = 0x84040404;
    want.rsi = 0x05050505;
    want.rdi = 0x86060606;
    want.rbp = 0x07070707;
    want.rsp = tracee.code() + 4096;
    want.cs = kCode32;
    want.rip = landing;
    want.orig_rax = ~0ULL;
    want.eflags = (want.eflags & ~0x8d5ULL) | flags;
    CallTable table;
    table.calls = {Call{.number = SYS_getppid, .expected = getpid()}, tracee.stop(),
                   Call{.is_end = true}};
    const Registers resume = pack(want, false);
    SpinningTracee::write(tracee.code(), batch_code(resume));
    SpinningTracee::write(tracee.table(), encode(table, tracee.table()));
    tracee.set(
        enter_batch(resume, {.code = tracee.code(), .table = tracee.table(), .failure_call = 1}));
    tracee.go();
    ASSERT_EQ(tracee.wait_stop(), SIGSTOP);
    EXPECT_EQ(batch_failure(tracee.registers(), tracee.table()), std::nullopt);
    tracee.go();
    ASSERT_EQ(tracee.wait_stop(), SIGTRAP);
    user_regs_struct got = unpack(tracee.registers());
    EXPECT_EQ(got.rip, landing + 1);
    got.rip = landing;
    // 32-bit code has none of these.
    got.r8 = want.r8, got.r9 = want.r9, got.r10 = want.r10, got.r11 = want.r11;
    got.r12 = want.r12, got.r13 = want.r13, got.r14 = want.r14, got.r15 = want.r15;
    EXPECT_EQ(pack(got), pack(want));
  }
}

/// Runs 32-bit code to the breakpoint that ends it.
user_regs_struct run_to_breakpoint(const SpinningTracee& tracee, const Registers& from) {
  tracee.set(from);
  tracee.go();
  EXPECT_EQ(tracee.wait_stop(), SIGTRAP);
  return unpack(tracee.registers());
}

TEST(I386, RestOfAWriteIsWrittenAsIfItHadBeenOneCall) {
  if (!runs_32_bit_programs())
    GTEST_SKIP() << "this kernel runs no 32-bit programs";
  std::array<int, 2> pipe_ends{};
  ASSERT_EQ(pipe(pipe_ends.data()), 0);
  for (const int fd : {pipe_ends[1], 999}) {  // the other is no descriptor
    const SpinningTracee tracee;
    const std::uint64_t call_at = tracee.code() + 2000;
    const std::uint64_t text_at = tracee.code() + 3000;
    const std::string text = "0123456789";
    std::memcpy(reinterpret_cast<void*>(text_at), text.data(), text.size());
    SpinningTracee::write(call_at, {std::byte{0xcd}, std::byte{0x80}, std::byte{0xcc}});
    user_regs_struct before = unpack(tracee.registers());
    before.rax = 4;
    before.rbx = static_cast<std::uint64_t>(fd);
    before.rcx = text_at;
    before.rdx = text.size();
    before.rsi = 0x85050505;
    before.rdi = 0x06060606;
    before.rbp = 0x87070707;
    before.rsp = tracee.code() + 4096;
    before.cs = kCode32;
    before.rip = call_at;
    before.orig_rax = ~0ULL;
    before.eflags |= 0x8d5;
    user_regs_struct whole = run_to_breakpoint(tracee, pack(before, false));
    std::array<char, 32> read_back{};
    if (fd == pipe_ends[1]) {
      EXPECT_EQ(read(pipe_ends[0], read_back.data(), read_back.size()), 10);
    }
    user_regs_struct stopped = before;
    stopped.orig_rax = 4;
    stopped.rax = 4;
    stopped.rip = call_at + 2;
    SpinningTracee::write(tracee.code(), rest_code(pack(stopped)));
    const user_regs_struct rest =
        run_to_breakpoint(tracee, resume_by_itself(write_the_rest(pack(stopped), tracee.code())));
    if (fd == pipe_ends[1]) {
      EXPECT_EQ(read(pipe_ends[0], read_back.data(), read_back.size()), 6);
      EXPECT_EQ(std::string(read_back.data(), 6), "456789");
    } else {
      EXPECT_EQ(static_cast<std::int32_t>(whole.rax), -EBADF);
      whole.rax = 4;  // what had been written
    }
    EXPECT_EQ(pack(rest), pack(whole));
  }
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

}  // namespace
}  // namespace grab::arch
