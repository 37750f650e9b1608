// SPDX-License-Identifier: MIT
// For tests of the socket directory: places of their own, made up as a login or an attacker leaves
// them, and processes that do something and say whether it went well.
#pragma once

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "relay/socket_directory.h"

namespace grab::relay {

namespace fs = std::filesystem;
using Make = SocketDirectory::Make;

inline constexpr uid_t kUser = 48'001, kOther = 48'002;  // of nobody

inline struct stat status_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status;
}
inline mode_t mode_of(const std::string& path) {
  return status_of(path).st_mode & 07777U;
}

/// Runs `body` in a process of its own, and says whether it ended well and returned true.
inline pid_t start(const std::function<bool()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0)
    ::_exit(body() ? 0 : 1);
  return pid;
}
inline bool ended_well(pid_t pid) {
  int status = -1;
  return ::waitpid(pid, &status, 0) == pid && status == 0;
}
inline bool in_child(const std::function<bool()>& body) {
  return ended_well(start(body));
}
inline bool become(uid_t user) {
  return ::setgroups(0, nullptr) == 0 && ::setresgid(user, user, user) == 0 &&
         ::setresuid(user, user, user) == 0;
}

class Umask {
 public:
  explicit Umask(mode_t mask) : old_(::umask(mask)) {}
  ~Umask() { ::umask(old_); }
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;

 private:
  mode_t old_;
};

class SocketDirectoryTest : public testing::Test {
 protected:
  SocketDirectoryTest() {
    std::string path = fs::temp_directory_path() / "grab-sockets.XXXXXX";
    home_ = ::mkdtemp(path.data());
    places_ = {home_ / "own", home_ / "run", home_ / "tmp"};
    for (const std::string* place : {&places_.own_runtime, &places_.run_user, &places_.temporary})
      fs::create_directory(*place);
    for (const std::string& path_of_all : {home_.string(), places_.run_user})
      ::chmod(path_of_all.c_str(), 0755);
    ::chmod(places_.temporary.c_str(), 01777);
    ::chmod(places_.own_runtime.c_str(), 0700);
  }
  ~SocketDirectoryTest() override { fs::remove_all(home_); }

  [[nodiscard]] Result<SocketDirectory> open(Make make = Make::kYes) const {
    return SocketDirectory::open(::geteuid(), make, places_);
  }
  [[nodiscard]] SocketDirectory must_open() const { return std::move(*open()); }
  [[nodiscard]] std::string own() const { return places_.own_runtime + "/grab"; }
  [[nodiscard]] std::string in_tmp(uid_t user = ::geteuid()) const {
    return places_.temporary + "/grab-" + std::to_string(user);
  }
  /// run/UID, as a login makes it.
  [[nodiscard]] std::string log_in(uid_t user) const {
    const std::string path = places_.run_user + "/" + std::to_string(user);
    fs::create_directory(path);
    ::chmod(path.c_str(), 0700);
    EXPECT_EQ(::chown(path.c_str(), user, user), 0);
    return path;
  }
  void expect_refused(const std::string& what) const {
    const auto directory = open();
    ASSERT_FALSE(directory);
    EXPECT_EQ(directory.error().kind, ErrorKind::kRefused);
    EXPECT_THAT(directory.error().what, testing::HasSubstr(what));
    EXPECT_NE(directory.error().hint, "");
  }
  /// A socket on which nobody listens any more.
  static void make_stale(const std::string& path) {
    const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ASSERT_LT(path.size(), sizeof address.sun_path);
    std::memcpy(address.sun_path, path.data(), path.size());
    ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }

  fs::path home_;
  Places places_;
};

}  // namespace grab::relay
