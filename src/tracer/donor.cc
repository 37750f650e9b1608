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
#include <cstring>
#include <ctime>
#include <string>

#include "base/fault.h"
#include "proc/pid_numbers.h"

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

/// A process that other users' processes may take descriptors from.
struct DonorSet::Holder {
  pid_t pid = 0;

  Holder() = default;
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  Holder(Holder&&) = delete;
  Holder& operator=(Holder&&) = delete;
  // It is the other user's, who can stop it, but not keep it from being killed.
  ~Holder() {
    if (pid > 0) {
      (void)kill(pid, SIGKILL);
      (void)waitpid(pid, nullptr, 0);
    }
  }

  /// Starts it with the descriptors `keep` and no others, and waits until it has its ids.
  Status start(unsigned uid, unsigned gid, const std::vector<int>& keep) {
    if (const int err = fault("fork", "donor", EAGAIN); err != 0)
      return fail_errno(err, "fork");
    const pid_t parent = getpid();
    pid = fork();
    if (pid < 0)
      return fail_errno(errno, "fork");
    if (pid == 0)
      hold(uid, gid, keep, parent);
    if (!is_ready()) {
      return fail(ErrorKind::kPermission, "cannot act as uid " + std::to_string(uid));
    }
    return {};
  }

 private:
  /// From setresuid on this process is the other user's, who may look into it and take what it has
  /// open: nothing of ours must be left in it by then. So it says by a stop that it is ready: who
  /// stands still can be taken from all the same.
  [[noreturn]] static void hold(unsigned uid, unsigned gid, const std::vector<int>& keep,
                                pid_t parent) {
    (void)prctl(PR_SET_NAME, "grab-donor");
    close_all_but(keep);
    wipe_environment();
    if (setgroups(0, nullptr) != 0 || setresgid(gid, gid, gid) != 0 ||
        setresuid(uid, uid, uid) != 0) {
      _exit(1);
    }
    allow_taking();
    // Kernel: a change of ids clears it. Source: PR_SET_PDEATHSIG(2const).
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
      _exit(1);
    for (;;)
      (void)raise(SIGSTOP);
  }

  [[nodiscard]] bool is_ready() const {
    constexpr int kLooks = 10'000;  // a second; it takes less than a millisecond
    constexpr timespec kMoment{0, 100'000};
    for (int i = 0; i < kLooks; ++i) {
      int status = 0;
      if (const pid_t stopped = waitpid(pid, &status, WUNTRACED | WNOHANG); stopped != 0)
        return stopped == pid && WIFSTOPPED(status);
      (void)nanosleep(&kMoment, nullptr);
    }
    return false;
  }

  static void close_all_but(std::vector<int> kept) {
    unsigned from = 0;
    std::sort(kept.begin(), kept.end());
    for (const int fd : kept) {
      if (const auto next = static_cast<unsigned>(fd); next > from)
        (void)close_range(from, next - 1, 0);
      from = static_cast<unsigned>(fd) + 1;
    }
    (void)close_range(from, ~0U, 0);
  }

  static void wipe_environment() {
    for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable)
      std::memset(*variable, 0, std::strlen(*variable));
  }
};

DonorSet::DonorSet(DonorSet&&) noexcept = default;
DonorSet& DonorSet::operator=(DonorSet&&) noexcept = default;
DonorSet::~DonorSet() = default;

Result<DonorSet> DonorSet::open(int ptmx, const proc::Snapshot& snapshot, int old_terminal_fd,
                                int left_terminal_fd) {
  DonorSet set;
  set.old_terminal_fd_ = old_terminal_fd;
  set.left_terminal_fd_ = left_terminal_fd;
  set.left_terminal_ = snapshot.left_terminal.device;
  set.self_ = snapshot.self;
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

// Kernel: O_ASYNC, the owner that gets its signal and which signal that is belong to the open file
// -> they can be set here, in no process of the tree. With another signal than SIGIO (F_SETSIG),
// si_fd is then our number (not tried). Source: fcntl(2) F_SETOWN_EX, fs/fcntl.c; seen.
void DonorSet::carry_signal(std::size_t index, int old_fd) {
  const int flags = fcntl(old_fd, F_GETFL);
  f_owner_ex owner{};
  if (flags < 0 || fcntl(old_fd, F_GETOWN_EX, &owner) != 0 || owner.pid == 0)
    return;
  const int new_fd = descriptions_.at(index).get();
  (void)fcntl(new_fd, F_SETOWN_EX, &owner);
  (void)fcntl(new_fd, F_SETSIG, fcntl(old_fd, F_GETSIG));
  if ((flags & O_ASYNC) != 0)
    (void)fcntl(new_fd, F_SETFL, fcntl(new_fd, F_GETFL) | O_ASYNC);
}

Result<Donor> DonorSet::for_process(const proc::Process& process) {
  Donor donor;
  donor.pid = getpid();
  donor.new_terminal_fd = terminal_.get();
  const bool was_left = left_terminal_ != 0 && process.stat.tty == left_terminal_;
  donor.old_terminal_fd = was_left ? left_terminal_fd_ : old_terminal_fd_;
  for (const UniqueFd& fd : descriptions_)
    donor.new_fds.push_back(fd.get());
  donor.sends = !proc::may_take(process, self_);
  if (donor.sends)
    return donor;
  const proc::Ids& uid = process.status.uid;
  const proc::Ids& gid = process.status.gid;
  // A process that runs as root may take from anybody; ours may be taken from by those with our
  // ids.
  if (uid.effective == 0 || (uid.real == geteuid() && gid.real == getegid()))
    return donor;
  auto& holder = holders_[{uid.real, gid.real}];
  if (!holder) {
    holder = std::make_unique<Holder>();
    std::vector<int> keep = donor.new_fds;
    keep.insert(keep.end(), {donor.new_terminal_fd, old_terminal_fd_, left_terminal_fd_});
    std::erase(keep, -1);
    GRAB_CHECK(holder->start(uid.real, gid.real, keep));
  }
  donor.pid = holder->pid;
  return donor;
}

}  // namespace grab::tracer
