// SPDX-License-Identifier: MIT
// A relay and its viewer between real terminals and real processes.
#include "relay/relay.h"

#include <gmock/gmock.h>

#include "relay/relay_fixture.h"

namespace grab::relay::fixture {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr int kLines = 100'000;
constexpr std::string_view kLastScreen = "\x1b[H\x1b[Jlast screen";  // whatever is left out before

std::string numbered(int i) {
  std::array<char, 16> text{};
  (void)std::snprintf(text.data(), text.size(), "%08d\n", i);
  return text.data();
}

std::string numbered_stream(int lines) {
  std::string all;
  for (int i = 0; i < lines; ++i)
    all += numbered(i);
  return all;
}

// For a process of the tree: says the name of each of these signals when it comes.
void report_signals(std::string_view who, std::initializer_list<int> signos, int ready = -1) {
  sigset_t set{};
  (void)::sigemptyset(&set);
  for (const int signo : signos)
    (void)::sigaddset(&set, signo);
  (void)::sigprocmask(SIG_BLOCK, &set, nullptr);
  say(std::string(who) + " waits\n");
  if (ready >= 0)
    say("r", ready);
  for (;;) {
    int signo = 0;
    if (::sigwait(&set, &signo) != 0)
      continue;
    winsize size{};
    (void)::ioctl(0, TIOCGWINSZ, &size);
    std::string line = std::string(who) + " got " + std::to_string(signo);
    if (signo == SIGWINCH)
      line += " rows " + std::to_string(size.ws_row);
    say(line + "\n");
  }
}

std::string got(std::string_view who, int signo) {
  return std::string(who) + " got " + std::to_string(signo);
}

bool is_stopped(const Forked& process) {
  const auto stat = read_stat(process.pid());
  return stat && stat->state == 'T';
}

// ---------------------------------------------------------------- bytes

TEST(Relay, ShowsEveryByteOnceInOrderAndTheExitStatus) {
  TreeTerminal terminal;
  // A viewer that lags by less than the bound is shown everything, however busy the machine is.
  constexpr int kPieces = 25;
  static_assert(kLines / kPieces * 9 < Core::kOutputBound);
  const Forked root = terminal.root([] {
    set_raw(0);
    say("begin\n");
    for (int i = 0; i < kLines; ++i) {
      if (i % (kLines / kPieces) == 0)
        read_byte(0);
      say(numbered(i));
    }
    return 3;
  });
  UserTerminal user;
  const MovedTree tree = terminal.tree(root);
  user.show(std::move(terminal.ptmx), tree);
  user.expect("begin\n");
  EXPECT_TRUE(user.is_raw());
  std::string shown;
  for (int piece = 1; piece <= kPieces && !HasFailure(); ++piece) {
    user.type("x");
    shown += user.expect(numbered(piece * (kLines / kPieces) - 1));
  }
  EXPECT_TRUE(shown == numbered_stream(kLines));
  const Outcome outcome = user.wait_end();
  EXPECT_TRUE(outcome.ok) << outcome.error.data();
  ASSERT_TRUE(outcome.has_status);
  EXPECT_EQ(WEXITSTATUS(outcome.status), 3);
  EXPECT_FALSE(user.is_raw());
}

TEST(Relay, AViewerThatDoesNotReadDelaysNobodyAndIsShownTheScreenLater) {
  TreeTerminal terminal;
  Pipe progress;
  const Forked root = terminal.root(
      [&] {
        set_raw(0);
        read_byte(0);
        for (int i = 0; i < kLines; ++i)
          say(numbered(i));
        say(kLastScreen);
        say("e", progress.write.get());
        read_byte(0);
        return 0;
      },
      {progress.write.get()});
  UserTerminal user;
  const MovedTree tree = terminal.tree(root);
  user.show(std::move(terminal.ptmx), tree);
  user.type("x");
  EXPECT_EQ(read_byte(progress.read.get()), 'e') << "900 kB, with nobody reading";
  const std::string shown = user.expect("last screen");
  EXPECT_LT(shown.size(), numbered_stream(kLines).size() / 2)
      << "what nobody could read is left out";
  user.type("x");
  EXPECT_TRUE(user.wait_end().ok);
}

/// Reads until something has come, and then nothing more for 20 ms.
void wait_still(int fd) {
  pollfd more{fd, POLLIN, 0};
  do {
    read_byte(fd);
  } while (::poll(&more, 1, 20) == 1);
}

/// Whether everything is shown by a relay that is stopped when nothing more goes into the user's
/// terminal, and that terminal is read all the time from then on.
bool shows_all_though_it_is_stopped() {
  TreeTerminal terminal;
  Pipe progress;
  const Forked root = terminal.root(
      [&] {
        set_raw(0);
        read_byte(0);
        for (int i = 0; i < kLines; ++i) {
          say(numbered(i));
          if (i % 100 == 0)
            say(".", progress.write.get());
        }
        say(kLastScreen);
        return 0;
      },
      {progress.write.get()});
  UserTerminal user;
  const MovedTree tree = terminal.tree(root);
  user.show(std::move(terminal.ptmx), tree);
  const pid_t server = user.server_pid();
  EXPECT_GT(server, 0);
  if (server <= 0)
    return false;
  user.type("x");
  wait_still(progress.read.get());
  EXPECT_EQ(::kill(server, SIGSTOP), 0);
  // No wait for something: it is kept from running for longer than it has patience.
  constexpr auto kStop = 2 * Core::kSlowRounds * Core::kSlowRound;
  (void)::poll(nullptr, 0, static_cast<int>(kStop.count()));
  std::string shown = user.expect(numbered(1000));  // so that there is room
  EXPECT_EQ(::kill(server, SIGCONT), 0);
  shown += user.expect("last screen");
  EXPECT_TRUE(user.wait_end().ok);
  return shown == numbered_stream(kLines) + std::string(kLastScreen);
}

// On a busy machine the reader here can be kept from running, too, and then it is slow: such an
// attempt says nothing. A relay that took the time of its own stop for the reader's would leave
// bytes out in every one.
TEST(Relay, LeavesNothingOutForAViewerThatReadsWhileItWasItselfKeptFromRunning) {
  constexpr int kAttempts = 10;
  bool all = false;
  for (int i = 0; i < kAttempts && !all && !HasFailure(); ++i)
    all = shows_all_though_it_is_stopped();
  EXPECT_TRUE(all);
}

TEST(Relay, TakesAControlCharacterByTheModesOfThatMoment) {
  TreeTerminal terminal;
  const Forked root = terminal.root([] {
    set_raw(0);
    say("ready\n");
    for (bool signals = true;; signals = !signals) {
      const char byte = read_byte(0);
      if (byte == 'q')
        return 0;
      termios modes{};
      (void)::tcgetattr(0, &modes);
      modes.c_lflag = signals ? modes.c_lflag | ISIG : modes.c_lflag & ~tcflag_t{ISIG};
      (void)::tcsetattr(0, TCSANOW, &modes);
      say(byte == '\x1a' ? "susp\n" : "key\n");
    }
  });
  UserTerminal user;
  const MovedTree tree = terminal.tree(root);
  user.show(std::move(terminal.ptmx), tree);
  user.expect("ready\n");
  for (int i = 0; i < 50 && !HasFailure(); ++i) {
    user.type("a");  // looked at while ISIG is off, which it then is no more
    user.expect("key\n");
    user.type("a");
    user.expect("key\n");
    user.type("\x1a");
    user.expect("susp\n");
    user.type("a");
    user.expect("key\n");
  }
  user.type("q");
  EXPECT_TRUE(user.wait_end().ok);
}

TEST(Relay, PassesOnEveryTypedByteToAProgramThatReadsSlowly) {
  constexpr int kTyped = 30'000;
  TreeTerminal terminal;
  const Forked root = terminal.root([] {
    set_raw(0);
    say("ready to read\n");
    const std::string expected = numbered_stream(kTyped);
    std::string all;
    std::array<char, 100> part{};  // far less than what comes at once
    while (all.size() < expected.size()) {
      const ssize_t n = ::read(0, part.data(), part.size());
      if (n <= 0)
        return 1;
      all.append(part.data(), static_cast<std::size_t>(n));
    }
    say(all == expected ? "all there\n" : "something else\n");
    return 0;
  });
  UserTerminal user;
  const MovedTree tree = terminal.tree(root);
  user.show(std::move(terminal.ptmx), tree);
  user.expect("ready to read\n");
  user.type(numbered_stream(kTyped));
  EXPECT_EQ(user.expect("\n"), "all there\n");
  EXPECT_TRUE(user.wait_end().ok);
}

// ---------------------------------------------------------------- its viewer ends

TEST(Relay, EndsWithASentenceWhenTheUsersTerminalIsHungUp) {
  TreeTerminal terminal;
  const Forked root = terminal.root([] {
    (void)::signal(SIGHUP, SIG_IGN);
    for (;;)
      (void)::pause();
    return 0;
  });
  UserTerminal user;
  const MovedTree tree = terminal.tree(root);
  user.show(std::move(terminal.ptmx), tree);
  user.hang_up();
  const Outcome outcome = user.wait_end();
  EXPECT_FALSE(outcome.ok);
  EXPECT_THAT(outcome.error.data(), AnyOf(HasSubstr("its terminal has gone"), HasSubstr("SIGHUP")));
}

TEST(Relay, RestoresTheModesAndTheScreenOnSigterm) {
  TreeTerminal terminal;
  const Forked root = terminal.root([] {
    say("\x1b[?1049h\x1b[?25l\x1b[?2004hdrawn");
    for (;;)
      (void)::pause();
    return 0;
  });
  UserTerminal user;
  const MovedTree tree = terminal.tree(root);
  user.show(std::move(terminal.ptmx), tree);
  user.expect("drawn");
  EXPECT_TRUE(user.is_raw());
  ASSERT_EQ(::kill(user.relay_pid(), SIGTERM), 0);
  const std::string rest = user.expect("\x1b[?1049l");
  EXPECT_THAT(rest, HasSubstr("\x1b[?25h"));
  EXPECT_THAT(rest, HasSubstr("\x1b[?2004l"));
  const Outcome outcome = user.wait_end();
  EXPECT_FALSE(outcome.ok);
  EXPECT_THAT(outcome.error.data(), HasSubstr("SIGTERM"));
  EXPECT_FALSE(user.is_raw());
}

// ---------------------------------------------------------------- signals

TEST(Relay, InterruptReachesTheFollowersToo) {
  TreeTerminal terminal;
  const Forked root = terminal.root([] {
    report_signals("root", {SIGINT, SIGQUIT});
    return 0;
  });
  const Forked follower = terminal.follower([] {
    report_signals("follower", {SIGINT, SIGQUIT});
    return 0;
  });
  UserTerminal user;
  const MovedTree tree = terminal.tree(root, {&follower});
  user.show(std::move(terminal.ptmx), tree);
  std::string seen;
  const auto until = [&](std::initializer_list<std::string> texts) {
    for (const std::string& text : texts)
      while (seen.find(text) == std::string::npos && !::testing::Test::HasFailure())
        seen += user.expect("\n");
    seen.clear();
  };
  until({"root waits", "follower waits"});
  user.type("\x03");
  until({got("root", SIGINT), got("follower", SIGINT)});
  user.type("\x1c");
  until({got("root", SIGQUIT), got("follower", SIGQUIT)});
}

TEST(Relay, SignalsTheWholeJobWhereNoSessionHasThePts) {
  TreeTerminal terminal;
  const Forked root = terminal.follower([] {  // keep-session: no controlling terminal
    report_signals("root", {SIGINT, SIGWINCH});
    return 0;
  });
  UserTerminal user;
  MovedTree tree = terminal.tree(root);
  tree.kernel_signals_job = false;
  user.show(std::move(terminal.ptmx), tree);
  user.expect("root waits\r\n");
  user.type("\x03");
  user.expect(got("root", SIGINT));
  user.resize({30, 90, 0, 0});
  user.expect(got("root", SIGWINCH) + " rows 30");
}

TEST(Relay, WindowSizeReachesRootAndFollowers) {
  TreeTerminal terminal;
  const auto report = [](std::string_view who) {
    report_signals(who, {SIGWINCH});
    return 0;
  };
  const Forked root = terminal.root([&] { return report("root"); });
  const Forked follower = terminal.follower([&] { return report("follower"); });
  UserTerminal user;
  const MovedTree tree = terminal.tree(root, {&follower});
  user.show(std::move(terminal.ptmx), tree);
  std::string seen;
  const auto have = [&](std::string_view text) { return seen.find(text) != std::string::npos; };
  while (!(have("root waits") && have("follower waits")) && !HasFailure())
    seen += user.expect("\n");
  user.resize({31, 91, 0, 0});
  while (
      !(have(got("root", SIGWINCH) + " rows 31") && have(got("follower", SIGWINCH) + " rows 31")) &&
      !HasFailure())
    seen += user.expect("\n");
}

TEST(Relay, RedrawChangesTheSizeAndChangesItBackOnceItWasSeen) {
  TreeTerminal terminal;
  Pipe ready;
  const auto report = [&](std::string_view who) {
    report_signals(who, {SIGWINCH}, ready.write.get());
    return 0;
  };
  const Forked root = terminal.root([&] { return report("root"); }, {ready.write.get()});
  // Outside the foreground group and no follower of the job: the relay has to reach it by itself.
  const Forked pager = terminal.follower([&] { return report("pager"); }, {ready.write.get()});
  read_byte(ready.read.get());
  read_byte(ready.read.get());
  UserTerminal user;
  MovedTree tree = terminal.tree(root);
  tree.processes.push_back(pager.ref());
  tree.redraw_pids = {root.pid(), pager.pid()};
  user.show(std::move(terminal.ptmx), tree);
  std::string seen;
  const auto order = [&](std::string_view who) {
    const std::size_t small = seen.find(got(who, SIGWINCH) + " rows 23");
    const std::size_t back = seen.find(got(who, SIGWINCH) + " rows 24");
    return small != std::string::npos && back != std::string::npos && small < back;
  };
  while (!(order("root") && order("pager")) && !HasFailure())
    seen += user.expect("\n");
}

// ---------------------------------------------------------------- stopping

TEST(Relay, StopKeyStopsTheTreeAndUsAndFgGoesOn) {
  TreeTerminal terminal;
  const Forked root = terminal.root([] {
    say("\x1b[?1049h\x1b[?1hscreen\n");
    report_signals("root", {SIGCONT, SIGWINCH});
    return 0;
  });
  const Forked follower = terminal.follower([] {
    report_signals("follower", {SIGCONT});
    return 0;
  });
  UserTerminal user;
  const MovedTree tree = terminal.tree(root, {&follower});
  user.show(std::move(terminal.ptmx), tree);
  std::string seen;
  const auto have = [&](std::string_view text) { return seen.find(text) != std::string::npos; };
  while (!(have("root waits") && have("follower waits")) && !HasFailure())
    seen += user.expect("\n");
  user.type("\x1a");
  user.wait_stopped();
  EXPECT_TRUE(eventually([&] { return is_stopped(root) && is_stopped(follower); }));
  EXPECT_FALSE(user.is_raw());
  user.expect("\x1b[?1l\x1b[?1049l");
  user.fg();
  user.expect("\x1b[?1049h");
  seen.clear();
  while (!(have("\x1b[?1h") && have(got("root", SIGCONT)) && have(got("follower", SIGCONT)) &&
           have("rows 23") && have("rows 24")) &&
         !HasFailure())
    seen += user.expect("\n");
  EXPECT_TRUE(user.is_raw());
}

TEST(Relay, StaysStoppedInTheBackgroundUntilFg) {
  TreeTerminal terminal;
  const Forked root = terminal.root([] {
    report_signals("root", {SIGCONT});
    return 0;
  });
  UserTerminal user;
  const MovedTree tree = terminal.tree(root);
  user.show(std::move(terminal.ptmx), tree);
  user.expect("root waits\r\n");
  user.type("\x1a");
  user.wait_stopped();
  user.bg();
  user.wait_stopped();
  EXPECT_FALSE(user.is_raw());
  EXPECT_TRUE(eventually([&] { return is_stopped(root); }));
  user.fg();
  user.expect(got("root", SIGCONT));
  EXPECT_TRUE(user.is_raw());
}

TEST(Relay, StopKeyGoesToARootThatIgnoresIt) {
  TreeTerminal terminal;
  const Forked root = terminal.root([] {
    (void)::signal(SIGTSTP, SIG_IGN);
    say("ignoring\n");
    read_byte(0);
    say("read on\n");
    return 0;
  });
  UserTerminal user;
  const MovedTree tree = terminal.tree(root);
  user.show(std::move(terminal.ptmx), tree);
  user.expect("ignoring\r\n");
  user.type("\x1ax\n");
  user.expect("read on\r\n");
  EXPECT_TRUE(user.wait_end().ok);
}

TEST(Relay, GoesOnWhereNothingWouldContinueIt) {
  TreeTerminal terminal;
  const Forked root = terminal.root([] {
    report_signals("root", {SIGCONT});
    return 0;
  });
  UserTerminal user;
  const MovedTree tree = terminal.tree(root);
  user.show(std::move(terminal.ptmx), tree, /*orphaned=*/true);
  user.expect("root waits\r\n");
  user.type("\x1a");
  user.expect("cannot stop here");
  user.expect(got("root", SIGCONT));
  EXPECT_TRUE(user.is_raw());
}

TEST(Relay, TakesTheModesAgainWhenStoppedAndContinuedFromOutside) {
  TreeTerminal terminal;
  const Forked root = terminal.root([] {
    say("running\n");
    for (;;)
      (void)::pause();
    return 0;
  });
  UserTerminal user;
  const MovedTree tree = terminal.tree(root);
  user.show(std::move(terminal.ptmx), tree);
  user.expect("running\r\n");
  ASSERT_EQ(::kill(user.relay_pid(), SIGSTOP), 0);
  user.wait_stopped();
  user.set_cooked();
  EXPECT_FALSE(user.is_raw());
  user.fg();
  EXPECT_TRUE(eventually([&] { return user.is_raw(); }));
  ASSERT_EQ(::kill(user.relay_pid(), SIGTERM), 0);
  EXPECT_FALSE(user.wait_end().ok);
  EXPECT_FALSE(user.is_raw());
}

}  // namespace
}  // namespace grab::relay::fixture
