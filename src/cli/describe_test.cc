// SPDX-License-Identifier: MIT
// Plans made by hand, as --dry-run shows them.
#include "cli/describe.h"

#include <sys/sysmacros.h>

#include <cerrno>
#include <csignal>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/layout.h"

namespace grab::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using tracer::Role;
using Json = nlohmann::json;
namespace step = tracer::step;

constexpr const char* kHostile = "\x1b]0;owned\x07\xff\nx)";

proc::Process process(pid_t pid, pid_t ppid, std::string comm, std::string command) {
  proc::Process made;
  made.stat.pid = pid;
  made.stat.ppid = ppid;
  made.stat.pgid = 4711;
  made.stat.sid = 4700;
  made.stat.state = 'S';
  made.stat.comm = std::move(comm);
  made.command = std::move(command);
  return made;
}

struct Case {
  proc::Snapshot snapshot;
  tracer::MovePlan plan;
};

// bash 4700 has started make 4711 on /dev/pts/3; below it a compiler, a daemon and a zombie.
Case make_on_a_terminal() {
  Case made;
  proc::Snapshot& snapshot = made.snapshot;
  snapshot.named = 4711;
  snapshot.processes = {process(4711, 4700, "make", "make -j4 all"),
                        process(4712, 4711, "cc1", "cc1 -O2 a.c"),
                        process(4713, 4711, "daemon", ""), process(4714, 4711, "sh", "")};
  snapshot.processes[3].stat.state = 'Z';
  snapshot.old_terminal = {makedev(136, 3), "/dev/pts/3", 4700, 4711};
  snapshot.parent = process(4700, 1, "bash", "-bash");

  tracer::MovePlan& plan = made.plan;
  plan.root = 4711;
  const step::MoveDescriptors descriptors{
      {{0, false, 0}, {1, false, 0}, {2, false, 0}, {9, true, 1}}, {{5, 0, 1, 77}}};
  plan.processes = {
      {4712,
       Role::kFollower,
       {step::JoinGroup{4712, 4711}, descriptors},
       {step::DropTerminal{}},
       "it has no controlling terminal: /dev/tty cannot be opened"},
      {4711, Role::kRoot, {descriptors}, {step::NewSession{4712}, step::TakeTerminal{4711}}, ""},
      {4713, Role::kUntouched, {}, {}, ""},
      {4714, Role::kZombie, {}, {}, ""}};
  plan.foreground = true;
  plan.carry_type_ahead = true;
  plan.tell.how = tracer::TellShell::How::kTold;
  plan.tell.shell = 4700;
  plan.tell.job_pgid = 4711;
  plan.tell.children = {4711};
  plan.tell.wait_status = SIGINT;
  plan.tell.why = "the shell";
  plan.job_pgid = 4711;
  plan.follower_pgids = {4712};
  plan.status_pid = 4711;
  return made;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    lines.push_back(line);
  return lines;
}

// No control character but the newline, and nothing that is wider than a terminal.
void expect_printable(const std::string& text) {
  for (const char c : text)
    EXPECT_TRUE(c == '\n' || (static_cast<unsigned char>(c) >= 0x20 && c != '\x7f')) << int{c};
  for (const std::string& line : lines_of(text))
    EXPECT_LE(display_width(line), 80U) << line;
}

// The text of a plan with each run of white space made one space, wherever its lines break.
std::string words_of(const Case& made) {
  std::istringstream in(describe_plan(made.snapshot, made.plan));
  std::string out;
  for (std::string word; in >> word;)
    out += (out.empty() ? "" : " ") + word;
  return out;
}

TEST(DescribePlan, SaysWhatHappensToTheTree) {
  const Case made = make_on_a_terminal();
  expect_printable(describe_plan(made.snapshot, made.plan));
  const std::string text = words_of(made);
  EXPECT_THAT(text, HasSubstr("The plan: 4711 (make) and its tree, 2 processes, move from "
                              "/dev/pts/3 to this terminal."));
  EXPECT_THAT(text, HasSubstr("session 4711 (make) makes a session of its own"));
  EXPECT_THAT(text, HasSubstr("in the foreground of /dev/pts/3"));
  EXPECT_THAT(
      text,
      HasSubstr("old shell 4700 (bash), the shell, is told that 4711 (make) was killed by SIGINT"));
}

