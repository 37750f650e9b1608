// SPDX-License-Identifier: MIT
#include "cli/list.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/unique_fd.h"
#include "cli/layout.h"

namespace grab::cli {
namespace {

using TreeStatus = relay::message::Status;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::int64_t kNow = 1'700'000'000;

TreeStatus make() {
  TreeStatus tree;
  tree.name = "make.4711";
  tree.pid = 4711;
  tree.command = "make -j4 all";
  tree.since = kNow - 5 * 60;
  tree.size = {24, 80, 0, 0};
  tree.viewers = {{100, "/dev/pts/3", false, {24, 80, 0, 0}},
                  {200, "/dev/pts/4", true, {50, 132, 0, 0}}};
  return tree;
}

TreeStatus vim() {
  TreeStatus tree;
  tree.name = "vim.9";
  tree.pid = 9;
  tree.command = "vim notes";
  tree.since = kNow - 3 * 24 * 60 * 60;
  tree.size = {50, 132, 0, 0};
  tree.state = TreeStatus::State::kStopped;
  return tree;
}

TEST(ListTable, HasALineATreeTheOldestFirst) {
  EXPECT_EQ(list_table({make(), vim()}, {0, kNow}),
            "NAME        PID  STATE         SINCE  VIEWERS    SIZE  COMMAND\n"
            "vim.9         9  stopped  3 days ago        0  132x50  vim notes\n"
            "make.4711  4711  running   5 min ago        2   80x24  make -j4 all\n");
}

TEST(ListTable, SaysHowATreeHasEnded) {
  TreeStatus tree = make();
  tree.state = TreeStatus::State::kEnded;
  EXPECT_THAT(list_table({tree}, {0, kNow}), HasSubstr("  ended  "));
  tree.wait_status = 2 << 8;
  EXPECT_THAT(list_table({tree}, {0, kNow}), HasSubstr("  ended (2)  "));
  tree.wait_status = SIGTERM;
  EXPECT_THAT(list_table({tree}, {0, kNow}), HasSubstr("  ended (SIGTERM)  "));
}

TEST(ListTable, WithoutATreeSaysHowToGetOne) {
  EXPECT_THAT(list_table({}, {80, kNow}), HasSubstr("grab --tree PID"));
}

TEST(ListTable, FitsTheTerminal) {
  TreeStatus tree = make();
  tree.command = std::string(300, 'x');
  TreeStatus wide = vim();
  wide.name = std::string(64, 'n');
  for (std::size_t columns = 3; columns < 200; ++columns) {
    std::istringstream text(list_table({tree, wide}, {columns, kNow}));
    for (std::string line; std::getline(text, line);)
      EXPECT_LE(display_width(line), columns) << line;
  }
}

TEST(ListTable, LeavesOutWhatMattersLessWhereThereIsLittleRoom) {
  const std::string at_50 = list_table({make()}, {50, kNow});
  EXPECT_THAT(at_50, Not(HasSubstr("SIZE")));
  EXPECT_THAT(at_50, Not(HasSubstr("VIEWERS")));
  EXPECT_THAT(at_50, HasSubstr("SINCE"));
  EXPECT_THAT(at_50, HasSubstr("make -j4 all"));
  const std::string at_40 = list_table({make()}, {40, kNow});
  EXPECT_THAT(at_40, Not(HasSubstr("SINCE")));
  EXPECT_THAT(at_40, HasSubstr("make.4711  4711  running  make -j4 all"));
}

TEST(ListTable, ShowsNoControlBytesOfForeignNames) {
  TreeStatus tree = make();
  tree.name = "a\x1b[2J";
  tree.command =
      "b\n\x9b"
      "31m\u202egpj.exe\u200b\xff";
  const std::string table = list_table({tree}, {0, kNow});
  EXPECT_THAT(table, HasSubstr("a?[2J"));
  EXPECT_THAT(table, HasSubstr("b??31m???gpj.exe????\n"));
}

TEST(ListJson, HasEverything) {
  TreeStatus ended = vim();
  ended.state = TreeStatus::State::kEnded;
  ended.wait_status = SIGKILL;
  EXPECT_EQ(nlohmann::json::parse(list_json({make(), ended})), nlohmann::json::parse(R"({
    "format": 1,
    "trees": [
      {"name": "vim.9", "pid": 9, "command": "vim notes", "state": "ended", "since": 1699740800,
       "size": {"rows": 50, "columns": 132}, "viewers": [], "wait_status": 9, "exit_status": 137},
      {"name": "make.4711", "pid": 4711, "command": "make -j4 all", "state": "running",
       "since": 1699999700, "size": {"rows": 24, "columns": 80}, "viewers": [
         {"pid": 100, "terminal": "/dev/pts/3", "read_only": false,
          "size": {"rows": 24, "columns": 80}},
         {"pid": 200, "terminal": "/dev/pts/4", "read_only": true,
          "size": {"rows": 50, "columns": 132}}],
       "wait_status": null, "exit_status": null}]})"));
}

TEST(ListJson, OfNothingIsAnEmptyList) {
  EXPECT_EQ(nlohmann::json::parse(list_json({})),
            nlohmann::json::parse(R"({"format": 1, "trees": []})"));
}

TEST(ListJson, IsValidWhateverTheNamesAre) {
  TreeStatus tree = make();
  tree.name = "\xff\x1b";
  tree.command = std::string("a\0\xc3\"\\", 5);
  tree.viewers[0].terminal = "\x9b";
  const auto document = nlohmann::json::parse(list_json({tree}));
  EXPECT_EQ(document["trees"][0]["name"], "??");
  EXPECT_EQ(document["trees"][0]["command"], "a??\"\\");
  EXPECT_EQ(document["trees"][0]["viewers"][0]["terminal"], "?");
}

TEST(Duration, IsRoundedDown) {
  EXPECT_EQ(duration_text(-5), "0 s");
  EXPECT_EQ(duration_text(0), "0 s");
  EXPECT_EQ(duration_text(59), "59 s");
  EXPECT_EQ(duration_text(60), "1 min");
  EXPECT_EQ(duration_text(3599), "59 min");
  EXPECT_EQ(duration_text(3600), "1 h");
  EXPECT_EQ(duration_text(47 * 3600 + 3599), "47 h");
  EXPECT_EQ(duration_text(48 * 3600), "2 days");
  EXPECT_EQ(duration_text(INT64_MAX), "106751991167300 days");
}

TEST(Page, HasTheWidthOfATerminalAndNoneElsewhere) {
  const UniqueFd ptmx(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  const winsize size{30, 97, 0, 0};
  ASSERT_EQ(::ioctl(ptmx.get(), TIOCSWINSZ, &size), 0);
  EXPECT_EQ(page_of(ptmx.get()).columns, 97U);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(page_of(null.get()).columns, 0U);
  EXPECT_GT(page_of(null.get()).now, kNow);
}

}  // namespace
}  // namespace grab::cli
