// SPDX-License-Identifier: MIT
// Programs that stand where little is possible: without stack, on a signal's stack, in a
// restartable sequence, in 32-bit calls, with a handler for every system call.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <thread>
#include <utility>

#include "integration/zoo/zoo.h"

namespace zoo {
namespace {

constexpr std::size_t kPage = 4096;

char* map_memory(std::size_t size, int more_flags = 0) {
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | more_flags, -1, 0);
  if (memory == MAP_FAILED)
    must(-1, "mmap");
  return static_cast<char*>(memory);
}

/// Lines by a read of one's own: `read_some` is read(2) of descriptor 0. Until one is `last`.
void echo_by(const std::function<long(char*, std::size_t)>& read_some, char* buffer,
             std::size_t size, const Commands& extra = {}, const std::string& last = "") {
  std::string pending;
  for (;;) {
    const long count = read_some(buffer, size);
    if (count <= 0) {
      say("read gave " + std::to_string(count) + "\n");
      std::exit(98);
    }
    pending.append(buffer, static_cast<std::size_t>(count));
    for (auto end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
      const std::string line = pending.substr(0, end);
      pending.erase(0, end + 1);
      if (!last.empty() && line == last)
        return;
      if (const auto found = extra.find(line); found != extra.end())
        found->second();
      else
        say("got: " + line + "\n");
    }
  }
}

/// A call by int 0x80, with i386 numbers.
long call_by_int80(long number, long first, long second, long third) {
  long result = 0;
#if defined(__x86_64__)
  asm volatile("int $0x80"
               : "=a"(result)
               : "a"(number), "b"(first), "c"(second), "d"(third)
               : "memory", "r8", "r9", "r10", "r11");
#else
  asm volatile("int $0x80"
               : "=a"(result)
               : "a"(number), "b"(first), "c"(second), "d"(third)
               : "memory");
#endif
  return static_cast<int>(result);
}

/// read(2) of descriptor 0 with the stack pointer at `stack`, of which not a byte is used.
long read_on(char* stack, char* buffer, std::size_t size) {
  long result = 0;
#if defined(__x86_64__)
  asm volatile(
      "mov %%rsp, %%rbx\n\t"
      "mov %4, %%rsp\n\t"
      "syscall\n\t"
      "mov %%rbx, %%rsp"
      : "=a"(result)
      : "a"(SYS_read), "D"(0), "S"(buffer), "r"(stack), "d"(size)
      : "memory", "rbx", "rcx", "r11");
#else
  asm volatile(
      "mov %%esp, %%esi\n\t"
      "mov %5, %%esp\n\t"
      "int $0x80\n\t"
      "mov %%esi, %%esp"
      : "=a"(result)
      : "a"(SYS_read), "b"(0), "c"(buffer), "d"(size), "D"(stack)
      : "memory", "esi");
#endif
  return result;
}

char* alternate_stack = nullptr;
constexpr std::size_t kAlternateSize = 16 * kPage;

const char* where_signals_run() {
  stack_t now{};
  must(::sigaltstack(nullptr, &now), "sigaltstack");
  return (now.ss_flags & SS_ONSTACK) != 0 ? "on the signal stack\n" : "off the signal stack\n";
}

void serve_in_handler(int /*signo*/) {
  static char buffer[256];
  say_ready();
  echo_by([](char* to, std::size_t size) { return ::read(0, to, size); }, buffer, sizeof buffer,
          {{"where", [] { say(where_signals_run()); }}}, "leave");
}

}  // namespace

int int80_lines(const Args& /*args*/) {
  constexpr long kReadI386 = 3;
  char* const buffer = map_memory(kPage, MAP_32BIT);
  say_ready();
  echo_by(
      [](char* to, std::size_t size) {
        return call_by_int80(kReadI386, 0, reinterpret_cast<long>(to), static_cast<long>(size));
      },
      buffer, kPage);
  return 0;
}

int without_stack(const Args& /*args*/) {
  char* const pages = map_memory(2 * kPage);
  must(::mprotect(pages, kPage, PROT_NONE), "mprotect");
  static char buffer[256];
  say_ready();
  echo_by([&](char* to, std::size_t size) { return read_on(pages + kPage, to, size); }, buffer,
          sizeof buffer);
  return 0;
}

int small_stack(const Args& /*args*/) {
  constexpr std::size_t kSize = 16384;
  constexpr std::size_t kLeft = 512;
  constexpr char kUnused = 0x5a;
  static char buffer[256];
  char* const stack = map_memory(kSize);
  std::memset(stack, kUnused, kLeft);
  // The thread itself only reads; what is read is answered on another stack.
  std::atomic<long> count{0};
  std::thread([stack, &count] {
    for (;;) {
      while (count.load() != 0)
        ::sched_yield();
      count.store(read_on(stack + kLeft, buffer, sizeof buffer));
    }
  }).detach();
  say_ready();
  echo_by(
      [&, answered = false](char* /*to*/, std::size_t /*size*/) mutable {
        if (std::exchange(answered, true))
          count.store(0);  // it may read on
        while (count.load() == 0)
          ::usleep(1000);
        return count.load();
      },
      buffer, sizeof buffer,
      {{"stack", [&] {
          const auto changed =
              std::count_if(stack, stack + kLeft, [](char byte) { return byte != kUnused; });
          say("changed: " + std::to_string(changed) + " bytes\n");
        }}});
  return 0;
}

