// SPDX-License-Identifier: MIT
#include "relay/socket_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>

namespace grab::relay {
namespace {

constexpr std::size_t kMaxNameLength = 64;
constexpr std::string_view kFolder = "grab";
constexpr int kBacklog = 64;             // askers that come at once; the relay accepts in its loop
constexpr int kConnectTimeoutMs = 2000;  // a relay that is stopped, with a full backlog
constexpr int kLockTimeoutMs = 2000;     // it is held for a few system calls
constexpr int kLockRetryMs = 5;
constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr mode_t kSocketMode = S_ISVTX | 0600;

bool is_letter_or_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_allowed(char c) {
  return is_letter_or_digit(c) || std::string_view("._+@%:-").find(c) != std::string_view::npos;
}

bool is_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Creates files with exactly the bits that are asked for, less these. Of the whole process, so
/// that another thread's new files are more private for that moment.
class UmaskGuard {
 public:
  explicit UmaskGuard(mode_t mask) : old_(::umask(mask)) {}
  ~UmaskGuard() { (void)::umask(old_); }
  UmaskGuard(const UmaskGuard&) = delete;
  UmaskGuard& operator=(const UmaskGuard&) = delete;
  UmaskGuard(UmaskGuard&&) = delete;
  UmaskGuard& operator=(UmaskGuard&&) = delete;

 private:
  mode_t old_;
};

/// While it lives, this thread uses files with the rights of `owner`, so that root working where a
/// user may swap every name can do no more there than that user, and what it makes is the user's.
/// Kernel: a file system uid that is not 0 takes CAP_DAC_OVERRIDE, CAP_CHOWN and their kin away
/// from the thread until it is 0 again. Source: capabilities(7), setfsuid(2).
class ActAs {
 public:
  explicit ActAs(uid_t owner) : active_(::geteuid() == 0 && owner != 0) {
    if (!active_)
      return;
    // The group first: without its capabilities the thread may not choose one. A user's files here
    // are for the user alone, so which of its groups is of no matter.
    old_gid_ = static_cast<gid_t>(::setfsgid(static_cast<gid_t>(owner)));
    (void)::setfsuid(owner);
  }
  ~ActAs() {
    if (!active_)
      return;
    (void)::setfsuid(0);
    (void)::setfsgid(old_gid_);
  }
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;
  ActAs(ActAs&&) = delete;
  ActAs& operator=(ActAs&&) = delete;

 private:
  bool active_;
  gid_t old_gid_ = 0;
};

std::string proc_path(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

/// Kernel: sun_path holds 107 bytes; a path that goes through /proc/self/fd is as short as its last
/// name, and leads to the directory that is open whatever became of its path.
/// Source: unix(7), proc(5).
sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  return address;
}

Result<UniqueFd> new_socket() {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid())
    return fail_errno(errno, "socket(AF_UNIX)");
  return fd;
}

/// Connects to the socket of that name in the directory, at most for `timeout_ms`.
/// Kernel: connect(2) follows a symbolic link, which could lead root to a socket that the
/// directory's owner may not reach. So the socket itself is opened with O_PATH, looked at, and
/// connected to. Source: open(2) O_PATH, proc(5).
Result<UniqueFd> connect_at(int directory, const std::string& name, uid_t owner, int timeout_ms) {
  const UniqueFd node(::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!node.valid())
    return fail_errno(errno, "opening the socket " + name);
  struct stat status {};
  if (::fstat(node.get(), &status) != 0)
    return fail_errno(errno, "fstat of the socket " + name);
  if (!S_ISSOCK(status.st_mode) || status.st_uid != owner)
    return fail(ErrorKind::kRefused, name + " is no socket of that user");
  GRAB_TRY(UniqueFd fd, new_socket());
  const timeval timeout{timeout_ms / 1000, (timeout_ms % 1000) * 1000L};
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) != 0)
    return fail_errno(errno, "setsockopt(SO_SNDTIMEO)");
  const sockaddr_un address = address_of(proc_path(node.get()));
  int n = 0;
  do {
    n = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } while (n != 0 && errno == EINTR);
  if (n != 0)
    return fail_errno(errno, "connecting to " + name);
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0)
    return fail_errno(errno, "fcntl(O_NONBLOCK)");
  return fd;
}

enum class Found { kNothing, kLive, kStale, kOther };

/// Stale is a socket on which nobody listens any more, not even in a program that was killed.
Found look_at(int directory, const std::string& name, uid_t owner) {
  constexpr int kTimeoutMs = 1;  // a full backlog is an answer too
  const auto connected = connect_at(directory, name, owner, kTimeoutMs);
  if (connected || connected.error().err == EAGAIN)
    return Found::kLive;
  if (connected.error().err == ECONNREFUSED)
    return Found::kStale;
  return connected.error().err == ENOENT ? Found::kNothing : Found::kOther;
}

