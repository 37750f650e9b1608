// SPDX-License-Identifier: MIT
#include "relay/socket_directory.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "relay/socket_directory_fixture.h"

namespace grab::relay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// --- names ---

TEST(SocketName, IsOfLettersDigitsAndAFewSigns) {
  for (const char* good : {"a", "make.4711", "Build_2", "x@host:1", "100%", "c++", "a-b"})
    EXPECT_TRUE(check_name(good)) << good;
  for (const char* bad :
       {"", ".", "..", ".x", "-x", "a/b", "a b", "a\n", "\x1B[m", "\xC3\xA4", "42"})
    EXPECT_EQ(check_name(bad).error().kind, ErrorKind::kUsage) << bad;
  EXPECT_TRUE(check_name(std::string(64, 'x')));
  EXPECT_FALSE(check_name(std::string(65, 'x')));
  EXPECT_FALSE(check_name(std::string("a\0b", 3)));
}

TEST(SocketName, IsMadeOfWhateverAProgramIsCalled) {
  EXPECT_EQ(default_name("make", 4711), "make.4711");
  EXPECT_EQ(default_name("-bash", 5), "bash.5");
  EXPECT_EQ(default_name("../../x y\x1B[31m", 5), "xy31m.5");
  EXPECT_EQ(default_name("\xC3\xA4", 5), "tree.5");
  EXPECT_EQ(default_name("", 5), "tree.5");
  for (const std::string& program : {std::string("7"), std::string(500, 'x'), std::string("...-")})
    EXPECT_TRUE(check_name(default_name(program, 4'194'304))) << program;
}

// --- where ---

TEST_F(SocketDirectoryTest, IsInTheRuntimeDirectoryAndOurs) {
  for (const mode_t mask : {0U, 022U, 0777U}) {
    const Umask guard(mask);
    const auto directory = open();
    ASSERT_TRUE(directory) << directory.error().message();
    EXPECT_EQ(directory->path(), own());
    EXPECT_EQ(mode_of(own()), 0700U);
    fs::remove(own());
  }
}

TEST_F(SocketDirectoryTest, IsInTmpWhereThereIsNoRuntimeDirectory) {
  std::ofstream(home_ / "file") << "x";
  for (const std::string& runtime :
       {std::string(), home_.string() + "/gone", std::string("relative"), home_.string() + "/file",
        home_.string() + "/file/below"}) {
    places_.own_runtime = runtime;
    const auto directory = open();
    ASSERT_TRUE(directory) << directory.error().message();
    EXPECT_EQ(directory->path(), in_tmp());
    EXPECT_EQ(mode_of(in_tmp()), 0700U);
    fs::remove(in_tmp());
  }
}

TEST_F(SocketDirectoryTest, IsNotMadeForWhoOnlyLooks) {
  const auto directory = open(Make::kNo);
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().kind, ErrorKind::kGone);
  EXPECT_FALSE(fs::exists(own()));
}

TEST_F(SocketDirectoryTest, RefusesTheRuntimeDirectoryOfAnotherUserAndSaysWhatToDo) {
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(places_.own_runtime.c_str(), kUser, kUser), 0);
  } else {
    places_.own_runtime = "/";
  }
  expect_refused("which belongs to another user");
  EXPECT_THAT(open().error().hint, HasSubstr("unset XDG_RUNTIME_DIR"));
  EXPECT_THAT(directories_to_search(places_).error().what, HasSubstr("another user"));
  EXPECT_FALSE(fs::exists(own()));
}

TEST_F(SocketDirectoryTest, IsOfNoOtherUser) {
  if (::geteuid() != 0) {
    const auto directory = SocketDirectory::open(kOther, Make::kYes, places_);
    EXPECT_EQ(directory.error().kind, ErrorKind::kPermission);
  } else {
    EXPECT_TRUE(in_child([&] {
      return become(kUser) && SocketDirectory::open(kOther, Make::kYes, places_).error().kind ==
                                  ErrorKind::kPermission;
    }));
  }
}

// --- what an attacker may have put there before ---

TEST_F(SocketDirectoryTest, RefusesASymbolicLinkEvenToADirectoryOfOurs) {
  const std::string victim = home_ / "victim";
  fs::create_directory(victim);
  ::chmod(victim.c_str(), 0700);
  fs::create_symlink(victim, own());
  expect_refused("is no directory");
  EXPECT_TRUE(fs::is_empty(victim));
  fs::remove(own());
  fs::create_symlink(home_ / "nothing", own());
  expect_refused("is no directory");
  EXPECT_FALSE(fs::exists(home_ / "nothing"));
}