int signal_stack(const Args& /*args*/) {
  alternate_stack = map_memory(kAlternateSize);
  const stack_t stack{alternate_stack, 0, kAlternateSize};
  must(::sigaltstack(&stack, nullptr), "sigaltstack");
  struct sigaction action {};
  action.sa_handler = serve_in_handler;
  action.sa_flags = SA_ONSTACK;
  must(::sigaction(SIGUSR1, &action, nullptr), "sigaction");
  ::raise(SIGUSR1);
  say("left the handler\n");
  return serve({{"where", [] { say(where_signals_run()); }}});
}

int user_dispatch(const Args& /*args*/) {
  static char selector = 0;  // SYSCALL_DISPATCH_FILTER_ALLOW
  constexpr int kSetSyscallUserDispatch = 59;
  must(::prctl(kSetSyscallUserDispatch, 1, 0, 0, &selector), "PR_SET_SYSCALL_USER_DISPATCH");
  say_ready();
  return serve();
}

#if defined(__x86_64__)

namespace {
std::atomic<long> aborts{0};
std::atomic<long> broken{0};
}  // namespace

// The sequence has no end: it is only ever left at its abort address, or where it sees that the
// kernel does not know any more that it is in one.
int restartable(const Args& /*args*/) {
  struct Sequence {  // struct rseq_cs
    std::uint32_t version, flags;
    std::uint64_t start, length, abort;
  };
  static Sequence sequence __attribute__((aligned(32)));
  auto* const area = reinterpret_cast<struct rseq*>(static_cast<char*>(__builtin_thread_pointer()) +
                                                    __rseq_offset);
  if (__rseq_size == 0)
    must(-1, "rseq");
  std::thread([] {
    say_ready();
    std::exit(serve({{"sequence", [] {
                        const long before = aborts.load();
                        while (aborts.load() < before + 2)
                          ::usleep(1000);
                        say("aborted " + std::to_string(before) + ", broken " +
                            std::to_string(broken.load()) + "\n");
                      }}}));
  }).detach();
  for (;;) {
    long outcome = 0;
    asm volatile(
        "lea 1f(%%rip), %%rax\n\t"
        "mov %%rax, 8(%[sequence])\n\t"
        "lea 2f(%%rip), %%rcx\n\t"
        "sub %%rax, %%rcx\n\t"
        "mov %%rcx, 16(%[sequence])\n\t"
        "lea 4f(%%rip), %%rax\n\t"
        "mov %%rax, 24(%[sequence])\n\t"
        "mov %[sequence], %c[cs](%[area])\n\t"
        "1:\n\t"
        "cmpq $0, %c[cs](%[area])\n\t"
        "jne 1b\n\t"
        "2:\n\t"
        "mov $1, %[outcome]\n\t"
        "jmp 5f\n\t"
        ".long %c[signature]\n\t"
        "4:\n\t"
        "mov $0, %[outcome]\n\t"
        "5:\n\t"
        : [outcome] "=&r"(outcome)
        : [sequence] "r"(&sequence), [area] "r"(area), [cs] "i"(offsetof(struct rseq, rseq_cs)),
          [signature] "i"(RSEQ_SIG)
        : "rax", "rcx", "memory", "cc");
    (outcome == 0 ? aborts : broken).fetch_add(1);
  }
}

// Whoever comes back from read(2) with bytes reads again.
int code_32(const Args& /*args*/) {
  char* const page = map_memory(kPage, MAP_32BIT);
  constexpr unsigned char kReadForEver[] = {
      0xb8, 3,    0, 0, 0,  // mov eax, 3: read
      0x31, 0xdb,           // xor ebx, ebx
      0xba, 0x80, 0, 0, 0,  // mov edx, 128
      0xcd, 0x80,           // int 0x80
      0xeb, 0xf0,           // jmp to the start
  };
  std::memcpy(page, kReadForEver, sizeof kReadForEver);
  must(::mprotect(page, kPage, PROT_READ | PROT_WRITE | PROT_EXEC), "mprotect");
  say_ready();
  struct __attribute__((packed)) {
    std::uint32_t offset;
    std::uint16_t segment;
  } const target{static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(page)), 0x23};
  asm volatile("ljmpl *%0" : : "m"(target), "c"(page + kPage / 2) : "memory");
  return 1;
}

#endif

}  // namespace zoo
