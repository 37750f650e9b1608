// SPDX-License-Identifier: MIT
#include "support/emulator.h"

#include <vterm.h>

#include <utility>

#include "support/terminal_session.h"

namespace grab::test {

struct Emulator::State {
  VTerm* vterm = nullptr;
  VTermScreen* screen = nullptr;
  int rows = 0, columns = 0;
  bool alternate = false, cursor_shown = true;
  int mouse = VTERM_PROP_MOUSE_NONE;
  std::string typed;

  std::string take_typed() { return std::exchange(typed, {}); }
  static int set_property(VTermProp property, VTermValue* value, void* user) {
    auto& self = *static_cast<State*>(user);
    if (property == VTERM_PROP_ALTSCREEN)
      self.alternate = value->boolean != 0;
    if (property == VTERM_PROP_CURSORVISIBLE)
      self.cursor_shown = value->boolean != 0;
    if (property == VTERM_PROP_MOUSE)
      self.mouse = value->number;
    return 1;
  }
  static void type(const char* bytes, std::size_t count, void* user) {
    static_cast<State*>(user)->typed.append(bytes, count);
  }
};

Emulator::Emulator(WindowSize size) : state_(std::make_unique<State>()) {
  static const VTermScreenCallbacks callbacks = [] {
    VTermScreenCallbacks made{};
    made.settermprop = State::set_property;
    return made;
  }();
  State& s = *state_;
  s.rows = size.rows;
  s.columns = size.columns;
  s.vterm = vterm_new(s.rows, s.columns);
  vterm_set_utf8(s.vterm, 1);
  vterm_output_set_callback(s.vterm, State::type, &s);
  s.screen = vterm_obtain_screen(s.vterm);
  vterm_screen_set_callbacks(s.screen, &callbacks, &s);
  vterm_screen_enable_altscreen(s.screen, 1);
  vterm_screen_reset(s.screen, 1);
}

Emulator::~Emulator() {
  vterm_free(state_->vterm);
}

void Emulator::feed(std::string_view bytes) {
  (void)vterm_input_write(state_->vterm, bytes.data(), bytes.size());
}

void Emulator::resize(WindowSize size) {
  state_->rows = size.rows;
  state_->columns = size.columns;
  vterm_set_size(state_->vterm, size.rows, size.columns);
}

std::string Emulator::take_answers() {
  return state_->take_typed();
}

std::string Emulator::text() const {
  const State& s = *state_;
  std::string all;
  std::size_t end = 0;
  for (int row = 0; row < s.rows; ++row) {
    std::string line(static_cast<std::size_t>(s.columns) * 6, '\0');
    const VTermRect rect{row, row + 1, 0, s.columns};
    line.resize(vterm_screen_get_text(s.screen, line.data(), line.size(), rect));
    const std::size_t last = line.find_last_not_of(std::string_view(" \n\0", 3));
    line.resize(last == std::string::npos ? 0 : last + 1);
    all += line + "\n";
    if (!line.empty())
      end = all.size();
  }
  all.resize(end);
  return all;
}

bool Emulator::alternate_screen() const {
  return state_->alternate;
}
bool Emulator::cursor_shown() const {
  return state_->cursor_shown;
}
bool Emulator::reports_mouse() const {
  return state_->mouse != VTERM_PROP_MOUSE_NONE;
}

bool Emulator::bold_or_coloured() const {
  VTermState* state = vterm_obtain_state(state_->vterm);
  VTermValue bold{}, reverse{}, colour{};
  VTermColor usual{}, unused{};
  vterm_state_get_default_colors(state, &usual, &unused);
  (void)vterm_state_get_penattr(state, VTERM_ATTR_BOLD, &bold);
  (void)vterm_state_get_penattr(state, VTERM_ATTR_REVERSE, &reverse);
  (void)vterm_state_get_penattr(state, VTERM_ATTR_FOREGROUND, &colour);
  return bold.boolean != 0 || reverse.boolean != 0 ||
         vterm_color_is_equal(&colour.color, &usual) == 0;
}

std::string Emulator::arrow_up() {
  vterm_keyboard_key(state_->vterm, VTERM_KEY_UP, VTERM_MOD_NONE);
  return state_->take_typed();
}
std::string Emulator::arrow_down() {
  vterm_keyboard_key(state_->vterm, VTERM_KEY_DOWN, VTERM_MOD_NONE);
  return state_->take_typed();
}
std::string Emulator::keypad_enter() {
  vterm_keyboard_key(state_->vterm, static_cast<VTermKey>(VTERM_KEY_KP_ENTER), VTERM_MOD_NONE);
  return state_->take_typed();
}

std::string Emulator::paste(std::string_view text) {
  vterm_keyboard_start_paste(state_->vterm);
  state_->typed += text;
  vterm_keyboard_end_paste(state_->vterm);
  return state_->take_typed();
}

std::string Emulator::click(int row, int column) {
  vterm_mouse_move(state_->vterm, row, column, VTERM_MOD_NONE);
  vterm_mouse_button(state_->vterm, 1, true, VTERM_MOD_NONE);
  vterm_mouse_button(state_->vterm, 1, false, VTERM_MOD_NONE);
  return state_->take_typed();
}

}  // namespace grab::test
