// SPDX-License-Identifier: MIT
// The relay's core with viewers that come and go, in random order and however little each takes at
// a time. A viewer that keeps up gets every byte; one that was cut off shows what the tree shows;
// what is typed is passed on once and in order, or comes back where it was typed behind the detach
// key; the size is that of the viewer that typed last; nobody is held up beyond a deadline; the
// tree is never stopped with nobody to continue it; every viewer is told once how its showing
// ended.
#include <rapidcheck.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "relay/core.h"

namespace grab::relay {
namespace {

constexpr pid_t kJob = 100, kFollowers = 200;
constexpr std::size_t kAll = std::size_t{1} << 40;
constexpr WindowSize kSize{6, 20, 0, 0}, kSmall{4, 10, 0, 0};
constexpr int kMaxViewers = 9;
constexpr int kSent = 0x80 + kMaxViewers * 10;  // a byte for what nobody here has typed
constexpr unsigned char kDetachKey = 0x1d;
const std::vector<std::string> kQueries = {"\x1b[c", "\x1b[6n"};

// Takes `parts` out of `text`; how many there were.
std::size_t strip(std::string& text, const std::vector<std::string>& parts) {
  std::size_t count = 0;
  for (const std::string& part : parts) {
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++count)
      text.erase(at, part.size());
  }
  return count;
}

struct Terminal {
  explicit Terminal(WindowSize terminal_size) : screen(terminal_size), size(terminal_size) {}
  void feed(std::string_view bytes) {
    screen.feed(bytes);
    modes.follow(bytes);
    (void)screen.take_answers();
  }
  [[nodiscard]] std::string picture(WindowSize viewer) const {
    return screen.repaint(modes, viewer);
  }
  Screen screen;
  ScreenTracker modes;
  WindowSize size;
};

struct Viewer {
  explicit Viewer(WindowSize size) : terminal(size) {}
  enum class State { kHere, kAway, kTold, kGone } state = State::kHere;
  Terminal terminal;
  bool read_only = false;
  bool exact = false;      // it must get every byte: it never was cut off, paused ...
  bool disturbed = false;  // its picture may differ: a line of ours was put into it
  std::string sent;
  std::size_t from = 0;  // of the stream
  std::size_t room = 0;
  int typed = 0;
  DetachKey detach_key{kDetachKey};
  std::string to_pass, passed;  // of what it typed
  std::string behind;           // the detach key
  bool lossy = false;           // it went while the tree was stopped
};

class Hands {
 public:
  explicit Hands(bool first_up_to_date) : core({kJob, true, {kFollowers}, "tree"}, kSize) {
    pts.isig = pts.quotes = true;
    pts.intr = 3;
    pts.quit = 28;
    pts.susp = 26;
    pts.lnext = 22;
    pts.foreground_pgid = kJob;
    attach(false, first_up_to_date, kSize);
  }

