// SPDX-License-Identifier: MIT
#include "proc/process_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "proc/kernel.h"

namespace grab::proc {
namespace {

// What the rest of the program, and calls that open for a moment, may need.
constexpr std::size_t kReserve = 64;

}  // namespace

FileBudget::FileBudget(std::size_t nofile) : nofile_(nofile) {}

bool FileBudget::has_room(Use use) const {
  const std::size_t room = nofile_ > kReserve ? nofile_ - kReserve : 0;
  const std::size_t kept = kept_.load(std::memory_order_relaxed);
  switch (use) {
    case Use::kQuick:
      return kept < room / 2;  // leaves room for the identities and the memory of as many more
    case Use::kIdentity:
      return kept < room / 4 * 3;
    case Use::kMemory:
      break;
  }
  return kept < room;
}

KeptFd& KeptFd::operator=(KeptFd&& other) noexcept {
  if (this != &other) {
    drop();
    fd_ = std::move(other.fd_);
    budget_ = std::exchange(other.budget_, nullptr);
  }
  return *this;
}

void KeptFd::drop() {
  if (fd_.valid() && budget_ != nullptr)
    budget_->remove();
  fd_.reset();
}

Error ProcessFiles::error(int err, const std::string& path) const {
  Error error = from_errno(err, "/proc/" + std::to_string(pid_) + "/" + path);
  // Kernel: a file of a process that has been reaped is ENOENT when its directory is looked up by
  // name, ESRCH when it is reached through a directory kept open. Source: proc(5), seen.
  if (err == ENOENT)
    error.kind = ErrorKind::kGone;
  return error;
}

Result<UsableFd> ProcessFiles::pidfd() {
  if (pidfd_.valid())
    return UsableFd(pidfd_.get());
  int err = 0;
  UniqueFd fd = open_pidfd(pid_, /*thread=*/false, &err);
  if (!fd.valid())
    return fail_errno(err, "pidfd_open of " + std::to_string(pid_));
  if (!budget_->has_room(FileBudget::Use::kIdentity))
    return UsableFd(std::move(fd));
  pidfd_ = KeptFd(std::move(fd), *budget_);
  return UsableFd(pidfd_.get());
}

Result<UsableFd> ProcessFiles::speaker_pidfd() {
  if (speaker() == pid_)
    return pidfd();
  int err = 0;
  UniqueFd fd = open_pidfd(speaker(), /*thread=*/true, &err);
  // Kernel: a thread that does not lead its process has a pidfd since Linux 6.9 (PIDFD_THREAD).
  // Source: pidfd_open(2).
  if (err == EINVAL) {
    return fail(ErrorKind::kUnsupported,
                "the main thread of " + std::to_string(pid_) +
                    " has ended, and before Linux 6.9 no other can be asked for descriptors");
  }
  if (!fd.valid())
    return fail_errno(err, "pidfd_open of thread " + std::to_string(speaker()));
  return UsableFd(std::move(fd));
}

void ProcessFiles::set_speaker(pid_t tid) {
  if (tid == speaker())
    return;
  speaker_ = tid;
  status_.drop();
  fds_.drop();
  mem_.drop();
}

Result<UsableFd> ProcessFiles::directory() {
  if (directory_.valid())
    return UsableFd(directory_.get());
  int err = 0;
  const std::string path = "/proc/" + std::to_string(pid_);
  UniqueFd fd = open_at(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY, &err);
  if (!fd.valid())
    return tl::unexpected(error(err, ""));
  if (!budget_->has_room(FileBudget::Use::kIdentity))
    return UsableFd(std::move(fd));
  directory_ = KeptFd(std::move(fd), *budget_);
  return UsableFd(directory_.get());
}

Result<UsableFd> ProcessFiles::use(KeptFd& kept, FileBudget::Use use, const std::string& path,
                                   int flags) {
  if (kept.valid())
    return UsableFd(kept.get());
  GRAB_TRY(const UsableFd dir, directory());
  int err = 0;
  UniqueFd fd = open_at(dir.get(), path.c_str(), flags, &err);
  if (!fd.valid())
    return tl::unexpected(error(err, path));
  if (!budget_->has_room(use))
    return UsableFd(std::move(fd));
  kept = KeptFd(std::move(fd), *budget_);
  return UsableFd(kept.get());
}

std::string ProcessFiles::path_of(const char* name) const {
  return speaker() == pid_ ? name : "task/" + std::to_string(speaker()) + "/" + name;
}

Result<void> ProcessFiles::read(const char* name, std::string& out) {
  GRAB_TRY(const UsableFd dir, directory());
  if (const int err = read_whole_at(dir.get(), name, out); err != 0)
    return tl::unexpected(error(err, name));
  return {};
}

Result<void> ProcessFiles::read_status(std::string& out) {
  const std::string path = path_of("status");
  GRAB_TRY(const UsableFd file, use(status_, FileBudget::Use::kQuick, path, O_RDONLY));
  if (const int err = read_whole(file.get(), out); err != 0)
    return tl::unexpected(error(err, path));
  return {};
}

Result<void> ProcessFiles::read_children(pid_t tid, std::string& out) {
  auto it = std::find_if(threads_.begin(), threads_.end(),
                         [tid](const ThreadFile& thread) { return thread.tid == tid; });
  if (it == threads_.end())
    it = threads_.insert(it, ThreadFile{tid, {}});
  const std::string path = it->children.valid() ? "" : "task/" + std::to_string(tid) + "/children";
  GRAB_TRY(const UsableFd file, use(it->children, FileBudget::Use::kQuick, path, O_RDONLY));
  if (const int err = read_whole(file.get(), out); err != 0)
    return tl::unexpected(error(err, path));
  return {};
}

Result<std::vector<pid_t>> ProcessFiles::list_threads() {
  GRAB_TRY(const UsableFd task,
           use(task_, FileBudget::Use::kQuick, "task", O_RDONLY | O_DIRECTORY));
  std::vector<int> tids;
  if (const int err = list_numbers(task.get(), tids); err != 0)
    return tl::unexpected(error(err, "task"));
  return tids;
}

Result<std::size_t> ProcessFiles::count_threads() {
  GRAB_TRY(const UsableFd task,
           use(task_, FileBudget::Use::kQuick, "task", O_RDONLY | O_DIRECTORY));
  struct stat st {};
  if (::fstat(task.get(), &st) != 0)
    return tl::unexpected(error(errno, "task"));
  // Kernel: the link count of /proc/PID/task is 2 and one for each thread, so a thread more or less
  // is seen without reading the directory. Source: fs/proc/base.c proc_task_getattr(), seen.
  constexpr nlink_t kDirectoryLinks = 2;
  return st.st_nlink > kDirectoryLinks ? st.st_nlink - kDirectoryLinks : 0;
}

Result<UsableFd> ProcessFiles::fd_directory() {
  return use(fds_, FileBudget::Use::kQuick, fds_.valid() ? "" : path_of("fd"),
             O_RDONLY | O_DIRECTORY);
}

Result<std::vector<int>> ProcessFiles::list_fds() {
  GRAB_TRY(const UsableFd fds, fd_directory());
  std::vector<int> numbers;
  if (const int err = list_numbers(fds.get(), numbers); err != 0)
    return tl::unexpected(error(err, "fd"));
  return numbers;
}

Result<std::size_t> ProcessFiles::count_fds() {
  GRAB_TRY(const UsableFd fds, fd_directory());
  struct stat st {};
  if (::fstat(fds.get(), &st) != 0)
    return tl::unexpected(error(errno, "fd"));
  // Kernel: since Linux 6.2 the size of /proc/PID/fd is the number of open descriptors; before, it
  // is 0. Source: proc_pid_fd(5), fs/proc/fd.c proc_fd_getattr().
  return static_cast<std::size_t>(st.st_size);
}

Result<int> ProcessFiles::memory() {
  if (mem_.valid())
    return mem_.get();
  if (!budget_->has_room(FileBudget::Use::kMemory))
    return tl::unexpected(error(EMFILE, "mem"));
  GRAB_TRY(const UsableFd fd, use(mem_, FileBudget::Use::kMemory, path_of("mem"), O_RDWR));
  return fd.get();
}

bool ProcessFiles::memory_is_stale() const {
  // Kernel: /proc/PID/mem keeps the address space that the process had at open(2). When that has
  // gone, after execve(2), a read gives 0 bytes; while it lives, a read gives a byte, or EIO where
  // nothing is mapped. Source: proc_pid_mem(5), fs/proc/base.c mem_rw(), seen.
  constexpr off_t kAnywhere = 0x1000;
  char byte = 0;
  return !mem_.valid() || ::pread(mem_.get(), &byte, 1, kAnywhere) == 0;
}

void ProcessFiles::keep_threads(const std::vector<pid_t>& tids) {
  std::erase_if(threads_, [&tids](const ThreadFile& thread) {
    return std::find(tids.begin(), tids.end(), thread.tid) == tids.end();
  });
}

void ProcessFiles::drop_quick() {
  status_.drop();
  task_.drop();
  fds_.drop();
  threads_.clear();
}

}  // namespace grab::proc
