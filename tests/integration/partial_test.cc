// SPDX-License-Identifier: MIT
// A tree that is half someone else's: su(1), which runs as root and asks for a password, below a
// script. Run by root, the script and grab are the user nobody's.
#include <unistd.h>

#include <optional>
#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"
#include "support/other_user.h"

namespace grab::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Partial : public GrabTest {
 protected:
  void SetUp() override {
    GrabTest::SetUp();
    if (IsSkipped())
      return;
    if (!installed("su"))
      GTEST_SKIP() << "su is not installed";
    user_ = ::geteuid() == 0 ? as_nobody() : "";
    grab_ = user_ + program_for_all("grab");
    first_.emplace("bash");
    second_.emplace();
    script_ = first_->start(user_ + "sh -c 'echo ready $$; su root; echo su has ended; :'");
    ASSERT_TRUE(first_->expect("assword"));
    su_ = first_->wait_for_program("su");
    // The shell blocks signals while it forks.
    ASSERT_TRUE(wait_until(
        [&] { return status_field(script_, script_, "SigBlk") == std::string(16, '0'); }));
  }
  void grab(const std::string& arguments) {
    second_->skip_shown();
    second_->run(grab_ + " " + arguments + "; echo \"[status $?]\"");
  }

  std::string user_, grab_;
  std::optional<Shell> first_;
  std::optional<SecondTerminal> second_;
  pid_t script_ = 0;
  pid_t su_ = 0;
};

TEST_F(Partial, IsRefusedWholeNamingWhoIsInTheWayAndTheTwoWaysOut) {
  const Unchanged unchanged(*first_, tree_of(first_->pid()));
  grab("--tree " + std::to_string(script_));
  ASSERT_TRUE(second_->expect_grab_ended(kPermission));
  EXPECT_THAT(second_->transcript(), AllOf(HasSubstr(std::to_string(su_) + " (su)"),
                                           HasSubstr("--partial"), HasSubstr("as root")));
  EXPECT_TRUE(unchanged.holds());
}

TEST_F(Partial, ADryRunListsWhatWouldStay) {
  grab("--dry-run --partial --tree " + std::to_string(script_));
  ASSERT_TRUE(second_->expect_grab_ended(0));
  EXPECT_THAT(second_->transcript(), HasSubstr("left"));
  grab("--dry-run --json --partial --tree " + std::to_string(script_) + " | tr -d ' \\n'");
  ASSERT_TRUE(second_->expect("\"role\":\"left\""));
}

TEST_F(Partial, MovesTheScriptAndLeavesSuAskingWhereItWas) {
  const auto su_before = signals_of({su_});
  const auto group = read_stat(su_).value().pgid;
  grab("--partial --tree " + std::to_string(script_));
  ASSERT_TRUE(second_->expect("left where it is: "));
  ASSERT_TRUE(wait_until([&] { return read_stat(script_).value().tty == 0; }));
  EXPECT_EQ(read_stat(su_).value().tty, first_->device());
  EXPECT_EQ(read_stat(su_).value().pgid, group);
  EXPECT_EQ(first_->foreground_pgid(), group);
  EXPECT_EQ(signals_of({su_}), su_before);
  // It still reads its password there; the script goes on here.
  first_->type("no such password\r");
  ASSERT_TRUE(first_->expect("su: "));
  ASSERT_TRUE(second_->expect("su has ended"));
  EXPECT_THAT(first_->transcript(), Not(HasSubstr("su has ended\r")));
  ASSERT_TRUE(second_->expect("[status 0]"));
  EXPECT_TRUE(first_->answers());
}

TEST_F(Partial, RootMovesAllOfIt) {
  if (::geteuid() != 0)
    GTEST_SKIP() << "only root may move another user's processes";
  second_->grab_tree(script_);
  ASSERT_TRUE(have_left(*first_, {script_, su_}));
  second_->type("no such password\r");
  ASSERT_TRUE(second_->expect("su: "));
  ASSERT_TRUE(second_->expect("su has ended"));
}

}  // namespace
}  // namespace grab::test
