// SPDX-License-Identifier: MIT
#include "tracer/one_call.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include <array>
#include <csignal>
#include <optional>
#include <span>

namespace grab::tracer {
namespace {

using arch::Argument;
using arch::Call;

/// A table that makes one call, stops, and otherwise ends as `otherwise` says.
arch::CallTable one_call(Call call, std::optional<Call> otherwise, pid_t pid, pid_t tid,
                         std::uint64_t mask) {
  arch::CallTable table;
  const Argument set = table.add_data(std::as_bytes(std::span(&mask, 1)));
  call.any_result = false;
  call.expected = kNeverReturned;
  table.calls.push_back(call);
  table.calls.push_back(Call{.number = SYS_tgkill,
                             .args = {number(pid), number(tid), number(SIGSTOP), {}},
                             .any_result = true});
  if (otherwise)
    table.calls.push_back(*otherwise);
  table.calls.push_back(Call{.number = SYS_rt_sigprocmask,
                             .args = {number(SIG_SETMASK), set, number(0), number(sizeof mask)},
                             .any_result = true});
  table.calls.push_back(Call{.is_end = true});
  return table;
}

Call unmap_call(Page page) {
  return Call{.number = SYS_munmap,
              .args = {number(static_cast<std::int64_t>(page.address)),
                       number(static_cast<std::int64_t>(page.size)),
                       {},
                       {}},
              .any_result = true};
}

}  // namespace

// Kernel: mmap(2) with MAP_FIXED_NOREPLACE maps at the address or fails, so the address is known
// before. Its last two arguments, -1 and 0, are in registers that the batch leaves alone. Source:
// mmap(2), Linux 4.17.
arch::CallTable make_map_table(Page page, pid_t pid, pid_t tid, std::uint64_t signal_mask) {
  const Call map{.number = SYS_mmap,
                 .args = {number(static_cast<std::int64_t>(page.address)),
                          number(static_cast<std::int64_t>(page.size)),
                          number(page.writable ? PROT_READ | PROT_WRITE : PROT_READ),
                          number(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE)}};
  return one_call(map, unmap_call(page), pid, tid, signal_mask);
}

arch::CallTable make_unmap_table(Page page, pid_t pid, pid_t tid, std::uint64_t signal_mask) {
  return one_call(unmap_call(page), std::nullopt, pid, tid, signal_mask);
}

arch::CallTable make_close_table(int fd, pid_t pid, pid_t tid, std::uint64_t signal_mask) {
  return one_call(Call{.number = SYS_close, .args = {number(fd), {}, {}, {}}}, std::nullopt, pid,
                  tid, signal_mask);
}

// Kernel: ppoll(2) of nothing leaves no call to be restarted behind. The time that is left cannot
// be written into the vDSO, so that any stop ends it with EINTR: a tracer that has come ends the
// wait. Source: fs/select.c poll_select_finish(); seen.
Call wait_for_guard(arch::CallTable& table) {
  const std::array<std::int64_t, 2> second = {1, 0};  // struct timespec
  const Argument time = table.add_data(std::as_bytes(std::span(second)));
  return Call{
      .number = SYS_ppoll, .args = {number(0), number(0), time, number(0)}, .any_result = true};
}

arch::CallTable make_end_table(pid_t pid, pid_t tid, std::uint64_t signal_mask,
                               bool waits_for_guard) {
  arch::CallTable table = one_call(Call{}, std::nullopt, pid, tid, signal_mask);
  table.calls.erase(table.calls.begin());
  if (waits_for_guard) {
    const Call wait = wait_for_guard(table);
    table.calls.insert(table.calls.begin() + 1, wait);
  }
  return table;
}

}  // namespace grab::tracer