/// A directory for sockets, and the one above it.
struct Base {
  std::string above, folder;
  [[nodiscard]] std::string path() const { return above + "/" + folder; }
};

/// $XDG_RUNTIME_DIR, where it is set, absolute (others are to be ignored, says its specification)
/// and there. Errors: it is another user's.
Result<bool> own_runtime_is_there(const Places& places, uid_t self) {
  if (!places.own_runtime.starts_with('/'))
    return false;
  struct stat status {};
  if (::stat(places.own_runtime.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
    return false;
  if (status.st_uid != self)
    return fail(ErrorKind::kRefused,
                "XDG_RUNTIME_DIR is " + places.own_runtime +
                    ", which belongs to another user (uid " + std::to_string(status.st_uid) + ")",
                "unset XDG_RUNTIME_DIR; sudo and su have kept it from the user who called them");
  return true;
}

bool is_directory_of(const std::string& path, uid_t owner) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == owner;
}

/// Where sockets of that user may be; the first is the place for new ones.
Result<std::vector<Base>> bases_of(const Places& places, uid_t owner) {
  const uid_t self = ::geteuid();
  if (owner != self && self != 0)
    return fail(ErrorKind::kPermission,
                "only root may use the relays of another user (uid " + std::to_string(owner) + ")");
  const std::string number = std::to_string(owner);
  const Base temporary{places.temporary, "grab-" + number};
  const Base login{places.run_user + "/" + number, std::string(kFolder)};
  const bool has_login = is_directory_of(login.above, owner);
  std::vector<Base> bases;
  if (owner == self) {
    GRAB_TRY(const bool there, own_runtime_is_there(places, self));
    if (there)
      bases.push_back({places.own_runtime, std::string(kFolder)});
  } else if (has_login) {
    bases.push_back(login);
  }
  bases.push_back(temporary);
  if (owner == self && has_login)
    bases.push_back(login);
  return bases;
}

/// Opens, and makes where wanted, with the owner's rights.
Result<UniqueFd> open_directory(const Base& base, uid_t owner, SocketDirectory::Make make) {
  const std::string path = base.path();
  const ActAs as_owner(owner);
  const UniqueFd above(::open(base.above.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!above.valid())
    return fail_errno(errno, "opening " + base.above);
  if (make == SocketDirectory::Make::kYes) {
    const UmaskGuard mask(0);
    if (::mkdirat(above.get(), base.folder.c_str(), 0700) != 0 && errno != EEXIST)
      return fail_errno(errno, "making the directory " + path);
  }
  struct stat status {};
  if (::fstatat(above.get(), base.folder.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    const int err = errno;
    if (err == ENOENT)
      return fail(ErrorKind::kGone, "there is no " + path);
    return fail_errno(err, "looking at " + path);
  }
  // By its name first, since what is not ours cannot always be opened; then what was opened.
  GRAB_CHECK(check_directory(status, owner, path));
  UniqueFd fd(::openat(above.get(), base.folder.c_str(), kDirectory));
  if (!fd.valid())
    return fail_errno(errno, "opening " + path);
  if (::fstat(fd.get(), &status) != 0)
    return fail_errno(errno, "fstat of " + path);
  GRAB_CHECK(check_directory(status, owner, path));
  return fd;
}

/// A second, independent open file of the directory that `fd` is.
UniqueFd open_again(int fd) {
  return UniqueFd(::openat(fd, ".", kDirectory));
}

std::vector<std::string> entries_of(UniqueFd directory) {
  std::vector<std::string> entries;
  const int number = directory.release();
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(number), ::closedir);
  if (!stream) {
    (void)::close(number);
    return entries;
  }
  while (const dirent* entry = ::readdir(stream.get()))  // of a stream of our own
    entries.emplace_back(entry->d_name);
  return entries;
}

std::optional<uid_t> number_of(std::string_view text) {
  uid_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && std::to_string(value) == text ? std::optional(value) : std::nullopt;
}

/// The users who have a folder named like this in that place. What is in it does not matter yet.
void add_users(const std::string& place, std::string_view prefix, std::vector<uid_t>& users) {
  for (const std::string& entry :
       entries_of(UniqueFd(::open(place.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)))) {
    if (!entry.starts_with(prefix))
      continue;
    if (const auto user = number_of(std::string_view(entry).substr(prefix.size())))
      users.push_back(*user);
  }
}

}  // namespace

// --- names ---

Status check_name(std::string_view name) {
  const auto refuse = [&](const char* why) {
    return fail(ErrorKind::kUsage, std::string("a name ") + why,
                "letters, digits and . _ + @ % : - make a name");
  };
  if (name.empty() || name.size() > kMaxNameLength)
    return refuse("has 1 to 64 characters");
  if (!std::all_of(name.begin(), name.end(), is_allowed))
    return refuse("has letters, digits and . _ + @ % : - only");
  if (name.front() == '.' || name.front() == '-')
    return refuse("does not begin with . or -");
  if (is_digits(name))
    return refuse("is not all digits, since that is a pid");
  return {};
}

std::string default_name(std::string_view program, pid_t pid) {
  const std::string suffix = "." + std::to_string(pid);
  std::string name;
  for (const char c : program) {
    const bool leads = name.empty() && (c == '.' || c == '-');
    if (is_allowed(c) && !leads && name.size() + suffix.size() < kMaxNameLength)
      name.push_back(c);
  }
  return (name.empty() ? "tree" : name) + suffix;
}

// --- the directory ---

Places Places::from_environment() {
  Places places;
  if (const char* const own = std::getenv("XDG_RUNTIME_DIR"); own != nullptr)
    places.own_runtime = own;
  return places;
}

Status check_directory(const struct stat& status, uid_t owner, const std::string& path) {
  const std::string elsewhere = "remove it, or set XDG_RUNTIME_DIR to a directory of yours";
  if (!S_ISDIR(status.st_mode))
    return fail(ErrorKind::kRefused, path + " is no directory", elsewhere);
  if (status.st_uid != owner)
    return fail(ErrorKind::kRefused,
                path + " belongs to another user (uid " + std::to_string(status.st_uid) + ")",
                elsewhere);
  if ((status.st_mode & 0077U) != 0)
    return fail(ErrorKind::kRefused, path + " is open to other users",
                "look at what is in it, then: chmod 700 " + path);
  return {};
}

Result<SocketDirectory> SocketDirectory::open(uid_t owner, Make make, const Places& places) {
  GRAB_TRY(const std::vector<Base> bases, bases_of(places, owner));
  GRAB_TRY(UniqueFd fd, open_directory(bases.front(), owner, make));
  return SocketDirectory(std::move(fd), bases.front().path(), owner, places);
}

Result<UniqueFd> SocketDirectory::lock() const {
  UniqueFd fd = open_again(fd_.get());
  if (!fd.valid())
    return fail_errno(errno, "opening " + path_);
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::milliseconds(kLockTimeoutMs);
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    const int err = errno;
    if (err != EWOULDBLOCK && err != EINTR)
      return fail_errno(err, "flock of " + path_);
    if (Clock::now() > deadline)
      return fail(ErrorKind::kTimeout, "another grab has locked " + path_);
    const timespec pause{0, kLockRetryMs * 1'000'000L};
    (void)::nanosleep(&pause, nullptr);
  }
  return fd;
}

