// SPDX-License-Identifier: MIT
#include "relay/socket_directory.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

namespace grab::relay {
namespace {

namespace fs = std::filesystem;
using Make = SocketDirectory::Make;

class SocketDirectoryTest : public testing::Test {
 protected:
  SocketDirectoryTest() {
    std::string path = fs::temp_directory_path() / "grab-sockets.XXXXXX";
    home_ = ::mkdtemp(path.data());
    places_ = {home_ / "own", home_ / "run", home_ / "tmp"};
    for (const std::string* place : {&places_.own_runtime, &places_.run_user, &places_.temporary})
      fs::create_directory(*place);
  }
  ~SocketDirectoryTest() override { fs::remove_all(home_); }

  [[nodiscard]] Result<SocketDirectory> open(Make make = Make::kYes) const {
    return SocketDirectory::open(::geteuid(), make, places_);
  }

  fs::path home_;
  Places places_;
};

TEST_F(SocketDirectoryTest, LetsOneConnectToWhoListens) {
  auto directory = open();
  ASSERT_TRUE(directory) << directory.error().message();
  EXPECT_EQ(directory->path(), places_.own_runtime + "/grab");
  const auto listening = directory->listen("make.1");
  ASSERT_TRUE(listening) << listening.error().message();
  EXPECT_EQ(directory->names().value(), std::vector<std::string>{"make.1"});
  const auto connected = directory->connect("make.1");
  ASSERT_TRUE(connected) << connected.error().message();
  EXPECT_EQ(peer_of(connected->get())->pid, ::getpid());
  directory->remove("make.1");
  EXPECT_FALSE(directory->connect("make.1"));
}

}  // namespace
}  // namespace grab::relay