TEST_F(SocketDirectoryTest, RefusesAFile) {
  std::ofstream(own()) << "x";
  expect_refused("is no directory");
}

TEST_F(SocketDirectoryTest, RefusesADirectoryThatIsOpenToOthersAndLeavesItAsItIs) {
  for (const mode_t mode : {0755U, 0770U, 0710U, 0701U, 0702U, 01777U}) {
    fs::create_directory(own());
    ::chmod(own().c_str(), mode);
    expect_refused("is open to other users");
    EXPECT_EQ(mode_of(own()), mode);
    fs::remove(own());
  }
}

TEST(CheckDirectory, WantsADirectoryOfItsOwnerAndOfNobodyElse) {
  struct stat good {};
  good.st_mode = S_IFDIR | 0700;
  good.st_uid = kUser;
  EXPECT_TRUE(check_directory(good, kUser, "/x"));
  struct stat bad = good;
  bad.st_uid = kOther;
  EXPECT_EQ(check_directory(bad, kUser, "/x").error().what,
            "/x belongs to another user (uid 48002)");
  bad.st_uid = 0;
  EXPECT_FALSE(check_directory(bad, kUser, "/x")) << "root's is not the user's";
  for (const mode_t type : {S_IFREG, S_IFLNK, S_IFSOCK}) {
    bad = good;
    bad.st_mode = type | 0700;
    EXPECT_EQ(check_directory(bad, kUser, "/x").error().what, "/x is no directory");
  }
}

TEST_F(SocketDirectoryTest, IsNotLedAwayByASwapBehindItsBack) {
  SocketDirectory directory = must_open();
  const std::string victim = home_ / "victim";
  fs::create_directory(victim);
  fs::rename(own(), home_ / "moved");
  fs::create_symlink(victim, own());
  const auto listening = directory.listen("x");
  ASSERT_TRUE(listening) << listening.error().message();
  EXPECT_TRUE(fs::is_empty(victim));
  EXPECT_TRUE(fs::is_socket(home_ / "moved/x"));
  EXPECT_TRUE(directory.connect("x"));
  directory.remove("x");
  EXPECT_FALSE(fs::exists(home_ / "moved/x"));
}

TEST_F(SocketDirectoryTest, IsNotLedAwayHoweverFastItIsSwapped) {
  const std::string victim = home_ / "victim", link = home_ / "link", real = home_ / "real";
  fs::create_directory(victim);
  ::chmod(victim.c_str(), 0700);
  std::atomic<bool> done = false;
  std::thread attacker([&] {
    while (!done) {
      fs::create_symlink(victim, link);
      (void)::rename(link.c_str(), own().c_str());  // over a link; a directory stays
      (void)::unlink(own().c_str());
      (void)::unlink(link.c_str());
      (void)::mkdir(own().c_str(), 0700);
      (void)::rename(own().c_str(), real.c_str());
      std::error_code ignored;
      fs::remove_all(real, ignored);
    }
  });
  int opened = 0;
  for (int i = 0; i < 300; ++i) {
    auto directory = open();
    if (!directory)
      continue;
    ++opened;
    (void)directory->listen("x");
    (void)directory->names();
  }
  done = true;
  attacker.join();
  EXPECT_GT(opened, 0);
  EXPECT_TRUE(fs::is_empty(victim));
}

// --- sockets ---

TEST_F(SocketDirectoryTest, LetsOneConnectToWhoListens) {
  SocketDirectory directory = must_open();
  const auto listening = directory.listen("make.1");
  ASSERT_TRUE(listening) << listening.error().message();
  EXPECT_THAT(directory.names().value(), ElementsAre("make.1"));
  const auto connected = must_open().connect("make.1");
  ASSERT_TRUE(connected) << connected.error().message();
  const UniqueFd accepted(::accept4(listening->get(), nullptr, nullptr, SOCK_CLOEXEC));
  for (const int fd : {connected->get(), accepted.valid() ? accepted.get() : -1}) {
    EXPECT_EQ(peer_of(fd)->pid, ::getpid());
    EXPECT_EQ(peer_of(fd)->uid, ::geteuid());
    EXPECT_TRUE(check_peer(fd, ::geteuid()));
  }
  for (const int fd : {listening->get(), connected->get()}) {
    EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC);
    EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
  }
}

TEST_F(SocketDirectoryTest, MakesSocketsForTheirUserOnlyWhateverTheUmask) {
  SocketDirectory directory = must_open();
  for (const mode_t mask : {0U, 022U, 0777U}) {
    const Umask guard(mask);
    const auto listening = directory.listen("x");
    ASSERT_TRUE(listening) << listening.error().message();
    EXPECT_EQ(mode_of(own() + "/x"), 01600U);
    EXPECT_EQ(::umask(mask), mask) << "the umask was put back";
    directory.remove("x");
  }
}

