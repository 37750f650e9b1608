// SPDX-License-Identifier: MIT
// For the core's tests: hands that write down what the core told them to do.
#pragma once

#include <algorithm>
#include <csignal>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "relay/core.h"

namespace grab::relay {

inline constexpr pid_t kJob = 100, kFollowers = 200, kInner = 300;
inline constexpr WindowSize kSize{24, 80, 0, 0};

inline PtsState cooked(pid_t foreground = kJob) {
  PtsState pts;
  pts.isig = pts.quotes = true;
  pts.intr = 3;
  pts.quit = 28;
  pts.susp = 26;
  pts.lnext = 22;
  pts.foreground_pgid = foreground;
  return pts;
}

inline ViewerOptions up_to_date(WindowSize size = kSize) {
  ViewerOptions options;
  options.size = size;
  options.up_to_date = true;
  return options;
}

inline ViewerOptions with_detach_key() {
  ViewerOptions options = up_to_date();
  options.detach_key = 0x1c;
  return options;
}

inline ViewerOptions read_only(ViewerOptions options = up_to_date()) {
  options.read_only = true;
  return options;
}

/// A core with hands that write down what they were told to do. What is done for another viewer
/// than the first is marked with its number.
class Hands {
 public:
  explicit Hands(Job job = {kJob, true, {kFollowers}, "vim"},
                 const ViewerOptions& options = up_to_date())
      : core(std::move(job), kSize), viewer(core.add_viewer(options)) {}

  void output(std::string_view text) {
    while (!text.empty()) {
      ASSERT_TRUE(core.wants_output());
      const auto space = core.output_space();
      const std::size_t n = std::min(space.size(), text.size());
      std::memcpy(space.data(), text.data(), n);
      core.output_arrived(n);
      text.remove_prefix(n);
    }
  }
  void type(std::string_view text, ViewerId id = 0) {
    id = id == 0 ? viewer : id;
    ASSERT_TRUE(core.wants_input(id));
    const auto space = core.input_space(id);
    ASSERT_LE(text.size(), space.size());
    std::memcpy(space.data(), text.data(), text.size());
    core.typed(id, text.size());
  }
  /// Does everything there is to do; what was done, in order.
  std::vector<std::string> work() {
    std::vector<std::string> done;
    while (const auto action = core.next(pts))
      done.push_back(std::visit([&](const auto& what) { return perform(what); }, *action));
    return done;
  }
  /// The same when as many rounds have passed as a terminal has to be slow in.
  std::vector<std::string> slow_rounds() {
    std::vector<std::string> done;
    for (int i = 0; i < Core::kSlowRounds; ++i) {
      core.slow_round();
      done = work();
    }
    return done;
  }
  /// The same as if the output had gone idle.
  std::vector<std::string> idle() {
    core.output_idle();
    return work();
  }
  /// Everything that a viewer is shown until nothing is left to do.
  std::string shown(ViewerId id) {
    sent[id].clear();
    (void)work();
    return sent[id];
  }
  void drains(ViewerId id, std::size_t n = SIZE_MAX) {
    takes[id] = n;
    core.viewer_writable(id);
  }

  Core core;
  ViewerId viewer;
  PtsState pts = cooked();
  std::map<ViewerId, std::size_t> takes;  // before it blocks; without an entry it takes all
  std::map<ViewerId, std::string> sent;
  std::size_t ptmx_takes = SIZE_MAX;

 private:
  [[nodiscard]] std::string mark(ViewerId id) const {
    return id == viewer ? "" : std::to_string(id) + " ";
  }
  std::string perform(const action::WriteViewer& write) {
    std::size_t& room = takes.try_emplace(write.viewer, SIZE_MAX).first->second;
    const std::size_t n = std::min(room, write.bytes.size());
    const std::string text = mark(write.viewer) + "show " + std::string(write.bytes.substr(0, n));
    sent[write.viewer] += write.bytes.substr(0, n);
    room -= room == SIZE_MAX ? 0 : n;
    if (n == 0)
      core.viewer_blocked(write.viewer);
    else
      core.viewer_took(write.viewer, n);
    return n == 0 ? mark(write.viewer) + "viewer full" : text;
  }
  std::string perform(const action::WritePtmx& write) {
    const std::size_t n = std::min(ptmx_takes, write.bytes.size());
    std::string text = "type " + std::string(write.bytes.substr(0, n));
    ptmx_takes -= ptmx_takes == SIZE_MAX ? 0 : n;
    if (n == 0)
      core.ptmx_blocked();
    else
      core.ptmx_took(n);
    return n == 0 ? "ptmx full" : text;
  }
  static std::string perform(const action::SignalGroup& signal) {
    return std::string(sigabbrev_np(signal.signo)) + " " + std::to_string(signal.pgid);
  }
  static std::string perform(const action::SignalFront& signal) {
    return std::string(sigabbrev_np(signal.signo)) + " front " + std::to_string(signal.pgid);
  }
  static std::string perform(const action::SetWindowSize& size) {
    return "rows " + std::to_string(size.size.rows);
  }
  static std::string perform(const action::AwaitRedraw&) { return "await redraw"; }
  [[nodiscard]] std::string perform(const action::SuspendViewer& it) const {
    return mark(it.viewer) + "suspend";
  }
  [[nodiscard]] std::string perform(const action::ViewerPaused& it) const {
    return mark(it.viewer) + "paused";
  }
  [[nodiscard]] std::string perform(const action::DetachViewer& it) const {
    return mark(it.viewer) + "detach";
  }
  [[nodiscard]] std::string perform(const action::EndViewer& it) const {
    return mark(it.viewer) + "end";
  }
  static std::string perform(const action::Ended&) { return "ended"; }
  [[nodiscard]] std::string perform(const action::AwaitDetach& it) const {
    return mark(it.viewer) + "await detach";
  }
  static std::string perform(const action::AwaitSlow&) { return "await slow"; }
};

}  // namespace grab::relay
