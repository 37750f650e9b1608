// SPDX-License-Identifier: MIT
// A tree that serves a file system to itself: its server stands while grab moves it, and so does
// whoever asks it something.
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "support/grab_test.h"
#include "support/served_folder.h"

namespace grab::test {
namespace {

class FileServers : public GrabTest {
 protected:
  void SetUp() override {
    GrabTest::SetUp();
    if (!ServedFolder::can_be())
      GTEST_SKIP() << "no folder can be served here";
  }
};

TEST_F(FileServers, AreMovedWithAProgramThatRunsFromWhatTheyServeAndHasAFileOpenThere) {
  const ServedFolder folder;
  Shell first("bash");
  SecondTerminal second;
  const pid_t program = first.start("bash -c '" + folder.begin() + folder.path() +
                                    "/tracee_zoo echo-lines 7< " + folder.path() + "/file; :'");
  const pid_t root = read_stat(program)->ppid;
  ASSERT_EQ(tree_of(root).size(), 3U);
  const auto before = fds_of(program);
  ASSERT_TRUE(grabs_tree(second, first, root));
  EXPECT_EQ(fds_of(program).at(7), before.at(7));
  EXPECT_TRUE(second.echoes("here"));
  EXPECT_THAT(first.output_of("cat " + folder.path() + "/file"), testing::HasSubstr("served"));
}

TEST_F(FileServers, WhoAreAskedAllTheTimeAreMovedAgainAndAgain) {
  const ServedFolder folder;
  Shell first("bash");
  const std::string file = folder.path() + "/file";
  const pid_t program =
      first.start("bash -c '" + folder.begin() + "for i in 1 2 3; do while :; do grep -q served " +
                  file + " || echo harmed; done & done; tracee_zoo echo-lines; :'");
  const pid_t root = read_stat(program)->ppid;
  std::vector<std::unique_ptr<SecondTerminal>> others;
  for (int i = 0; i < 5; i++) {
    others.push_back(std::make_unique<SecondTerminal>("terminal " + std::to_string(2 + i)));
    SecondTerminal& next = *others.back();
    next.grab_tree(root, "--force");
    ASSERT_TRUE(next.echoes("here")) << all_transcripts();
    EXPECT_THAT(next.transcript(), testing::Not(testing::HasSubstr("harmed")));
  }
}

}  // namespace
}  // namespace grab::test