TEST_F(SocketDirectoryTest, WorksBehindAPathThatNoSocketAddressHolds) {
  places_.own_runtime = home_ / std::string(120, 'a') / std::string(120, 'b');
  fs::create_directories(places_.own_runtime);
  SocketDirectory directory = must_open();
  const std::string name(64, 'n');
  const auto listening = directory.listen(name);
  ASSERT_TRUE(listening) << listening.error().message();
  EXPECT_TRUE(fs::is_socket(own() + "/" + name));
  EXPECT_TRUE(directory.connect(name));
  EXPECT_THAT(directory.names().value(), ElementsAre(name));
}

TEST_F(SocketDirectoryTest, KnowsNoNameThatLeadsElsewhere) {
  SocketDirectory directory = must_open();
  for (const char* name : {"../x", ".", "", "/tmp/x", "123"}) {
    EXPECT_EQ(directory.listen(name).error().kind, ErrorKind::kUsage) << name;
    EXPECT_EQ(directory.connect(name).error().kind, ErrorKind::kUsage) << name;
  }
}

TEST_F(SocketDirectoryTest, RefusesASecondRelayOfThatName) {
  SocketDirectory directory = must_open(), second = must_open();
  const auto listening = directory.listen("x");
  const auto refused = second.listen("x");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kRefused);
  EXPECT_THAT(refused.error().what, HasSubstr("a relay named x already"));
  EXPECT_TRUE(directory.connect("x"));
}

TEST_F(SocketDirectoryTest, ReplacesTheSocketOfARelayThatWasKilled) {
  SocketDirectory directory = must_open();
  make_stale(own() + "/x");
  EXPECT_EQ(directory.connect("x").error().kind, ErrorKind::kGone);
  const auto listening = directory.listen("x");
  ASSERT_TRUE(listening) << listening.error().message();
  EXPECT_TRUE(directory.connect("x"));
}

TEST_F(SocketDirectoryTest, RemovesStaleSocketsAndNothingElseWhenItListsThem) {
  SocketDirectory directory = must_open();
  const auto b = directory.listen("b"), a = directory.listen("a");
  make_stale(own() + "/stale");
  make_stale(own() + "/.hidden");
  std::ofstream(own() + "/file") << "x";
  fs::create_directory(own() + "/folder");
  EXPECT_THAT(directory.names().value(), ElementsAre("a", "b"));
  EXPECT_FALSE(fs::exists(own() + "/stale"));
  for (const char* kept : {"/.hidden", "/file", "/folder", "/a", "/b"})
    EXPECT_TRUE(fs::exists(own() + kept)) << kept;
}

TEST_F(SocketDirectoryTest, TakesABusyRelayForAliveAndWaitsForItNoLongerThanItMust) {
  SocketDirectory directory = must_open();
  const auto listening = directory.listen("x");
  ASSERT_TRUE(listening);
  ASSERT_EQ(::listen(listening->get(), 1), 0);  // two fill it, none is accepted
  const auto first = directory.connect("x"), second = directory.connect("x");
  EXPECT_THAT(directory.names().value(), ElementsAre("x"));
  EXPECT_EQ(must_open().listen("x").error().kind, ErrorKind::kRefused);
  EXPECT_EQ(directory.connect("x").error().kind, ErrorKind::kTimeout);
}

TEST_F(SocketDirectoryTest, FollowsNoLinkToAnotherSocketAndReplacesNoFile) {
  SocketDirectory directory = must_open();
  const auto listening = directory.listen("x");
  fs::create_symlink(own() + "/x", own() + "/link");
  std::ofstream(own() + "/file") << "precious";
  EXPECT_THAT(directory.names().value(), ElementsAre("x"));
  for (const char* name : {"link", "file"}) {
    EXPECT_EQ(directory.connect(name).error().kind, ErrorKind::kRefused) << name;
    const auto refused = directory.listen(name);
    EXPECT_EQ(refused.error().kind, ErrorKind::kRefused);
    EXPECT_THAT(refused.error().what, HasSubstr("is in the way"));
  }
  EXPECT_EQ(fs::file_size(own() + "/file"), 8U);
}