  void attach(bool read_only, bool up_to_date, WindowSize window) {
    if (next_ >= kMaxViewers)
      return;
    ++next_;
    ViewerOptions options;
    options.size = window;
    options.read_only = read_only;
    options.detach_key = kDetachKey;
    options.up_to_date = up_to_date && stream.empty();
    const ViewerId id = core.add_viewer(options);
    Viewer viewer(window);
    viewer.read_only = read_only;
    viewer.exact = options.up_to_date && window == kSize;
    viewer.from = stream.size();
    viewer.disturbed = reshaped || (noticed && !tree.modes.between_sequences());
    viewers.emplace(id, std::move(viewer));
    if (!read_only)
      heard_last = id;
  }
  void window_changes(ViewerId id, WindowSize window) {
    Viewer& viewer = viewers.at(id);
    if (viewer.state != Viewer::State::kHere && viewer.state != Viewer::State::kAway)
      return;
    disturb();
    reshaped = true;
    viewer.terminal.size = window;
    viewer.terminal.screen.resize(window);
    core.resized(id, window);
  }
  void send(const std::string& text) { to_pass.append(core.type(text), text.front()); }
  /// What all are shown is not what the tree writes and nothing else.
  void disturb() {
    every_query_is_seen = false;
    for (auto& [id, viewer] : viewers)
      viewer.disturbed = true, viewer.exact = false;
  }
  void write(const std::string& text) { pending += text; }
  void type(ViewerId id, const std::string& keys) {
    Viewer& viewer = viewers.at(id);
    if (viewer.state != Viewer::State::kHere || !core.wants_input(id))
      return;
    std::string bytes = keys;
    for (char& byte : bytes) {
      if (byte == 'k')
        byte = static_cast<char>(0x80 + (id - 1) * 10 + viewer.typed++ % 10);
    }
    const DetachKey::Verdict verdict = viewer.detach_key.typed(bytes);
    viewer.behind = verdict.behind;
    std::string keys_of_tree = verdict.passed;
    if (!viewer.read_only && !keys_of_tree.empty())
      heard_last = id;
    if (core.stopped() && !keys_of_tree.empty())  // one key says "go on"
      keys_of_tree.erase(0, keys_of_tree.front() == '\x1b' ? keys_of_tree.size() : 1);
    for (const char byte : keys_of_tree) {
      if (!viewer.read_only && static_cast<unsigned char>(byte) >= 0x80)
        viewer.to_pass += byte;
    }
    const auto space = core.input_space(id);
    const std::size_t n = std::min(space.size(), bytes.size());
    RC_ASSERT(n == bytes.size());
    std::memcpy(space.data(), bytes.data(), n);
    core.typed(id, n);
  }
  void gone(ViewerId id) {
    Viewer& viewer = viewers.at(id);
    if (viewer.state == Viewer::State::kGone)
      return;
    viewer.lossy = viewer.lossy || core.stopped();
    viewer.state = Viewer::State::kGone;
    viewer.exact = false;
    every_query_is_seen = false;
    core.viewer_gone(id);
  }
  void away(ViewerId id) {
    viewers.at(id).exact = false;
    every_query_is_seen = false;
  }
  void pass_slow_round() {
    for (auto& [id, viewer] : viewers) {
      if (viewer.room == 0)
        away(id);
    }
    slow_round_runs = false;
    core.slow_round();
  }
  void feed() {
    while (core.wants_output() && read < pending.size()) {
      const auto space = core.output_space();
      RC_ASSERT(!space.empty());
      const std::size_t n = std::min({space.size(), pending.size() - read, chunk});
      std::memcpy(space.data(), pending.data() + read, n);
      tree.feed({pending.data() + read, n});
      stream.append(pending, read, n);
      core.output_arrived(n);
      read += n;
    }
    if (read == pending.size()) {
      pending.clear();
      read = 0;
    }
  }
  void work() {
    for (;;) {
      feed();
      PtsState state = pts;
      if (!core.needs_pts_state())
        state.susp = state.intr = '!';  // it is not looked at
      if (!core.needs_pts_state() || !core.needs_job_state(pts))
        state.foreground_pgid = 12345, state.job_ignores_sigtstp = true;  // nor is this
      const auto action = core.next(state);
      if (!action && core.wants_output() && !pending.empty())
        continue;  // there is room again
      if (!action)
        break;
      std::visit([&](const auto& what) { perform(what); }, *action);
    }
    check();
  }
  void check() {
    const bool anybody = std::any_of(viewers.begin(), viewers.end(), [](const auto& entry) {
      return entry.second.state != Viewer::State::kGone &&
             entry.second.state != Viewer::State::kTold;
    });
    RC_ASSERT(core.stopped() == stopped);
    RC_ASSERT(anybody || !stopped);
    if (!pending.empty() && !stopped && !over)
      RC_ASSERT(slow_round_runs);  // somebody is waited for, but not for ever
    RC_ASSERT(to_pass.starts_with(passed));
    for (const auto& [id, viewer] : viewers)
      RC_ASSERT(viewer.to_pass.starts_with(viewer.passed));
  }
  void drain(ViewerId id, std::size_t n) {
    Viewer& viewer = viewers.at(id);
    if (viewer.state == Viewer::State::kGone)
      return;
    viewer.room = n;
    core.viewer_writable(id);
  }
  void flush() {
    ptmx_room = kAll;
    core.ptmx_writable();
    for (int i = 0; i < 3; ++i) {
      for (auto& [id, viewer] : viewers)
        drain(id, kAll);
      work();
      core.redraw_consumed();
      core.output_idle();
      work();
    }
    check_flushed();
    for (auto& [id, viewer] : viewers)
      viewer.room = 0;
    ptmx_room = 0;
  }
  void check_flushed() {
    const auto heard = viewers.find(heard_last);
    if (!over && heard != viewers.end() && heard->second.state == Viewer::State::kHere)
      RC_ASSERT(core.size() == heard->second.terminal.size);
    if (!over && !stopped) {
      RC_ASSERT(size == core.size());
      RC_ASSERT(passed == to_pass);
    }
    std::string all = stream;
    const std::size_t asked = strip(all, kQueries);
    std::size_t seen = answers;
    for (auto& [id, viewer] : viewers) {
      std::string sent = viewer.sent;
      seen += strip(sent, kQueries);
      if (!stopped && !viewer.lossy)
        RC_ASSERT(viewer.passed == viewer.to_pass);
      if (viewer.state != Viewer::State::kHere || viewer.disturbed || over)
        continue;
      if (!tree.modes.between_sequences())
        continue;             // it may not have been shown what has begun
      strip(sent, {"\x18"});  // where a query that is left out would have ended a sequence
      if (viewer.exact)
        RC_ASSERT(sent == all);
      Terminal expected(viewer.terminal.size);
      expected.feed(tree.picture(viewer.terminal.size));
      RC_ASSERT(viewer.terminal.screen.text() == expected.screen.text());
      if (viewer.exact)
        RC_ASSERT(viewer.terminal.modes.undo() == tree.modes.undo());
    }
    RC_ASSERT(seen <= asked);
    if (every_query_is_seen && !stopped && !over && tree.modes.between_sequences())
      RC_ASSERT(seen == asked);
  }
  void end() {
    over = true;
    stopped = false;
    core.output_ended();
    work();
    for (int i = 0; i < 30 * Core::kSlowRounds && !was_told_the_end; ++i) {
      RC_ASSERT(slow_round_runs);
      core.slow_round();
      slow_round_runs = false;
      work();
    }
    RC_ASSERT(was_told_the_end);
    for (const auto& [id, viewer] : viewers)
      RC_ASSERT(viewer.state == Viewer::State::kTold || viewer.state == Viewer::State::kGone);
  }

