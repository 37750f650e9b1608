// SPDX-License-Identifier: MIT
#include "relay/connection.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace grab::relay {
namespace {

constexpr int kPatienceMs = 10'000;

/// A relay's and a viewer's end of one connection; and a bare socket, to misbehave on.
struct Pair {
  UniqueFd relay, viewer;
};
Pair sockets() {
  std::array<int, 2> fds{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

struct Ends {
  explicit Ends(Pair pair = sockets())
      : relay(std::move(pair.relay), Side::kViewer), viewer(std::move(pair.viewer), Side::kRelay) {}
  Connection relay, viewer;

  void greet() {
    ASSERT_TRUE(relay.send(message::Hello{.software = "grab 0.1.0"}));
    ASSERT_TRUE(exchange_hello(viewer, "grab 0.1.0", kPatienceMs));
    ASSERT_TRUE(await_message(relay, kPatienceMs));
  }
};

TEST(Connection, PassesMessagesBothWays) {
  Ends ends;
  ends.greet();
  ASSERT_TRUE(ends.relay.send(message::Notice{"the tree was moved"}));
  ASSERT_TRUE(ends.relay.send(message::Status{.name = "make.1", .pid = 1, .command = "make"}));
  const auto status = ask<message::Status>(ends.viewer, message::AskStatus{}, kPatienceMs);
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(status->command, "make");
  EXPECT_EQ(await_message(ends.relay, kPatienceMs).value(), Message{message::AskStatus{}});
}

TEST(Connection, PassesADescriptorWithItsMessage) {
  Ends ends;
  ends.greet();
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(ends.viewer.send(message::AskStatus{}));
  ASSERT_TRUE(ends.viewer.send(message::Attach{.by_descriptor = true}, null.get()));
  ASSERT_TRUE(ends.viewer.send(message::Peek{}));
  ASSERT_TRUE(await_message(ends.relay, kPatienceMs));
  EXPECT_FALSE(ends.relay.take_descriptor().valid());
  const auto attach = await_message(ends.relay, kPatienceMs);
  ASSERT_TRUE(attach && std::holds_alternative<message::Attach>(*attach));
  const UniqueFd arrived = ends.relay.take_descriptor();
  ASSERT_TRUE(arrived.valid());
  struct stat sent {
  }, got{};
  ASSERT_EQ(::fstat(null.get(), &sent), 0);
  ASSERT_EQ(::fstat(arrived.get(), &got), 0);
  EXPECT_EQ(sent.st_rdev, got.st_rdev);
  EXPECT_EQ(::fcntl(arrived.get(), F_GETFD), FD_CLOEXEC);
  ASSERT_TRUE(await_message(ends.relay, kPatienceMs));
  EXPECT_FALSE(ends.relay.take_descriptor().valid());
}

}  // namespace
}  // namespace grab::relay