Result<std::vector<std::string>> SocketDirectory::names() const {
  const ActAs as_owner(owner_);
  UniqueFd directory = open_again(fd_.get());
  if (!directory.valid())
    return fail_errno(errno, "opening " + path_);
  std::vector<std::string> names;
  for (std::string& name : entries_of(std::move(directory))) {
    if (!check_name(name))
      continue;
    const Found found = look_at(fd_.get(), name, owner_);
    if (found == Found::kLive) {
      names.push_back(std::move(name));
    } else if (found == Found::kStale) {
      // Between bind(2) and listen(2) a new socket looks stale too: so ask again with the lock
      // held, that listen() holds meanwhile.
      const auto locked = lock();
      if (locked && look_at(fd_.get(), name, owner_) == Found::kStale)
        (void)::unlinkat(fd_.get(), name.c_str(), 0);  // else it stays, and is no harm
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

SocketDirectory::Identity SocketDirectory::identity_of(const struct stat& status) {
  return {status.st_dev, status.st_ino,
          std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

Status SocketDirectory::make_again_if_deleted() {
  struct stat status {};
  if (::fstat(fd_.get(), &status) == 0 && status.st_nlink > 0)
    return {};
  GRAB_TRY(SocketDirectory again, open(owner_, Make::kYes, places_));
  fd_ = std::move(again.fd_);
  path_ = std::move(again.path_);
  return {};
}

Result<UniqueFd> SocketDirectory::listen(const std::string& name) {
  GRAB_CHECK(check_name(name));
  GRAB_CHECK(make_again_if_deleted());
  const ActAs as_owner(owner_);
  GRAB_TRY(const UniqueFd locked, lock());
  return listen_locked(name);
}

Result<UniqueFd> SocketDirectory::listen_locked(const std::string& name) {
  const Found found = look_at(fd_.get(), name, owner_);
  if (found == Found::kLive)
    return fail(ErrorKind::kRefused, "there is a relay named " + name + " already",
                "choose another name with --name, or: grab attach " + name);
  if (found == Found::kOther)
    return fail(ErrorKind::kRefused,
                path_ + "/" + name + " is in the way, and is no socket of grab",
                "remove it, or choose another name with --name");
  if (found == Found::kStale && ::unlinkat(fd_.get(), name.c_str(), 0) != 0)
    return fail_errno(errno, "removing the stale " + path_ + "/" + name);
  GRAB_TRY(UniqueFd fd, new_socket());
  const sockaddr_un address = address_of(proc_path(fd_.get()) + "/" + name);
  {
    const UmaskGuard mask(0177);  // bind(2) makes it with 0777 less these
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      return fail_errno(errno, "binding the socket " + path_ + "/" + name);
  }
  struct stat status {};
  // The sticky bit keeps cleaners of old files off: XDG Base Directory Specification,
  // systemd-tmpfiles. The directory is the owner's alone, so the name leads to what was just bound.
  if (::fchmodat(fd_.get(), name.c_str(), kSocketMode, 0) != 0 ||
      ::fstatat(fd_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno(errno, "setting the mode of " + path_ + "/" + name);
  if (::listen(fd.get(), kBacklog) != 0 || ::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0)
    return fail_errno(errno, "listening on " + path_ + "/" + name);
  made_[name] = identity_of(status);
  return fd;
}

bool SocketDirectory::is_there(const std::string& name) const {
  const auto made = made_.find(name);
  struct stat directory {
  }, status{};
  return made != made_.end() && ::fstat(fd_.get(), &directory) == 0 && directory.st_nlink > 0 &&
         ::fstatat(fd_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         identity_of(status) == made->second;
}

void SocketDirectory::remove(const std::string& name) {
  const ActAs as_owner(owner_);
  const auto locked = lock();  // without it, what is left is stale and is removed later
  if (locked && is_there(name))
    (void)::unlinkat(fd_.get(), name.c_str(), 0);
  made_.erase(name);
}

Result<UniqueFd> SocketDirectory::connect(const std::string& name) const {
  GRAB_CHECK(check_name(name));
  const ActAs as_owner(owner_);
  auto connected = connect_at(fd_.get(), name, owner_, kConnectTimeoutMs);
  if (!connected) {
    const int err = connected.error().err;
    if (err == ENOENT || err == ECONNREFUSED)
      return fail(ErrorKind::kGone, "there is no relay named " + name);
    if (err == EAGAIN)
      return fail(ErrorKind::kTimeout, "the relay named " + name + " does not answer");
    return connected;
  }
  GRAB_CHECK(check_peer(connected->get(), owner_));
  return connected;
}

Result<std::vector<SocketDirectory>> directories_to_search(const Places& places) {
  const uid_t self = ::geteuid();
  std::vector<uid_t> users;
  if (self == 0) {
    add_users(places.run_user, "", users);
    add_users(places.temporary, "grab-", users);
    std::sort(users.begin(), users.end());
    users.erase(std::unique(users.begin(), users.end()), users.end());
    std::erase(users, self);
  }
  users.insert(users.begin(), self);
  std::vector<SocketDirectory> found;
  for (const uid_t user : users) {
    GRAB_TRY(const std::vector<Base> bases, bases_of(places, user));
    for (std::size_t i = 0; i < bases.size(); ++i) {
      auto fd = open_directory(bases[i], user, SocketDirectory::Make::kNo);
      if (fd) {
        SocketDirectory directory(std::move(*fd), bases[i].path(), user, places);
        if (std::none_of(found.begin(), found.end(),
                         [&](const SocketDirectory& other) { return other.is_same(directory); }))
          found.push_back(std::move(directory));
      } else if (user == self && i == 0 && fd.error().kind != ErrorKind::kGone) {
        return tl::unexpected(fd.error());
      }
      // Others that fail the checks are no reason to show nothing: they are not ours to mend.
    }
  }
  return found;
}

bool SocketDirectory::is_same(const SocketDirectory& other) const {
  struct stat ours {
  }, theirs{};
  return ::fstat(fd_.get(), &ours) == 0 && ::fstat(other.fd_.get(), &theirs) == 0 &&
         ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

// --- peers ---

Result<Peer> peer_of(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return fail_errno(errno, "getsockopt(SO_PEERCRED)");
  return Peer{credentials.pid, credentials.uid, credentials.gid};
}

Status check_peer(int socket, uid_t owner) {
  GRAB_TRY(const Peer peer, peer_of(socket));
  if (peer.uid != owner && peer.uid != 0)
    return fail(ErrorKind::kRefused,
                "the other end of the connection belongs to another user (uid " +
                    std::to_string(peer.uid) + ")");
  return {};
}

}  // namespace grab::relay
