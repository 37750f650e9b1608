// SPDX-License-Identifier: MIT
// The system calls that reading /proc needs and the C library does not wrap, and reading whole
// files and directories. All report an errno value; 0 is success.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"

namespace grab::proc {

/// openat(2) with O_CLOEXEC. Invalid with *err set where it fails.
[[nodiscard]] UniqueFd open_at(int dir_fd, const char* path, int flags, int* err);

/// All that the file gives from its start on, into `out`. Returns an errno value.
[[nodiscard]] int read_whole(int fd, std::string& out);

/// Opens, reads and closes. Returns an errno value.
[[nodiscard]] int read_whole_at(int dir_fd, const char* path, std::string& out);

/// The names in a directory that are numbers, ascending. Returns an errno value.
[[nodiscard]] int list_numbers(int directory_fd, std::vector<int>& out);

/// A descriptor for a process; `thread` asks for a thread that is not the main one (Linux 6.9).
/// Source: pidfd_open(2).
[[nodiscard]] UniqueFd open_pidfd(pid_t pid, bool thread, int* err);

/// Our own copy, close-on-exec, of descriptor `fd` of the process. Needs PTRACE_MODE_ATTACH.
/// Source: pidfd_getfd(2), Linux >= 5.6.
[[nodiscard]] UniqueFd copy_of(int pidfd, int fd, int* err);

/// What stat(2) tells of the file behind a name in /proc/PID/fd, or of /proc/PID/exe, as far as the
/// kernel knows: no server of a file system is asked. Returns an errno value.
[[nodiscard]] int describe_at(int dir_fd, const char* name, struct stat& st);

/// How the open file descriptions of ours (`self` is getpid(2)) and of descriptor `fd` of `pid` are
/// to each other.
enum class Order { kSame, kBefore, kAfter, kUnknown };
/// Source: kcmp(2) KCMP_FILE: a total order that does not change while both are open.
[[nodiscard]] Order compare_descriptions(pid_t self, int our_fd, pid_t pid, int fd);

/// Whether two tasks share one table of descriptors; an error where the kernel does not say.
/// Source: kcmp(2) KCMP_FILES.
[[nodiscard]] Result<bool> same_fd_table(pid_t a, pid_t b);

/// Whether two tasks share one address space. False where the kernel does not say. Source: kcmp(2)
/// KCMP_VM.
[[nodiscard]] bool same_address_space(pid_t a, pid_t b);

/// Whether what epoll set `epoll_fd` of `pid` watches as its `nth` entry with the number
/// `target_fd` is the description of our `our_fd`; kUnknown where the kernel does not say.
/// Source: kcmp(2) KCMP_EPOLL_TFD.
[[nodiscard]] Order compare_epoll_target(int our_fd, pid_t pid, int epoll_fd, int target_fd,
                                         unsigned nth);

/// Whether the process may hold a lock of the kind that goes with any descriptor of its file that
/// is closed. True where that cannot be told. Source: fcntl(2) F_SETLK, proc_locks(5).
[[nodiscard]] bool may_hold_record_lock(pid_t pid);

/// Whether the process that the pidfd stands for has been reaped.
[[nodiscard]] bool is_reaped(int pidfd);

}  // namespace grab::proc