  Core core;
  PtsState pts;
  std::map<ViewerId, Viewer> viewers;
  Terminal tree{kSize};
  WindowSize size = kSize;      // of the pts
  ViewerId heard_last = 0;      // whose size counts
  std::string to_pass, passed;  // of what was sent
  std::string pending, stream;
  std::size_t read = 0, chunk = 4095, ptmx_room = 0, answers = 0;
  bool stopped = false, over = false, was_told_the_end = false, slow_round_runs = false;
  bool every_query_is_seen = true;
  bool noticed = false;   // a line of ours may wait until a sequence has ended
  bool reshaped = false;  // rows were lost or won that a viewer may have been shown before or after

 private:
  Viewer& here(ViewerId id) {
    Viewer& viewer = viewers.at(id);
    RC_ASSERT(viewer.state == Viewer::State::kHere);
    return viewer;
  }
  void perform(const action::WriteViewer& write) {
    Viewer& viewer = here(write.viewer);
    RC_ASSERT(!write.bytes.empty());
    RC_ASSERT(!core.viewer_is_blocked(write.viewer));
    const std::size_t n = std::min(viewer.room, write.bytes.size());
    viewer.room -= n;
    if (n == 0) {
      core.viewer_blocked(write.viewer);
      return;
    }
    const std::string_view bytes = write.bytes.substr(0, n);
    viewer.sent += bytes;
    viewer.terminal.feed(bytes);
    core.viewer_took(write.viewer, n);
  }
  void perform(const action::WritePtmx& write) {
    RC_ASSERT(!write.bytes.empty());
    const std::size_t n = std::min(ptmx_room, write.bytes.size());
    ptmx_room -= n;
    if (n == 0) {
      core.ptmx_blocked();
      return;
    }
    for (const char byte : write.bytes.substr(0, n)) {
      if (byte == 'c' || byte == 'R')  // the last byte of an answer, and of no key
        ++answers;
      else if (static_cast<unsigned char>(byte) >= kSent)
        passed += byte;
      else if (static_cast<unsigned char>(byte) >= 0x80)
        viewers.at((static_cast<unsigned char>(byte) - 0x80) / 10 + 1).passed += byte;
    }
    core.ptmx_took(n);
  }
  void perform(const action::SignalGroup& signal) {
    if (signal.pgid == kJob && signal.signo == SIGSTOP) {
      RC_ASSERT(!stopped);
      stopped = true;
      for (auto& [id, viewer] : viewers)
        viewer.disturbed = true, viewer.exact = false;
      every_query_is_seen = false;
    } else if (signal.pgid == kJob && signal.signo == SIGCONT) {
      RC_ASSERT(stopped);
      stopped = false;
    }
  }
  // No shell inside the tree gives the front to another job.
  void perform(const action::SignalFront&) { RC_FAIL("nobody else is in front"); }
  void perform(const action::SetWindowSize& change) {
    RC_ASSERT(size != change.size);  // the kernel would send no SIGWINCH
    size = change.size;
    tree.screen.resize(size);
    for (auto& [id, viewer] : viewers)
      viewer.disturbed = true;
  }
  void perform(const action::AwaitRedraw&) {}
  void perform(const action::SuspendViewer& it) {
    here(it.viewer).state = Viewer::State::kAway;
    RC_ASSERT(viewers.at(it.viewer).terminal.modes.undo().empty());
  }
  void perform(const action::ViewerPaused& it) {
    Viewer& viewer = viewers.at(it.viewer);
    RC_ASSERT(viewer.state == Viewer::State::kHere || viewer.state == Viewer::State::kAway);
    viewer.state = Viewer::State::kAway;
    RC_ASSERT(viewer.terminal.modes.undo().empty());
  }
  void told(ViewerId id) {
    Viewer& viewer = viewers.at(id);
    RC_ASSERT(viewer.state == Viewer::State::kHere || viewer.state == Viewer::State::kAway);
    viewer.state = Viewer::State::kTold;
    if (core.parting(id).empty())
      RC_ASSERT(viewer.terminal.modes.undo().empty());
  }
  void perform(const action::DetachViewer& it) {
    RC_ASSERT(core.typed_behind(it.viewer) == viewers.at(it.viewer).behind);
    away(it.viewer);
    told(it.viewer);
  }
  void perform(const action::EndViewer& it) {
    RC_ASSERT(over);
    told(it.viewer);
  }
  void perform(const action::Ended&) {
    RC_ASSERT(over && !was_told_the_end);
    was_told_the_end = true;
  }
  void perform(const action::AwaitDetach&) {}
  void perform(const action::AwaitSlow&) {
    RC_ASSERT(!slow_round_runs);
    slow_round_runs = true;
  }

