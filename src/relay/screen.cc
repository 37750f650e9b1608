// SPDX-License-Identifier: MIT
#include "relay/screen.h"

#include <algorithm>

#include "relay/emulator.h"
#include "relay/input_filter.h"
#include "relay/paint.h"
#include "relay/plain_text.h"
#include "relay/utf8.h"

namespace grab::relay {
namespace {

constexpr char kEsc = '\x1b';

// Shorter runs of text are not worth a look: they are about as long as one screen.
constexpr std::size_t kShortestRun = 1024;

WindowSize sane(WindowSize size) {
  if (size.rows == 0 || size.columns == 0)
    return {24, 80};
  return {static_cast<unsigned short>(std::min<int>(size.rows, Screen::kMaxRows)),
          static_cast<unsigned short>(std::min<int>(size.columns, Screen::kMaxColumns))};
}

}  // namespace

struct Screen::State {
  explicit State(WindowSize size) : emulator(size.rows, size.columns) {}
  void feed_text(std::string_view run);

  Emulator emulator;
  InputFilter filter;
};

Screen::Screen(WindowSize size) : state_(std::make_unique<State>(sane(size))) {}
Screen::~Screen() = default;
Screen::Screen(Screen&&) noexcept = default;
Screen& Screen::operator=(Screen&&) noexcept = default;

void Screen::feed(std::string_view bytes) {
  std::size_t run = 0;  // where the run of text begins that is being looked at
  while (run < bytes.size()) {
    const std::size_t escape = std::min(bytes.find(kEsc, run), bytes.size());
    if (escape - run >= kShortestRun) {
      if (run != 0)
        state_->filter.feed(bytes.substr(0, run), state_->emulator);
      state_->feed_text(bytes.substr(run, escape - run));
      bytes.remove_prefix(escape);
      run = 0;
    } else {
      run = escape;
    }
    run = std::min(run + 1, bytes.size());
  }
  if (!bytes.empty())
    state_->filter.feed(bytes, state_->emulator);
}

void Screen::State::feed_text(std::string_view run) {
  const int rows_below = emulator.rows() - 1 - emulator.cursor().row;
  const auto cut = plan_cut(run, emulator.rows(), rows_below);
  if (cut) {
    filter.feed(run.substr(0, cut->head), emulator);
    run.remove_prefix(filter.empty() && emulator.newline_scrolls() ? cut->tail : cut->head);
  }
  filter.feed(run, emulator);
}

void Screen::resize(WindowSize size) {
  const WindowSize usable = sane(size);
  state_->emulator.resize(usable.rows, usable.columns);
}

std::string Screen::paint(const ScreenTracker& modes, WindowSize viewer) const {
  return paint_screen(state_->emulator, modes, viewer, Before::kScrolledAway);
}

std::string Screen::repaint(const ScreenTracker& modes, WindowSize viewer) const {
  return paint_screen(state_->emulator, modes, viewer, Before::kErased);
}

std::string Screen::text() const {
  const Grid& grid = state_->emulator.active();
  std::string out;
  std::size_t end = 0;
  for (int row = 0; row < grid.rows(); ++row) {
    std::size_t line_end = out.size();
    for (const Cell& cell : grid.row(row)) {
      for (const char32_t code : grid.glyph(cell))
        append_utf8(out, code);
      if (cell.width != 0 && cell.glyph != U' ')
        line_end = out.size();
    }
    out.resize(line_end);
    out += '\n';
    if (out.size() > 1 && (out.size() < 2 || out[out.size() - 2] != '\n'))
      end = out.size();
  }
  out.resize(end);
  return out;
}

std::string Screen::take_answers() {
  return state_->emulator.take_answers();
}

}  // namespace grab::relay