TEST(DescribePlan, SaysWhoFindsNoDevTtyAndWhatToDoAboutIt) {
  Case made = make_on_a_terminal();
  EXPECT_THAT(words_of(made), Not(HasSubstr("passwords")));
  made.plan.processes[0].lacks_dev_tty = true;
  EXPECT_THAT(words_of(made),
              HasSubstr("passwords what 4712 (cc1) starts finds no /dev/tty, where ssh, sudo, git "
                        "and gpg ask for passwords: let them ask before the grab, or elsewhere "
                        "(ssh-agent, sudo -A, a graphical pinentry); what 4711 (make) itself "
                        "starts finds it"));
  made.plan.processes[1].lacks_dev_tty = true;
  EXPECT_THAT(words_of(made), HasSubstr("what 4712 (cc1) and 4711 (make) start finds no /dev/tty"));
  EXPECT_THAT(words_of(made), Not(HasSubstr("itself starts")));
}

TEST(DescribePlan, SaysWhichShellsAreTracedForTheirJobs) {
  Case made = make_on_a_terminal();
  made.plan.guarding.shells = {{{4711, 1}, false}};
  EXPECT_THAT(words_of(made), HasSubstr("jobs 4711 (make) is traced from then on (by grab-jobs)"));
}

TEST(DescribePlan, SaysWhatEachProcessIsAndDoes) {
  const Case made = make_on_a_terminal();
  const std::string text = describe_plan(made.snapshot, made.plan);
  EXPECT_EQ(text.substr(text.find("  PID")),
            "  PID  WHAT       COMMAND, AND WHAT IT DOES\n"
            " 4712  follower   cc1 -O2 a.c\n"
            "                  makes the group 4712, moves descriptors 0-2, 9 and what\n"
            "                  watches them by epoll and gives up its controlling terminal\n"
            "                  but: it has no controlling terminal: /dev/tty cannot be opened\n"
            " 4711  root       make -j4 all\n"
            "                  moves descriptors 0-2, 9 and what watches them by epoll, makes\n"
            "                  a session of its own by way of the group 4712 and takes the\n"
            "                  new terminal with the group 4711 in its foreground\n"
            " 4713  untouched  daemon\n"
            "                  nothing: it has nothing of the old terminal\n"
            " 4714  zombie     sh\n"
            "                  nothing: it has ended and waits for its parent\n");
}

TEST(DescribePlan, NamesEveryTopology) {
  Case made = make_on_a_terminal();
  made.plan.topology = tracer::Topology::kSessionLeader;
  EXPECT_THAT(words_of(made), HasSubstr("leads its session"));
  made.plan.topology = tracer::Topology::kKeepSession;
  made.plan.topology_why = "the zombie 4714 (sh) holds its group";
  EXPECT_THAT(words_of(made),
              AllOf(HasSubstr("stays in its session"), HasSubstr("(the zombie 4714 (sh) holds")));
}

TEST(DescribePlan, SaysWhatTheShellIsTold) {
  Case made = make_on_a_terminal();
  made.plan.tell.how = tracer::TellShell::How::kStopFirst;
  made.plan.tell.why = "it is traced by 99";
  EXPECT_THAT(words_of(made),
              AllOf(HasSubstr("4700 (bash) can not be told (it is traced by 99): the group 4711")));
  made.plan.tell = {};
  made.plan.tell.why = "nobody waits for it";
  EXPECT_THAT(words_of(made), HasSubstr("has gone (nobody waits for it)"));
}

TEST(DescribePlan, SaysWhatGoesAlongWithABackgroundJobWithoutATerminal) {
  Case made = make_on_a_terminal();
  made.plan.foreground = false;
  made.plan.modes = tracer::Modes::kSane;
  made.plan.carry_type_ahead = false;
  EXPECT_THAT(words_of(made), AllOf(HasSubstr("in the background of /dev/pts/3"),
                                    HasSubstr("the usual modes"), Not(HasSubstr("was typed"))));
  made.snapshot.old_terminal = {};
  EXPECT_THAT(words_of(made), HasSubstr("2 processes, move to this terminal."));
}

TEST(DescribePlan, SaysWhatIsDoneWithScreensAndStoppedJobs) {
  Case made = make_on_a_terminal();
  made.plan.leave_screen = {4711};
  made.plan.continue_after = {4711};
  made.plan.redraw = {4711};
  EXPECT_THAT(words_of(made),
              AllOf(HasSubstr("cleans the old screen"), HasSubstr("is continued (SIGCONT)"),
                    HasSubstr("draws its screen afresh")));
}