  int next_ = 0;
};

enum class Do {
  kWrite,
  kFlood,
  kDrain,
  kDrainPtmx,
  kType,
  kSend,
  kAttach,
  kWindow,
  kRedraw,
  kRedrawn,
  kNotice,
  kGone,
  kDetach,
  kDetachDeadline,
  kPause,
  kResume,
  kSlowDeadline,
  kIdle,
  kFlush,
};

struct Op {
  Do what = Do::kWrite;
  int viewer = 0, n = 0;
  std::string text;
};

void showValue(const Op& op, std::ostream& out) {
  out << "{" << static_cast<int>(op.what) << ", viewer " << op.viewer << ", " << op.n << ", ";
  rc::show(op.text, out);
  out << "}";
}

const std::vector<std::string> kFragments = {
    "text",        "\r\n",        "\x1b[31m",    "\x1b[m",        "\x1b[2J\x1b[H", "\x1b[3;4H",
    "\x1b[?25l",   "\x1b[?25h",   "\x1b[?2004h", "\x1b]0;tl\x07", "\xe2\x82\xac",  "\xe6\xbc\xa2",
    "\x1b[?1049h", "\x1b[?1049l", "\x1b[c",      "\x1b[6n",       "\x1b[",         "K"};
const std::vector<std::string> kKeys = {"k",        "kkk",         "k\x1a",    "\x1d",
                                        "\x1d\x1d", "k\x1b[93;5u", "\x1b[93;", "5u",
                                        "kkkkkkk",  "\x1b[93;5:1u"};

rc::Gen<Op> any_op() {
  return rc::gen::map(
      rc::gen::tuple(rc::gen::weightedElement<Do>({{8, Do::kWrite},
                                                   {2, Do::kFlood},
                                                   {6, Do::kDrain},
                                                   {3, Do::kDrainPtmx},
                                                   {4, Do::kType},
                                                   {1, Do::kSend},
                                                   {2, Do::kAttach},
                                                   {1, Do::kWindow},
                                                   {1, Do::kRedraw},
                                                   {1, Do::kRedrawn},
                                                   {1, Do::kNotice},
                                                   {1, Do::kGone},
                                                   {1, Do::kDetach},
                                                   {1, Do::kDetachDeadline},
                                                   {1, Do::kPause},
                                                   {2, Do::kResume},
                                                   {3, Do::kSlowDeadline},
                                                   {3, Do::kIdle},
                                                   {2, Do::kFlush}}),
                     rc::gen::inRange(0, kMaxViewers), rc::gen::inRange(1, 5000),
                     rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(kFragments)),
                     rc::gen::elementOf(kKeys)),
      [](const auto& parts) {
        Op op;
        op.what = std::get<0>(parts);
        op.viewer = std::get<1>(parts);
        op.n = std::get<2>(parts);
        for (const std::string& fragment : std::get<3>(parts))
          op.text += fragment;
        if (op.what == Do::kType)
          op.text = std::get<4>(parts);
        return op;
      });
}

