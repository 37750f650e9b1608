// SPDX-License-Identifier: MIT
// What root does in the directories of other users, who are held to be hostile.
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "relay/socket_directory.h"
#include "relay/socket_directory_fixture.h"

namespace grab::relay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class AsRoot : public SocketDirectoryTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0)
      GTEST_SKIP() << "only root can act for another user";
  }
};

TEST_F(AsRoot, MakesADirectoryAndSocketsThatAreTheUsers) {
  const std::string runtime = log_in(kUser);
  for (const std::string& path : {runtime + "/grab", in_tmp(kUser)}) {
    auto directory = SocketDirectory::open(kUser, Make::kYes, places_);
    ASSERT_TRUE(directory) << directory.error().message();
    EXPECT_EQ(directory->path(), path);
    EXPECT_EQ(status_of(path).st_uid, kUser);
    EXPECT_EQ(mode_of(path), 0700U);
    const auto listening = directory->listen("x");
    ASSERT_TRUE(listening) << listening.error().message();
    EXPECT_EQ(status_of(path + "/x").st_uid, kUser);
    Places users = places_;
    users.own_runtime = path == in_tmp(kUser) ? "" : runtime;
    EXPECT_TRUE(in_child([&] {
      if (!become(kUser))
        return false;
      auto own = SocketDirectory::open(kUser, Make::kNo, users);
      return own && own->connect("x") && own->listen("y") && own->names()->size() == 2;
    }));
    EXPECT_TRUE(directory->is_there("x"));
    directory->remove("x");
    EXPECT_EQ(::setfsuid(static_cast<uid_t>(-1)), 0) << "root has its own rights again";
    fs::remove_all(runtime);  // then there is only /tmp
  }
}

TEST_F(AsRoot, GoesOnWithItsSocketsWhenItHasBecomeTheUser) {
  auto directory = SocketDirectory::open(kUser, Make::kYes, places_);
  ASSERT_TRUE(directory);
  EXPECT_TRUE(in_child([&] {
    if (!become(kUser))
      return false;
    const auto listening = directory->listen("x");
    const auto connected = directory->connect("x");
    const bool well = listening && connected && peer_of(connected->get())->uid == kUser;
    directory->remove("x");
    return well && directory->names()->empty();
  }));
}

TEST_F(AsRoot, GivesTheUserNothingThatWasNotTheUsers) {
  const auto refused = [&](const char* what) {
    const auto directory = SocketDirectory::open(kUser, Make::kYes, places_);
    EXPECT_EQ(directory.error().kind, ErrorKind::kRefused);
    EXPECT_THAT(directory.error().what, HasSubstr(what));
  };
  const std::string secret = home_ / "secret";
  fs::create_directory(secret);
  ::chmod(secret.c_str(), 0700);
  const std::string runtime = log_in(kUser);
  for (const std::string& path : {runtime + "/grab", in_tmp(kUser)}) {
    fs::create_symlink(secret, path);  // to a folder of root
    refused("is no directory");
    fs::remove(path);
    fs::create_directory(path);  // root's own, which the user has moved to that name
    ::chmod(path.c_str(), 0700);
    refused("belongs to another user");
    EXPECT_EQ(::chown(path.c_str(), kOther, kOther), 0);
    refused("belongs to another user");
    EXPECT_EQ(status_of(path).st_uid, kOther);
    fs::remove(path);
    if (path != in_tmp(kUser))
      fs::remove_all(runtime);
  }
  EXPECT_EQ(status_of(secret).st_uid, 0U);
  EXPECT_TRUE(fs::is_empty(secret));
}

TEST_F(AsRoot, TrustsNoFolderInRunUserThatIsNotOfThatUser) {
  const std::string runtime = log_in(kUser);
  ASSERT_EQ(::chown(runtime.c_str(), kOther, kOther), 0);
  EXPECT_EQ(SocketDirectory::open(kUser, Make::kYes, places_)->path(), in_tmp(kUser));
  fs::remove(runtime);
  fs::create_symlink(home_ / "elsewhere", runtime);
  EXPECT_EQ(SocketDirectory::open(kUser, Make::kYes, places_)->path(), in_tmp(kUser));
}

TEST_F(AsRoot, ConnectsToNothingThatIsNotTheUsers) {
  auto directory = SocketDirectory::open(kUser, Make::kYes, places_);
  ASSERT_TRUE(directory);
  SocketDirectory roots = must_open();
  const auto listening = roots.listen("service");
  fs::create_symlink(own() + "/service", in_tmp(kUser) + "/link");
  EXPECT_EQ(directory->connect("link").error().kind, ErrorKind::kRefused);
  fs::create_hard_link(own() + "/service", in_tmp(kUser) + "/hard");
  EXPECT_EQ(directory->connect("hard").error().kind, ErrorKind::kRefused);
  EXPECT_THAT(directory->names().value(), IsEmpty());
}

TEST_F(AsRoot, TellsWhoIsAtTheOtherEnd) {
  EXPECT_TRUE(in_child([] {
    if (!become(kUser))
      return false;
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
      return false;
    const auto refused = check_peer(fds[0], kOther);
    return peer_of(fds[0])->uid == kUser && check_peer(fds[0], kUser) && !refused &&
           refused.error().kind == ErrorKind::kRefused;
  }));
}

TEST_F(AsRoot, FindsTheRelaysOfAllUsersWhoseDirectoriesAreTheirs) {
  (void)must_open();
  const std::string runtime = log_in(kUser);
  ASSERT_TRUE(SocketDirectory::open(kUser, Make::kYes, places_));
  ASSERT_TRUE(SocketDirectory::open(kOther, Make::kYes, places_));
  // Hostile or broken: another's, a link, open to all, names that are no number.
  fs::create_directory(in_tmp(48'003));
  fs::create_symlink(in_tmp(kOther), in_tmp(48'004));
  fs::create_directory(in_tmp(48'005));
  ASSERT_EQ(::chown(in_tmp(48'005).c_str(), 48'005, 48'005), 0);
  for (const char* name : {"/grab-", "/grab-x", "/grab-048001", "/grab-99999999999", "/grab--1"})
    fs::create_directory(places_.temporary + name);
  std::vector<std::string> paths;
  const auto found = directories_to_search(places_);
  for (const SocketDirectory& directory : *found)
    paths.push_back(directory.path());
  EXPECT_THAT(paths, ElementsAre(own(), runtime + "/grab", in_tmp(kOther)));
}

}  // namespace
}  // namespace grab::relay
