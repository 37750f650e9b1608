// SPDX-License-Identifier: MIT
#include "relay/screen.h"

#include <algorithm>
#include <utility>

#include "relay/emulator.h"
#include "relay/input_filter.h"
#include "relay/paint.h"
#include "relay/plain_text.h"
#include "relay/utf8.h"

namespace grab::relay {
namespace {

// Shorter runs of text are not worth a look: they are about as long as one screen.
constexpr std::size_t kShortestRun = 1024;
// Seeing that a newline scrolls costs as much as parsing about this many bytes.
constexpr std::size_t kWorthSkipping = 512;
// Text that waits to be parsed. What a screen shows is less, unless its lines are very long.
constexpr std::size_t kMaxWaiting = std::size_t{32} * 1024;

WindowSize sane(WindowSize size) {
  if (size.rows == 0 || size.columns == 0)
    return {24, 80};
  return {static_cast<unsigned short>(std::min<int>(size.rows, Screen::kMaxRows)),
          static_cast<unsigned short>(std::min<int>(size.columns, Screen::kMaxColumns))};
}

}  // namespace

struct Screen::State {
  explicit State(WindowSize size) : emulator(size.rows, size.columns) {}
  void parse(std::string_view bytes);
  void settle();
  void take_text(std::string_view run);
  void wait(std::string_view run);
  void skip(std::string_view run);

  Emulator emulator;
  InputFilter filter;
  bool scrolls = false;  // the emulator is where a run can be cut (plain_text.h)
  std::string waiting;   // while it is: the end of the run, which comes next
};

Screen::Screen(WindowSize size) : state_(std::make_unique<State>(sane(size))) {}
Screen::~Screen() = default;
Screen::Screen(Screen&&) noexcept = default;
Screen& Screen::operator=(Screen&&) noexcept = default;

// What is neither a long run of text nor the continuation of one is parsed at once, in large
// pieces.
void Screen::feed(std::string_view bytes) {
  std::size_t at = 0;  // up to there it is to be parsed
  while (at < bytes.size()) {
    const std::size_t run = run_size(bytes.substr(at));
    const bool continues = at == 0 && run > 0 && state_->scrolls;
    if (!continues && run < kShortestRun) {
      at += run + 1;
      continue;
    }
    if (at > 0)
      state_->parse(bytes.substr(0, at));
    state_->take_text(bytes.substr(at, run));
    bytes.remove_prefix(at + run);
    at = 0;
  }
  if (!bytes.empty())
    state_->parse(bytes);
}

void Screen::State::parse(std::string_view bytes) {
  settle();
  filter.feed(bytes, emulator);
}

void Screen::State::settle() {
  scrolls = false;
  if (!waiting.empty())
    filter.feed(std::exchange(waiting, {}), emulator);
}

void Screen::State::take_text(std::string_view run) {
  if (!scrolls) {
    const std::size_t head = head_size(run, emulator.rows() - 1 - emulator.cursor().row);
    const std::size_t tail = tail_begin(run.substr(head), emulator.rows());
    parse(run.substr(0, head));
    run.remove_prefix(head);
    scrolls = tail >= kWorthSkipping && filter.empty() && emulator.newline_scrolls();
  }
  if (scrolls)
    wait(run);
  else
    parse(run);
}

void Screen::State::wait(std::string_view run) {
  if (const std::size_t tail = tail_begin(run, emulator.rows()); tail > 0) {
    skip(waiting);
    skip(run.substr(0, tail));
    waiting = run.substr(tail);
  } else {
    waiting += run;
  }
  if (waiting.size() > kMaxWaiting) {
    const std::size_t begin = tail_begin(waiting, emulator.rows());
    skip(std::string_view(waiting).substr(0, begin));
    waiting.erase(0, begin);
  }
  if (waiting.size() > kMaxWaiting)
    settle();
}

void Screen::State::skip(std::string_view run) {
  if (const std::string styles = styles_of(run); !styles.empty())
    filter.feed(styles, emulator);
}

void Screen::resize(WindowSize size) {
  const WindowSize usable = sane(size);
  state_->settle();
  state_->emulator.resize(usable.rows, usable.columns);
}

std::string Screen::paint(const ScreenTracker& modes, WindowSize viewer) const {
  state_->settle();
  return paint_screen(state_->emulator, modes, viewer, Before::kScrolledAway);
}

std::string Screen::repaint(const ScreenTracker& modes, WindowSize viewer) const {
  state_->settle();
  return paint_screen(state_->emulator, modes, viewer, Before::kErased);
}

std::string Screen::text() const {
  state_->settle();
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

// There is none in what waits: text asks nothing.
std::string Screen::take_answers() {
  return state_->emulator.take_answers();
}

}  // namespace grab::relay