void perform(Hands& hands, const Op& op) {
  auto it = hands.viewers.begin();
  std::advance(it, op.viewer % static_cast<int>(hands.viewers.size()));
  const ViewerId id = it->first;
  Viewer& viewer = it->second;
  switch (op.what) {
    case Do::kWrite:
      hands.chunk = static_cast<std::size_t>(op.n);
      hands.write(op.text);
      break;
    case Do::kFlood:
      hands.pending += 'K';  // so that the numbers are no parameters
      for (int i = 0; i < op.n * 4; ++i)
        hands.pending += std::to_string(i) + "\r\n";
      break;
    case Do::kDrain:
      hands.drain(id, static_cast<std::size_t>(op.n));
      break;
    case Do::kDrainPtmx:
      hands.ptmx_room = static_cast<std::size_t>(op.n);
      hands.core.ptmx_writable();
      break;
    case Do::kType:
      hands.type(id, op.text);
      break;
    case Do::kAttach:
      hands.attach(op.n % 3 == 0, op.n % 2 == 0, op.n % 6 == 0 ? kSmall : kSize);
      break;
    case Do::kSend:
      hands.send(std::string(static_cast<std::size_t>(op.n), static_cast<char>(kSent + op.n % 10)));
      break;
    case Do::kWindow:
      hands.window_changes(id, op.n % 2 == 0 ? kSmall : kSize);
      break;
    case Do::kRedraw:
      hands.disturb();
      hands.reshaped = true;
      hands.core.redraw({kJob});
      break;
    case Do::kRedrawn:
      hands.core.redraw_consumed();
      break;
    case Do::kNotice:
      hands.disturb();
      hands.noticed = true;
      hands.core.notice("a line");
      break;
    case Do::kGone:
      hands.gone(id);
      break;
    case Do::kDetach:
      if (viewer.state != Viewer::State::kGone)
        hands.core.detach(id, DetachReason::kAsked);
      hands.away(id);
      break;
    case Do::kDetachDeadline:
      hands.core.detach_deadline(id);
      if (const auto verdict = viewer.detach_key.deadline(); verdict.detaches)
        viewer.behind = verdict.behind;
      hands.away(id);
      break;
    case Do::kPause:
      hands.away(id);
      if (viewer.state != Viewer::State::kGone)
        hands.core.pause(id);
      break;
    case Do::kResume:
      if (viewer.state == Viewer::State::kAway) {
        viewer.state = Viewer::State::kHere;
        if (!viewer.read_only)
          hands.heard_last = id;
        hands.core.viewer_resumed(id, viewer.terminal.size, {});
      }
      break;
    case Do::kSlowDeadline:
      hands.pass_slow_round();
      break;
    case Do::kIdle:
      hands.core.output_idle();
      break;
    case Do::kFlush:
      hands.flush();
      break;
  }
  hands.work();
}

RC_GTEST_PROP(RelayCore, ServesViewersThatComeAndGoInAnyOrder, ()) {
  Hands hands(*rc::gen::arbitrary<bool>());
  hands.work();
  for (const Op& op : *rc::gen::container<std::vector<Op>>(any_op()))
    perform(hands, op);
  if (*rc::gen::arbitrary<bool>())
    hands.flush();
  hands.end();
}

/// However slow: two deadlines after the last byte was taken the tree writes on.
RC_GTEST_PROP(RelayCore, NobodyIsHeldUpBeyondADeadline, ()) {
  Hands hands(true);
  const int others = *rc::gen::inRange(0, 4);
  for (int i = 0; i < others; ++i)
    hands.attach(*rc::gen::arbitrary<bool>(), true,
                 *rc::gen::elementOf(std::vector{kSize, kSmall}));
  for (auto& [id, viewer] : hands.viewers)
    hands.drain(id, *rc::gen::inRange<std::size_t>(0, Core::kOutputBound));
  hands.write(std::string(4 * Core::kOutputBound, 'x'));
  hands.work();
  for (int i = 0; i < 2 * Core::kSlowRounds && hands.slow_round_runs; ++i) {
    hands.pass_slow_round();
    hands.work();
  }
  RC_ASSERT(hands.pending.empty());
}

}  // namespace
}  // namespace grab::relay
