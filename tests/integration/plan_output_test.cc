// SPDX-License-Identifier: MIT
// --dry-run: the plan, for people and for programs, with nothing changed.
#include <signal.h>
#include <unistd.h>

#include <set>
#include <string>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "support/grab_test.h"

namespace grab::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class PlanOutput : public GrabTest {
 protected:
  // What grab prints to a file, for it is JSON; its status is checked.
  static json json_of(SecondTerminal& second, const std::string& arguments, int status) {
    const std::string file = scratch("plan.json");
    second.skip_shown();
    second.run("grab " + arguments + " > " + file + "; echo \"[status $?]\"");
    EXPECT_TRUE(second.expect("[status " + std::to_string(status) + "]"));
    json parsed = json::parse(read_file(file), nullptr, false);
    EXPECT_FALSE(parsed.is_discarded()) << read_file(file);
    return parsed;
  }
};

TEST_F(PlanOutput, NamesEveryProcessAndWhatWillBeDoneAndChangesNothing) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t root =
      first.start_job("bash -c 'tracee_zoo catch-and-wait INT & exec tracee_zoo echo-lines'", 2);
  const auto tree = tree_of(root);
  const Unchanged unchanged(first, tree_of(first.pid()));
  const auto outcome = second.grab_and_wait("--dry-run --tree " + std::to_string(root));
  EXPECT_EQ(outcome.status, 0) << outcome.text;
  for (const pid_t pid : tree)
    EXPECT_THAT(outcome.text, HasSubstr(std::to_string(pid)));
  EXPECT_THAT(outcome.text, HasSubstr(first.path()));
  EXPECT_THAT(outcome.text, HasSubstr("tracee_zoo"));
  EXPECT_TRUE(unchanged.holds());
  first.type("hello\r");
  EXPECT_TRUE(first.expect("got: hello"));
}

TEST_F(PlanOutput, SaysWhyNotWhereATreeWouldBeRefused) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo seccomp allow");
  const auto outcome = second.grab_and_wait("--dry-run --tree " + std::to_string(pid));
  EXPECT_EQ(outcome.status, 125);
  EXPECT_THAT(outcome.text, HasSubstr("seccomp"));
}

TEST_F(PlanOutput, GivesTheSameToPrograms) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t root =
      first.start_job("bash -c 'tracee_zoo catch-and-wait INT & exec tracee_zoo echo-lines'", 2);
  const auto tree = tree_of(root);
  const Unchanged unchanged(first, tree_of(first.pid()));
  const json plan = json_of(second, "--dry-run --json --tree " + std::to_string(root), 0);
  EXPECT_EQ(plan.at("root"), root);
  EXPECT_EQ(plan.at("topology"), "new-session");
  EXPECT_EQ(plan.at("old_terminal").at("name"), first.path());
  EXPECT_EQ(plan.at("foreground"), true);
  EXPECT_EQ(plan.at("old_shell").at("how"), "told");
  EXPECT_EQ(plan.at("old_shell").at("pid"), first.pid());
  std::set<pid_t> planned;
  for (const json& process : plan.at("processes"))
    planned.insert(process.at("pid").get<pid_t>());
  EXPECT_EQ(planned, std::set<pid_t>(tree.begin(), tree.end()));
  EXPECT_TRUE(unchanged.holds());
}

TEST_F(PlanOutput, KnowsASessionLeaderAndAZombieInTheWay) {
  Shell first("bash");
  SecondTerminal second;
  EXPECT_EQ(
      json_of(second, "--dry-run --json --tree " + std::to_string(first.pid()), 0).at("topology"),
      "session-leader");
  const pid_t pid = first.start("tracee_zoo zombie-parent");
  const json plan = json_of(second, "--dry-run --json --tree " + std::to_string(pid), 0);
  EXPECT_EQ(plan.at("topology"), "keep-session");
  EXPECT_THAT(plan.at("topology_why").get<std::string>(), HasSubstr("zombie"));
}

TEST_F(PlanOutput, OfARefusalHasTheErrorForPrograms) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo seccomp allow");
  const json plan = json_of(second, "--dry-run --json --tree " + std::to_string(pid), 125);
  EXPECT_EQ(plan.at("error").at("exit_status"), 125);
  EXPECT_THAT(plan.at("error").at("message").get<std::string>(), HasSubstr("seccomp"));
  EXPECT_EQ(json_of(second, "--dry-run --json --tree 0", 2).at("error").at("exit_status"), 2);
}

TEST_F(PlanOutput, SurvivesNamesThatAreNoText) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo comm $'\\xff\\xfe\\n\"\\\\)'");
  const json plan = json_of(second, "--dry-run --json --tree " + std::to_string(pid), 0);
  EXPECT_EQ(plan.at("root"), pid);
}

TEST_F(PlanOutput, HelpAndVersionAreThere) {
  SecondTerminal second;
  const auto help = second.grab_and_wait("--help");
  EXPECT_EQ(help.status, 0);
  for (const char* option : {"--tree", "--dry-run", "--json", "--timeout", "--force",
                             "--force-stdio", "--keep-session", "--keep-stopped"})
    EXPECT_THAT(help.text, HasSubstr(option));
  const auto version = second.grab_and_wait("--version");
  EXPECT_EQ(version.status, 0);
  EXPECT_THAT(version.text, HasSubstr("grab "));
}

}  // namespace
}  // namespace grab::test
