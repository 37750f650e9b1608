// SPDX-License-Identifier: MIT
// The relay's core as a state machine: whatever arrives, is typed, drained, resized, stopped or
// hung up, in whatever order and however little each side takes at a time, every byte is passed on
// exactly once and in order, nothing is done while stopped, no bound is passed, and the signals are
// those that a simple model says.
#include <rapidcheck.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <rapidcheck/state.h>

#include "relay/core.h"

namespace grab::relay {
namespace {

constexpr pid_t kJob = 100, kFollowers = 200, kInner = 300;
constexpr std::size_t kAll = std::size_t{1} << 40;
constexpr char kIntr = '\x03', kQuit = '\x1c', kSusp = '\x1a', kLnext = '\x16';

struct Signal {
  pid_t pgid = 0;
  int signo = 0;
  bool operator==(const Signal&) const = default;
};

/// What ought to happen. It knows nothing of buffers, actions or phases.
struct Model {
  bool kernel_signals_job = true;
  bool attached = true;
  bool stopped = false;  // the tree: nothing moves before it is continued
  bool isig = true, quotes = true, job_foreground = true, job_ignores_sigtstp = false;
  bool quoted = false;
  int rows = 24;
  std::size_t arrived = 0;      // bytes of output, since the viewer came
  std::string typed;            // what waits while the tree is stopped
  std::string passed;           // all that the pts must get
  std::vector<Signal> signals;  // all that must be sent, but for SIGWINCH

  [[nodiscard]] bool in_foreground() const { return !kernel_signals_job || job_foreground; }
  void signal(int signo, bool job_too) {
    if (job_too)
      signals.push_back({kJob, signo});
    signals.push_back({kFollowers, signo});
  }
  void type(const std::string& text) {
    typed += text;
    while (!typed.empty() && !stopped) {
      const char byte = typed.front();
      typed.erase(0, 1);
      pass(byte);
    }
  }
  void pass(char byte) {
    const bool plain = std::exchange(quoted, false) && quotes;
    const bool special = !plain && isig && (byte == kIntr || byte == kQuit || byte == kSusp);
    if (special && byte == kSusp && in_foreground() && !job_ignores_sigtstp) {
      stopped = true;
      signal(SIGSTOP, true);
      return;
    }
    passed += byte;
    if (special && byte != kSusp && in_foreground())
      signal(byte == kIntr ? SIGINT : SIGQUIT, !kernel_signals_job);
    quoted = !plain && !special && quotes && byte == kLnext;
  }
  void resume() {
    stopped = false;
    signal(SIGCONT, true);
    type("");
  }
};

/// The core, a program that writes, a keyboard, and hands that take a little at a time.
struct Hands {
  explicit Hands(const Model& model)
      : core({kJob, model.kernel_signals_job, {kFollowers}}, {24, 80, 0, 0}),
        viewer(core.add_viewer()),
        kernel_signals_job(model.kernel_signals_job) {}

  Core core;
  ViewerId viewer;
  bool kernel_signals_job;
  bool attached = true, suspended = false;
  PtsState pts = usual_pts();
  int rows = 24;

  std::string written;  // by the program since the viewer came
  std::size_t read = 0, shown = 0;
  std::string keyboard;  // typed and not read yet
  std::string passed;
  std::vector<Signal> signals, winch, winch_due;
  std::size_t viewer_room = 0, ptmx_room = 0;  // before they block

  static PtsState usual_pts() {
    PtsState state;
    state.isig = state.quotes = true;
    state.intr = kIntr;
    state.quit = kQuit;
    state.susp = kSusp;
    state.lnext = kLnext;
    state.foreground_pgid = kJob;
    return state;
  }
  void feed() {
    RC_ASSERT(!(suspended && core.wants_output()));
    while (core.wants_output() && read < written.size()) {
      const auto space = core.output_space();
      RC_ASSERT(!space.empty());
      const std::size_t n = std::min(space.size(), written.size() - read);
      std::memcpy(space.data(), written.data() + read, n);
      core.output_arrived(n);
      read += n;
    }
    while (attached && core.wants_input(viewer) && !keyboard.empty()) {
      const auto space = core.input_space(viewer);
      RC_ASSERT(!space.empty());
      const std::size_t n = std::min(space.size(), keyboard.size());
      std::memcpy(space.data(), keyboard.data(), n);
      core.typed(viewer, n);
      keyboard.erase(0, n);
    }
  }
  void work() {
    for (;;) {
      feed();
      // Where it says that it does not look at the pts, it gets to see nonsense.
      PtsState state = pts;
      if (!core.needs_pts_state()) {
        state = {};
        state.foreground_pgid = 12345;
      }
      const auto action = core.next(state);
      if (!action)
        return;
      std::visit([&](const auto& what) { perform(what); }, *action);
    }
  }
  void perform(const action::WriteViewer& write) {
    RC_ASSERT(attached);
    RC_ASSERT(!suspended);
    RC_ASSERT(!core.viewer_is_blocked(viewer));
    RC_ASSERT(!write.bytes.empty());
    const std::size_t n = std::min(viewer_room, write.bytes.size());
    viewer_room -= n;
    if (n == 0) {
      core.viewer_blocked(viewer);
      return;
    }
    RC_ASSERT(shown + n <= written.size());
    RC_ASSERT(write.bytes.substr(0, n) == std::string_view(written).substr(shown, n));
    shown += n;
    core.viewer_took(viewer, n);
  }
  void perform(const action::WritePtmx& write) {
    RC_ASSERT(!suspended);
    RC_ASSERT(!core.ptmx_is_blocked());
    RC_ASSERT(!write.bytes.empty());
    const std::size_t n = std::min(ptmx_room, write.bytes.size());
    ptmx_room -= n;
    if (n == 0) {
      core.ptmx_blocked();
      return;
    }
    passed += write.bytes.substr(0, n);
    core.ptmx_took(n);
  }
  void perform(const action::SignalGroup& signal) {
    (signal.signo == SIGWINCH ? winch : signals).push_back({signal.pgid, signal.signo});
  }
  void perform(const action::SetWindowSize& size) {
    RC_ASSERT(size.size.rows != rows);  // the kernel would send no signal
    rows = size.size.rows;
    if (!kernel_signals_job)
      winch_due.push_back({kJob, SIGWINCH});
    if (!kernel_signals_job || pts.foreground_pgid == kJob)
      winch_due.push_back({kFollowers, SIGWINCH});
  }
  void perform(const action::AwaitRedraw&) { RC_ASSERT(core.awaits_redraw()); }
  void perform(const action::Suspend&) {
    RC_ASSERT(!suspended);
    suspended = true;
  }
  void perform(const action::Ended&) { RC_FAIL("nothing has ended"); }

