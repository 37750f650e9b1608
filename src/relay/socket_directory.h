// SPDX-License-Identifier: MIT
// Where the sockets of a user's relays are, and who may have put them there. Everything is done
// through a descriptor of the directory that was checked, so that no name in it, and no change of
// the path to it, leads elsewhere. Who owns entries in /tmp, or another user's directory that root
// looks into, is held to be hostile.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"

namespace grab::relay {

/// A name that a tree may have: 1 to 64 of A-Z a-z 0-9 . _ + @ % : -, not beginning with '.' or
/// '-', not all digits (that is a pid). Errors: kUsage, a sentence.
[[nodiscard]] Status check_name(std::string_view name);
/// "make.4711": what is allowed of the program's name, and the pid. Always passes check_name().
[[nodiscard]] std::string default_name(std::string_view program, pid_t pid);

/// Where directories of sockets may be: from the environment, or a test's own.
struct Places {
  std::string own_runtime;             ///< $XDG_RUNTIME_DIR; empty: not set
  std::string run_user = "/run/user";  ///< has a folder for each user who is logged in
  std::string temporary = "/tmp";
  [[nodiscard]] static Places from_environment();
};

class SocketDirectory {
 public:
  enum class Make { kNo, kYes };

  /// The directory of `owner`, who is us, or as root another user. Ours: $XDG_RUNTIME_DIR/grab
  /// where that is set and there, else /tmp/grab-UID. Another's: /run/user/UID/grab where
  /// /run/user/UID is there and that user's, else /tmp/grab-UID; everything is done with that
  /// user's rights. Checked: a directory and no symbolic link, of the owner, no group or other
  /// bits. kYes makes it, 0700, where it is not there. Errors: kRefused with a sentence and what to
  /// do (a foreign XDG_RUNTIME_DIR as sudo and su leave it, another owner, other bits); kGone when
  /// there is none and it is not to be made.
  [[nodiscard]] static Result<SocketDirectory> open(
      uid_t owner, Make make, const Places& places = Places::from_environment());

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] uid_t owner() const { return owner_; }
  /// Of the directory; borrowed. A forked process that goes on using this object keeps it open.
  [[nodiscard]] int fd() const { return fd_.get(); }

  /// Names of the sockets there that a relay listens on, sorted; stale ones are removed.
  [[nodiscard]] Result<std::vector<std::string>> names() const;

  /// A listening socket: 0600 and the sticky bit (which keeps tmpfiles cleaners off),
  /// close-on-exec, non-blocking. A stale socket of that name is replaced; a directory that was
  /// deleted is made again. Who connects is told the credentials that this process has now. Errors:
  /// kRefused when a relay of that name lives; kUsage for a name that check_name() refuses.
  [[nodiscard]] Result<UniqueFd> listen(const std::string& name);
  /// The socket that listen() made last under that name is still there. (Else listen() again.)
  [[nodiscard]] bool is_there(const std::string& name) const;
  /// Removes the socket that listen() made, and no other that has taken its name since.
  void remove(const std::string& name);

  /// A connected, close-on-exec, non-blocking socket to the relay of that name, which is of the
  /// directory's owner (or root's). Errors: kGone when there is none; kTimeout when it does not
  /// accept; kRefused when somebody else listens there.
  [[nodiscard]] Result<UniqueFd> connect(const std::string& name) const;

 private:
  /// What tells our socket from a later one of the same name.
  struct Identity {
    dev_t device = 0;
    ino_t inode = 0;
    std::int64_t made_ns = 0;
    friend bool operator==(const Identity&, const Identity&) = default;
  };

  friend Result<std::vector<SocketDirectory>> directories_to_search(const Places& places);

  SocketDirectory(UniqueFd fd, std::string path, uid_t owner, Places places)
      : fd_(std::move(fd)), path_(std::move(path)), owner_(owner), places_(std::move(places)) {}

  [[nodiscard]] Result<UniqueFd> lock() const;
  [[nodiscard]] Status make_again_if_deleted();
  [[nodiscard]] Result<UniqueFd> listen_locked(const std::string& name);
  [[nodiscard]] bool is_same(const SocketDirectory& other) const;
  [[nodiscard]] static Identity identity_of(const struct stat& status);

  UniqueFd fd_;
  std::string path_;
  uid_t owner_;
  Places places_;
  std::map<std::string, Identity> made_;
};

/// Where `grab attach NAME` is to look, in this order: our own directory as open() says, our own in
/// the other places; for root also those of all other users. Those that are not there are left out,
/// and so are others' that do not pass the checks. Nothing is made.
/// Errors: those of our own directory, but for kGone.
[[nodiscard]] Result<std::vector<SocketDirectory>> directories_to_search(
    const Places& places = Places::from_environment());

/// The checks on an opened directory, as values. Errors: kRefused, a sentence and what to do.
[[nodiscard]] Status check_directory(const struct stat& status, uid_t owner,
                                     const std::string& path);

/// Who is at the other end of a Unix socket (SO_PEERCRED): for who connected, who called listen(2).
struct Peer {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};
[[nodiscard]] Result<Peer> peer_of(int socket);
/// That it is `owner` or root. Errors: kRefused.
[[nodiscard]] Status check_peer(int socket, uid_t owner);

}  // namespace grab::relay