TEST(DescribePlan, OfASessionLeader) {
  Case made = make_on_a_terminal();
  made.plan.topology = tracer::Topology::kSessionLeader;
  made.plan.processes[1].commit = {step::LeaveAsLeader{}, step::TakeTerminal{0}};
  EXPECT_THAT(words_of(made), HasSubstr("gives up the terminal of its session"));
}

TEST(DescribePlan, LetsNoProcessDriveTheTerminal) {
  Case made = make_on_a_terminal();
  for (proc::Process& one : made.snapshot.processes) {
    one.stat.comm = kHostile;
    one.command = kHostile;
  }
  made.snapshot.parent->stat.comm = kHostile;
  made.snapshot.old_terminal.name = kHostile;
  made.plan.topology_why = made.plan.tell.why = made.plan.processes[0].note = kHostile;
  made.plan.warnings = {kHostile};
  expect_printable(describe_plan(made.snapshot, made.plan));
  expect_printable(describe_tree(made.snapshot));
}

TEST(DescribePlan, KeepsItsColumnsWhateverTheCommand) {
  Case made = make_on_a_terminal();
  made.snapshot.processes[0].command = std::string(500, 'x');
  for (int i = 0; i < 100; ++i)
    made.snapshot.processes[1].command += "\u65e5";
  made.snapshot.processes[2].stat.pid = made.plan.processes[2].pid = 4194304;
  expect_printable(describe_plan(made.snapshot, made.plan));
}

TEST(DescribePlan, SurvivesAProcessThatIsNotInTheSnapshot) {
  Case made = make_on_a_terminal();
  made.snapshot.processes.clear();
  EXPECT_THAT(words_of(made), HasSubstr("4712 follower ?"));
  EXPECT_EQ(Json::parse(plan_json(made.snapshot, made.plan))["processes"].size(), 4U);
}

TEST(DescribeTree, IsALineAProcess) {
  EXPECT_EQ(describe_tree(make_on_a_terminal().snapshot),
            "The tree on /dev/pts/3:\n"
            "  PID  STATE      COMMAND\n"
            " 4711  S          make -j4 all\n"
            " 4712  S          cc1 -O2 a.c\n"
            " 4713  S          daemon\n"
            " 4714  Z          sh\n");
}

TEST(PlanJson, HasEveryFieldOfThePlan) {
  const Case made = make_on_a_terminal();
  const Json json = Json::parse(plan_json(made.snapshot, made.plan));
  EXPECT_EQ(json["format"], 1);
  EXPECT_EQ(json["named"], 4711);
  EXPECT_EQ(json["root"], 4711);
  EXPECT_EQ(json["old_terminal"],
            Json({{"name", "/dev/pts/3"}, {"session", 4700}, {"foreground_group", 4711}}));
  EXPECT_EQ(json["topology"], "new-session");
  EXPECT_EQ(json["topology_why"], "");
  EXPECT_EQ(json["foreground"], true);
  EXPECT_EQ(json["modes"], "old-terminal");
  EXPECT_EQ(json["carry_type_ahead"], true);
  EXPECT_EQ(json["leave_screen"], Json::array());
  EXPECT_EQ(json["redraw"], Json::array());
  EXPECT_EQ(json["continue_after"], Json::array());
  EXPECT_EQ(json["old_shell"], Json({{"how", "told"},
                                     {"pid", 4700},
                                     {"group", 4711},
                                     {"children", {4711}},
                                     {"status", SIGINT},
                                     {"why", "the shell"}}));
  EXPECT_EQ(json["job_group"], 4711);
  EXPECT_EQ(json["follower_groups"], Json({4712}));
  EXPECT_EQ(json["status_pid"], 4711);
  EXPECT_EQ(json["warnings"], Json::array());
  EXPECT_FALSE(json.contains("error"));
}