  void take_typed(std::size_t n) {
    ptmx_room = n;
    core.ptmx_writable();
    work();
  }
  void take_output(std::size_t n) {
    viewer_room = n;
    if (attached)
      core.viewer_writable(viewer);
    work();
  }
  void flush() {
    take_output(kAll);
    take_typed(kAll);
    viewer_room = ptmx_room = 0;
  }
};

using Command = rc::state::Command<Model, Hands>;

/// True at every moment. The model is ahead by what is still in buffers.
void check(const Model& after, const Hands& hands) {
  const auto begins = [](const auto& all, const auto& part) {
    return part.size() <= all.size() && std::equal(part.begin(), part.end(), all.begin());
  };
  RC_ASSERT(begins(after.passed, hands.passed));
  RC_ASSERT(begins(after.signals, hands.signals));
  RC_ASSERT(hands.winch == hands.winch_due);
  RC_ASSERT(hands.written.size() == after.arrived);
  RC_ASSERT(!hands.suspended || after.stopped);
  const std::size_t kept = hands.read - hands.shown;
  if (hands.attached)
    RC_ASSERT(kept <= Core::kOutputBound);
  if (!after.stopped && kept < Core::kOutputBound)
    RC_ASSERT(hands.read == hands.written.size());  // short of the bound nobody waits
}

/// True when both sides have taken all that they were offered.
void check_flushed(const Model& after, Hands& hands) {
  hands.flush();
  hands.core.redraw_consumed();
  hands.work();
  check(after, hands);
  RC_ASSERT(hands.signals == after.signals);
  RC_ASSERT(hands.suspended == after.stopped);
  RC_ASSERT(hands.passed == after.passed);
  RC_ASSERT(!hands.attached || hands.shown == hands.read);
  RC_ASSERT(after.stopped || hands.read == hands.written.size());
  RC_ASSERT(after.stopped || hands.rows == after.rows);
}

/// A command that is done to the hands and then holds to what is always true.
struct Step : Command {
  void run(const Model& before, Hands& hands) const final {
    act(before, hands);
    hands.work();
    check(nextState(before), hands);
  }
  virtual void act(const Model& before, Hands& hands) const = 0;
};

struct OutputArrives : Step {
  std::size_t size = *rc::gen::weightedOneOf<std::size_t>(
      {{5, rc::gen::inRange<std::size_t>(1, 300)},
       {1, rc::gen::inRange<std::size_t>(1, 2 * Core::kOutputBound)}});
  char first = *rc::gen::inRange('a', 'z');
  void apply(Model& model) const override { model.arrived += size; }
  void act(const Model&, Hands& hands) const override {
    for (std::size_t i = 0; i < size; ++i)  // no two stretches alike
      hands.written += static_cast<char>('A' + (i * 7 + static_cast<std::size_t>(first)) % 53);
  }
  void show(std::ostream& out) const override { out << "OutputArrives(" << size << ')'; }
};

struct ViewerDrains : Step {
  std::size_t n = *rc::gen::inRange<std::size_t>(0, Core::kOutputBound);
  void act(const Model&, Hands& hands) const override { hands.take_output(n); }
  void show(std::ostream& out) const override { out << "ViewerDrains(" << n << ')'; }
};

struct PtmxDrains : Step {
  std::size_t n = *rc::gen::inRange<std::size_t>(0, 50);
  void act(const Model&, Hands& hands) const override { hands.take_typed(n); }
  void show(std::ostream& out) const override { out << "PtmxDrains(" << n << ')'; }
};

struct Type : Step {
  std::string text = *rc::gen::weightedOneOf<std::string>(
      {{20,
        rc::gen::container<std::string>(rc::gen::weightedElement<char>(
            {{10, 'a'}, {10, 'b'}, {2, kIntr}, {2, kQuit}, {2, kSusp}, {4, kLnext}, {1, '\0'}}))},
       {1, rc::gen::map(rc::gen::inRange<std::size_t>(1, 2 * Core::kInputBound),
                        [](std::size_t n) { return std::string(n, 'p'); })}});
  void checkPreconditions(const Model& model) const override { RC_PRE(model.attached); }
  void apply(Model& model) const override { model.type(text); }
  void act(const Model&, Hands& hands) const override { hands.keyboard += text; }
  void show(std::ostream& out) const override {
    out << "Type(";
    rc::show(text.substr(0, 100), out);
    out << ", " << text.size() << " bytes)";
  }
};

/// The program changes its modes. What was typed before must have been passed on before.
struct ModesChange : Step {
  bool isig = *rc::gen::arbitrary<bool>(), quotes = *rc::gen::arbitrary<bool>();
  bool job_foreground = *rc::gen::arbitrary<bool>(), ignores = *rc::gen::arbitrary<bool>();
  void apply(Model& model) const override {
    model.isig = isig;
    model.quotes = quotes;
    model.job_foreground = job_foreground;
    model.job_ignores_sigtstp = ignores;
  }
  void act(const Model& before, Hands& hands) const override {
    check_flushed(before, hands);
    hands.pts.isig = isig;
    hands.pts.quotes = quotes;
    hands.pts.foreground_pgid = job_foreground ? kJob : kInner;
    hands.pts.job_ignores_sigtstp = ignores;
  }
  void show(std::ostream& out) const override {
    out << "ModesChange(isig " << isig << " quotes " << quotes << " foreground " << job_foreground
        << " ignores " << ignores << ')';
  }
};

struct Resize : Step {
  int rows = *rc::gen::inRange(1, 5);
  void apply(Model& model) const override { model.rows = rows; }
  void act(const Model&, Hands& hands) const override {
    hands.core.resized({static_cast<unsigned short>(rows), 80, 0, 0});
  }
  void show(std::ostream& out) const override { out << "Resize(" << rows << ')'; }
};

struct Redraw : Step {
  void act(const Model&, Hands& hands) const override { hands.core.redraw({}); }
  void show(std::ostream& out) const override { out << "Redraw"; }
};

struct RedrawSeen : Step {
  void act(const Model&, Hands& hands) const override { hands.core.redraw_consumed(); }
  void show(std::ostream& out) const override { out << "RedrawSeen"; }
};

struct Continue : Step {
  void checkPreconditions(const Model& model) const override {
    RC_PRE(model.stopped);
    RC_PRE(model.attached);
  }
  void apply(Model& model) const override { model.resume(); }
  void act(const Model& before, Hands& hands) const override {
    check_flushed(before, hands);
    hands.suspended = false;
    hands.core.continued({});
  }
  void show(std::ostream& out) const override { out << "Continue"; }
};

/// The viewer has not been shown everything, and what it typed last has got as far as it could.
struct HangUp : Step {
  void checkPreconditions(const Model& model) const override { RC_PRE(model.attached); }
  void apply(Model& model) const override {
    model.attached = false;
    model.typed.clear();
    if (model.stopped)
      model.resume();
  }
  void act(const Model&, Hands& hands) const override {
    hands.take_typed(kAll);
    hands.ptmx_room = 0;
    hands.attached = hands.suspended = false;
    hands.keyboard.clear();
    hands.core.viewer_gone(hands.viewer);
  }
  void show(std::ostream& out) const override { out << "HangUp"; }
};

struct Attach : Step {
  void checkPreconditions(const Model& model) const override { RC_PRE(!model.attached); }
  void apply(Model& model) const override {
    model.attached = true;
    model.arrived = 0;
  }
  void act(const Model&, Hands& hands) const override {
    RC_ASSERT(hands.read == hands.written.size());  // nobody is waited for who is not there
    hands.written.clear();
    hands.read = hands.shown = 0;
    hands.viewer = hands.core.add_viewer();
    hands.attached = true;
  }
  void show(std::ostream& out) const override { out << "Attach"; }
};

struct Flush : Step {
  void act(const Model& before, Hands& hands) const override { check_flushed(before, hands); }
  void show(std::ostream& out) const override { out << "Flush"; }
};

RC_GTEST_PROP(RelayCore, PassesEveryByteOnceAndTheRightSignalsInOrder, ()) {
  Model model;
  model.kernel_signals_job = *rc::gen::arbitrary<bool>();
  Hands hands(model);
  rc::state::check(
      model, hands,
      rc::state::gen::execOneOfWithArgs<OutputArrives, OutputArrives, ViewerDrains, PtmxDrains,
                                        Type, Type, ModesChange, Resize, Redraw, RedrawSeen,
                                        Continue, HangUp, Attach, Flush>());
}

}  // namespace
}  // namespace grab::relay
