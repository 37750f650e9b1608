// SPDX-License-Identifier: MIT
#include "tracer/donor.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string>

#include "base/fault.h"

namespace grab::tracer {
namespace {

/// Lets processes of the same user take descriptors from the caller.
// Kernel: pidfd_getfd(2) is allowed like tracing is: same ids, dumpable, and with Yama also named
// by PR_SET_PTRACER. Source: pidfd_getfd(2), ptrace(2) "Ptrace access mode checking".
void allow_taking() {
  (void)prctl(PR_SET_DUMPABLE, 1);
  (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
}

// Kernel: TIOCGPTPEER keeps every flag it is given with the open file, O_CLOEXEC too, and fdinfo
// would show that for each descriptor of the file for ever -> close-on-exec is set behind it.
// Source: drivers/tty/pty.c ptm_open_peer; seen.
Result<UniqueFd> open_pts(int ptmx, int flags) {
  if (const int err = fault("TIOCGPTPEER", flags, EMFILE); err != 0)
    return fail_errno(err, "opening the new pts (TIOCGPTPEER)");
  UniqueFd fd(ioctl(ptmx, TIOCGPTPEER, flags | O_NOCTTY));
  if (!fd.valid() || fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) {
    return fail_errno(errno, "opening the new pts (TIOCGPTPEER)");
  }
  return fd;
}

}  // namespace

struct DonorSet::Holder {
  pid_t pid = 0;
  UniqueFd leash;  ///< the holder ends when this is closed

  Holder() = default;
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  Holder(Holder&&) = delete;
  Holder& operator=(Holder&&) = delete;
  ~Holder() {
    leash.reset();
    if (pid > 0)
      (void)waitpid(pid, nullptr, 0);
  }

  /// Starts it and waits until it has its ids.
  Status start(unsigned uid, unsigned gid) {
    if (const int err = fault("fork", "donor", EAGAIN); err != 0)
      return fail_errno(err, "fork");
    int leash_ends[2];
    int ready_ends[2];
    if (pipe2(leash_ends, O_CLOEXEC) != 0)
      return fail_errno(errno, "pipe2");
    leash.reset(leash_ends[1]);
    UniqueFd held(leash_ends[0]);
    if (pipe2(ready_ends, O_CLOEXEC) != 0)
      return fail_errno(errno, "pipe2");
    UniqueFd ready(ready_ends[0]);
    UniqueFd tell(ready_ends[1]);
    pid = fork();
    if (pid < 0)
      return fail_errno(errno, "fork");
    if (pid == 0)
      hold(uid, gid, held.get(), tell.get(), leash.release());
    tell.reset();
    char byte = 0;
    if (read(ready.get(), &byte, 1) != 1) {
      return fail(ErrorKind::kPermission, "cannot act as uid " + std::to_string(uid));
    }
    return {};
  }

 private:
  [[noreturn]] static void hold(unsigned uid, unsigned gid, int held, int tell, int leash_end) {
    close(leash_end);
    if (setgroups(0, nullptr) != 0 || setresgid(gid, gid, gid) != 0 ||
        setresuid(uid, uid, uid) != 0) {
      _exit(1);
    }
    allow_taking();
    char byte = 0;
    if (write(tell, &byte, 1) != 1)
      _exit(1);
    while (read(held, &byte, 1) < 0 && errno == EINTR) {
    }
    _exit(0);
  }
};

DonorSet::DonorSet(DonorSet&&) noexcept = default;
DonorSet& DonorSet::operator=(DonorSet&&) noexcept = default;
DonorSet::~DonorSet() = default;

Result<DonorSet> DonorSet::open(int ptmx, const proc::Snapshot& snapshot, int old_terminal_fd) {
  DonorSet set;
  set.old_terminal_fd_ = old_terminal_fd;
  GRAB_TRY(set.terminal_, open_pts(ptmx, O_RDWR));
  for (const proc::Description& description : snapshot.descriptions) {
    constexpr int kLargeFile = 0100000;  // O_LARGEFILE, which is 0 for 64-bit programs but shown
    constexpr int kKept = O_ACCMODE | O_APPEND | O_NONBLOCK | kLargeFile;
    GRAB_TRY(UniqueFd fd, open_pts(ptmx, description.flags & kKept));
    set.descriptions_.push_back(std::move(fd));
  }
  // Kernel: a new pts belongs to who opened the ptmx -> a user's programs could not open theirs by
  // path when root grabs them. Source: pts(4), fs/devpts/inode.c devpts_pty_new.
  const proc::Process* named = snapshot.find(snapshot.named);
  if (named != nullptr && named->status.uid.real != geteuid()) {
    (void)fchown(set.terminal_.get(), named->status.uid.real, static_cast<gid_t>(-1));
  }
  allow_taking();
  return set;
}

Result<Donor> DonorSet::for_process(const proc::Process& process) {
  Donor donor;
  donor.pid = getpid();
  donor.new_terminal_fd = terminal_.get();
  donor.old_terminal_fd = old_terminal_fd_;
  for (const UniqueFd& fd : descriptions_)
    donor.new_fds.push_back(fd.get());
  const proc::Ids& uid = process.status.uid;
  const proc::Ids& gid = process.status.gid;
  // A process that runs as root may take from anybody; ours may be taken from by those with our
  // ids.
  if (uid.effective == 0 || (uid.real == geteuid() && gid.real == getegid()))
    return donor;
  auto& holder = holders_[{uid.real, gid.real}];
  if (!holder) {
    holder = std::make_unique<Holder>();
    GRAB_CHECK(holder->start(uid.real, gid.real));
  }
  donor.pid = holder->pid;
  return donor;
}

}  // namespace grab::tracer