TEST(PlanJson, HasEveryProcessInTheOrderOfThePlan) {
  const Case made = make_on_a_terminal();
  const Json processes = Json::parse(plan_json(made.snapshot, made.plan))["processes"];
  ASSERT_EQ(processes.size(), 4U);
  EXPECT_EQ(processes[0], Json::parse(R"({
    "pid": 4712, "parent": 4711, "name": "cc1", "command": "cc1 -O2 a.c", "state": "S",
    "group": 4711, "session": 4700, "role": "follower",
    "steps": [
      {"step": "join-group", "group": 4712},
      {"step": "move-descriptors",
       "descriptors": [{"fd": 0, "close_on_exec": false, "description": 0},
                       {"fd": 1, "close_on_exec": false, "description": 0},
                       {"fd": 2, "close_on_exec": false, "description": 0},
                       {"fd": 9, "close_on_exec": true, "description": 1}],
       "epoll_watches": [{"epoll_fd": 5, "fd": 0}]},
      {"step": "drop-terminal"}],
    "note": "it has no controlling terminal: /dev/tty cannot be opened"})"));
  EXPECT_EQ(processes[1]["role"], "root");
  EXPECT_EQ(processes[1]["steps"][1], Json({{"step", "new-session"}, {"via_group", 4712}}));
  EXPECT_EQ(processes[1]["steps"][2],
            Json({{"step", "take-terminal"}, {"foreground_group", 4711}}));
  EXPECT_EQ(processes[2]["role"], "untouched");
  EXPECT_EQ(processes[2]["steps"], Json::array());
  EXPECT_EQ(processes[3]["role"], "zombie");
  EXPECT_EQ(processes[3]["state"], "Z");
}

TEST(PlanJson, IsValidWhateverTheNames) {
  Case made = make_on_a_terminal();
  made.snapshot.processes[0].stat.comm = kHostile;
  made.snapshot.processes[0].command = kHostile;
  made.snapshot.old_terminal.name = kHostile;
  made.plan.tell.why = made.plan.topology_why = made.plan.processes[1].note = kHostile;
  made.plan.warnings = {kHostile};
  const std::string text = plan_json(made.snapshot, made.plan);
  const Json json = Json::parse(text);
  EXPECT_EQ(json["processes"][1]["name"], "?]0;owned???x)");
  EXPECT_EQ(json["warnings"][0], "?]0;owned???x)");
  EXPECT_THAT(text, Not(HasSubstr("\\u001b")));
  EXPECT_THAT(text, Not(HasSubstr("\xff")));
}

TEST(PlanJson, WithoutATerminalSaysNull) {
  Case made = make_on_a_terminal();
  made.snapshot.old_terminal = {};
  EXPECT_TRUE(Json::parse(plan_json(made.snapshot, made.plan))["old_terminal"].is_null());
}

TEST(RefusalJson, HasTheTreeAndTheError) {
  const Case made = make_on_a_terminal();
  const Error error{ErrorKind::kRefused, 0, "4711 (make) has others below it", "try --tree"};
  const Json json = Json::parse(refusal_json(made.snapshot, error));
  EXPECT_EQ(json["named"], 4711);
  ASSERT_EQ(json["processes"].size(), 4U);
  EXPECT_EQ(json["processes"][0]["pid"], 4711);
  EXPECT_FALSE(json["processes"][0].contains("steps"));
  EXPECT_EQ(json["error"], Json({{"kind", "refused"},
                                 {"message", "4711 (make) has others below it"},
                                 {"hint", "try --tree"},
                                 {"exit_status", 125}}));
}

TEST(ErrorJson, NamesEveryKindWithItsExitStatus) {
  const struct {
    const char* name;
    ErrorKind kind;
    int status;
  } kinds[] = {{"system", ErrorKind::kSystem, 125},           {"gone", ErrorKind::kGone, 127},
               {"permission", ErrorKind::kPermission, 126},   {"usage", ErrorKind::kUsage, 2},
               {"unsupported", ErrorKind::kUnsupported, 125}, {"refused", ErrorKind::kRefused, 125},
               {"timeout", ErrorKind::kTimeout, 124}};
  for (const auto& expected : kinds) {
    const Json error = Json::parse(error_json({expected.kind, 0, "x", ""}))["error"];
    EXPECT_EQ(error["kind"], expected.name);
    EXPECT_EQ(error["exit_status"], expected.status);
  }
}

TEST(ErrorJson, HasTheTextOfTheErrno) {
  const Json error = Json::parse(error_json(from_errno(EPERM, "PTRACE_SEIZE of 4711 (\x1b)")));
  EXPECT_EQ(error["error"]["message"], "PTRACE_SEIZE of 4711 (?): Operation not permitted");
}

}  // namespace
}  // namespace grab::cli
