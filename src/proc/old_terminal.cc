// SPDX-License-Identifier: MIT
#include "proc/old_terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

#include "proc/kernel.h"
#include "proc/parse.h"

namespace grab::proc {
namespace {

// Source: Documentation/admin-guide/devices.txt of Linux.
constexpr unsigned kTtyMajor = 4;
constexpr unsigned kFirstSerialMinor = 64;
constexpr unsigned kAuxMajor = 5;
constexpr unsigned kConsoleMinor = 1;
constexpr unsigned kFirstPtsMajor = 136;
constexpr unsigned kLastPtsMajor = 143;
constexpr unsigned kPtsPerMajor = 256;

bool is_pts(dev_t device) {
  return major(device) >= kFirstPtsMajor && major(device) <= kLastPtsMajor;
}

constexpr dev_t kNoDevice = 0;

}  // namespace

dev_t terminal_of(int fd) {
  // Kernel: TIOCGDEV gives the terminal's device number, also for a descriptor of /dev/tty, which
  // fstat(2) shows as 5:0. For a ptmx it gives the number of its pts; only a ptmx answers TIOCGPTN.
  // Source: drivers/tty/tty_io.c tty_ioctl(), drivers/tty/pty.c, seen.
  std::uint32_t encoded = 0;
  if (::ioctl(fd, TIOCGDEV, &encoded) != 0)
    return kNoDevice;
  unsigned pts_number = 0;
  return ::ioctl(fd, TIOCGPTN, &pts_number) == 0 ? kNoDevice : decode_device(encoded);
}

std::string terminal_path(dev_t device) {
  const unsigned major_number = major(device);
  const unsigned minor_number = minor(device);
  if (is_pts(device))
    return "/dev/pts/" +
           std::to_string((major_number - kFirstPtsMajor) * kPtsPerMajor + minor_number);
  if (major_number == kTtyMajor && minor_number < kFirstSerialMinor)
    return "/dev/tty" + std::to_string(minor_number);
  if (major_number == kTtyMajor)
    return "/dev/ttyS" + std::to_string(minor_number - kFirstSerialMinor);
  if (major_number == kAuxMajor && minor_number == kConsoleMinor)
    return "/dev/console";
  return {};
}

Result<void> OldTerminal::identify(ProcessFiles& named, const Stat& stat, bool force_stdio) {
  device_ = stat.tty;
  session_ = device_ != kNoDevice ? stat.sid : 0;
  Result<UsableFd> pidfd = named.speaker_pidfd();
  if (!pidfd && pidfd.error().kind == ErrorKind::kGone)
    return tl::unexpected(pidfd.error());
  if (!pidfd)
    return {};
  const Result<UsableFd> directory = named.fd_directory();
  if (!directory && directory.error().kind == ErrorKind::kGone)
    return tl::unexpected(directory.error());
  if (!directory)
    return {};
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    struct stat st {};
    int err = describe_at(directory->get(), std::to_string(fd).c_str(), st);
    if (err != 0 || (!force_stdio && !S_ISCHR(st.st_mode)))
      continue;
    UniqueFd copy = copy_of(pidfd->get(), fd, &err);
    if (err == ENOSYS)
      return fail(ErrorKind::kUnsupported, "this kernel has no pidfd_getfd(2)",
                  "Linux 5.6 or newer is needed");
    if (!copy.valid())
      continue;
    if (device_ == kNoDevice)
      device_ = terminal_of(copy.get());
    learn(copy.get(), st);
    const bool is_path = (::fcntl(copy.get(), F_GETFL) & O_PATH) != 0;
    if (force_stdio && !is_path)
      forced_.push_back({std::move(copy), st});
  }
  return {};
}

bool OldTerminal::is_terminal(int copy, const struct stat& st) const {
  if (device_ == kNoDevice || !S_ISCHR(st.st_mode) || terminal_of(copy) != device_)
    return false;
  // Kernel: each devpts instance counts its terminals from 0, so a pts of another instance can have
  // the same number; the file system tells them apart, save for a descriptor of /dev/tty, where
  // only the number is known. Source: devpts(5).
  const bool direct = st.st_rdev == device_;
  return !direct || !is_pts(device_) || instance_.value_or(st.st_dev) == st.st_dev;
}

void OldTerminal::learn(int copy, const struct stat& st) {
  const bool direct = st.st_rdev == device_;
  if ((copy_.valid() && (copy_is_direct_ || !direct)) || !is_terminal(copy, st))
    return;
  copy_ = UniqueFd(::fcntl(copy, F_DUPFD_CLOEXEC, 0));
  copy_is_direct_ = direct;
  if (direct)
    instance_ = st.st_dev;
  if (!direct || !terminal_path(device_).empty())
    return;
  std::array<char, 4096> link{};
  const std::string self = "/proc/self/fd/" + std::to_string(copy);
  const ssize_t length = ::readlink(self.c_str(), link.data(), link.size());
  path_.assign(link.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
}

bool OldTerminal::may_be(const struct stat& st) const {
  return S_ISCHR(st.st_mode) ||
         std::any_of(forced_.begin(), forced_.end(),
                     [&](const Forced& forced) { return forced.is_file(st); });
}

bool OldTerminal::is_moved(int copy, const struct stat& st, const Stat& of) const {
  for (const Forced& forced : forced_) {
    if (forced.is_file(st) &&
        compare_descriptions(::getpid(), forced.copy.get(), ::getpid(), copy) == Order::kSame)
      return true;
  }
  // Kernel: a terminal controls one session -> the controlling terminal of another one, of the same
  // number, is of another devpts, and so is what it has opened as /dev/tty. Source: tty_ioctl(4).
  const bool has_another = session_ != 0 && of.tty == device_ && of.sid != session_;
  return is_terminal(copy, st) && (st.st_rdev == device_ || !has_another);
}

std::string OldTerminal::name() const {
  if (device_ == kNoDevice)
    return {};
  if (std::string path = terminal_path(device_); !path.empty())
    return path;
  if (path_.starts_with("/dev/"))
    return path_;
  return "tty " + std::to_string(major(device_)) + ":" + std::to_string(minor(device_));
}

int OldTerminal::fd(ProcessFiles& named) {
  const std::string path = terminal_path(device_);
  if (copy_.valid() || device_ == kNoDevice || path.empty())
    return copy_.get();
  Result<UsableFd> directory = named.directory();
  struct stat owner {};
  if (!directory || ::fstat(directory->get(), &owner) != 0)
    return -1;
  // In a container there may be another devpts, and another terminal of that number.
  struct stat theirs {};
  struct stat ours {};
  if (::fstatat(directory->get(), "ns/mnt", &theirs, 0) != 0 ||
      ::stat("/proc/self/ns/mnt", &ours) != 0 || theirs.st_ino != ours.st_ino)
    return -1;
  // The process rules over what lies there: it may be a file that does something when it is opened,
  // or a terminal of the same number that is another user's. So it is looked at before it is
  // opened.
  int err = 0;
  const std::string through_root = "root" + path;
  const UniqueFd seen = open_at(directory->get(), through_root.c_str(), O_PATH, &err);
  struct stat st {};
  if (!seen.valid() || ::fstat(seen.get(), &st) != 0 || !S_ISCHR(st.st_mode) ||
      st.st_rdev != device_ || st.st_uid != owner.st_uid)
    return -1;
  const std::string itself = "/proc/self/fd/" + std::to_string(seen.get());
  copy_ = open_at(AT_FDCWD, itself.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK, &err);
  return copy_.get();
}

}  // namespace grab::proc