TEST_F(SocketDirectoryTest, RemovesItsOwnSocketAndNoOtherOfThatName) {
  SocketDirectory first = must_open(), second = must_open();
  auto listening = first.listen("x");
  ASSERT_TRUE(listening && first.is_there("x"));
  fs::remove(own() + "/x");
  EXPECT_FALSE(first.is_there("x"));
  const auto others = second.listen("x");
  ASSERT_TRUE(others);
  EXPECT_FALSE(first.is_there("x"));
  first.remove("x");
  EXPECT_TRUE(second.is_there("x"));
  second.remove("x");
  EXPECT_THAT(first.names().value(), IsEmpty());
  second.remove("never was");
}

TEST_F(SocketDirectoryTest, IsMadeAgainWithItsSocketWhenItWasDeleted) {
  SocketDirectory directory = must_open();
  const auto before = directory.listen("x");
  fs::remove_all(own());
  EXPECT_FALSE(directory.is_there("x"));
  EXPECT_FALSE(directory.connect("x"));
  const auto again = directory.listen("x");
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_TRUE(directory.is_there("x"));
  EXPECT_TRUE(must_open().connect("x"));
  fs::remove_all(places_.own_runtime);  // as when the last login of the user has ended
  const auto elsewhere = directory.listen("x");
  ASSERT_TRUE(elsewhere) << elsewhere.error().message();
  EXPECT_EQ(directory.path(), in_tmp());
  EXPECT_TRUE(fs::is_socket(in_tmp() + "/x"));
}

TEST_F(SocketDirectoryTest, LetsOneOfManyHaveANameThatIsStale) {
  constexpr int kMany = 6;
  (void)must_open();
  for (int round = 0; round < 10; ++round) {
    make_stale(own() + "/x");
    int tried[2], gate[2];  // who has got the name keeps it until all have tried
    ASSERT_EQ(::pipe2(tried, O_CLOEXEC), 0);
    ASSERT_EQ(::pipe2(gate, O_CLOEXEC), 0);
    std::vector<pid_t> children;
    for (int i = 0; i < kMany; ++i)
      children.push_back(start([&] {
        ::close(gate[1]);
        SocketDirectory directory = must_open();
        const auto listening = directory.listen("x");
        char byte = '.';
        return ::write(tried[1], &byte, 1) == 1 && ::read(gate[0], &byte, 1) == 0 && listening;
      }));
    for (int i = 0; i < kMany; ++i) {
      char byte = 0;
      EXPECT_EQ(::read(tried[0], &byte, 1), 1);
    }
    EXPECT_TRUE(must_open().connect("x"));
    for (const int fd : {tried[0], tried[1], gate[0], gate[1]})
      ::close(fd);
    int got = 0;
    for (const pid_t child : children)
      got += ended_well(child) ? 1 : 0;
    EXPECT_EQ(got, 1);
    fs::remove(own() + "/x");
  }
}

TEST_F(SocketDirectoryTest, KeepsANewSocketWhileAnotherGrabCleansUp) {
  int gate[2];
  ASSERT_EQ(::pipe2(gate, O_CLOEXEC | O_NONBLOCK), 0);
  SocketDirectory directory = must_open();
  const pid_t cleaner = start([&] {
    ::close(gate[1]);
    char byte = 0;
    while (::read(gate[0], &byte, 1) != 0)
      (void)must_open().names();
    return true;
  });
  ::close(gate[0]);
  for (int i = 0; i < 200; ++i) {
    const auto listening = directory.listen("x");
    ASSERT_TRUE(listening) << listening.error().message();
    EXPECT_TRUE(directory.is_there("x")) << "it was taken for a stale one";
    directory.remove("x");
  }
  ::close(gate[1]);
  EXPECT_TRUE(ended_well(cleaner));
}

// --- where to look ---

TEST_F(SocketDirectoryTest, IsSearchedForInAllPlacesThatMayBeOurs) {
  EXPECT_THAT(directories_to_search(places_).value(), IsEmpty());
  (void)must_open();
  Places bare = places_;
  bare.own_runtime.clear();
  ASSERT_TRUE(SocketDirectory::open(::geteuid(), Make::kYes, bare));
  Places login = places_;
  login.own_runtime = log_in(::geteuid());
  ASSERT_TRUE(SocketDirectory::open(::geteuid(), Make::kYes, login));
  std::vector<std::string> paths;
  const auto found = directories_to_search(places_);
  for (const SocketDirectory& directory : *found)
    paths.push_back(directory.path());
  EXPECT_THAT(paths, ElementsAre(own(), in_tmp(), login.own_runtime + "/grab"));
  EXPECT_EQ(directories_to_search(login)->size(), 2U) << "the same one is named once";
}

}  // namespace
}  // namespace grab::relay
