// SPDX-License-Identifier: MIT
// The bytes that make a terminal show what an emulator has kept.
#pragma once

#include <string>

#include "relay/emulator.h"
#include "relay/tracker.h"
#include "relay/window_size.h"

namespace grab::relay {

/// What happens to what the terminal showed before.
enum class Before { kScrolledAway, kErased };

/// See Screen::paint(). The emulator is as it was afterwards.
[[nodiscard]] std::string paint_screen(Emulator& emulator, const ScreenTracker& modes,
                                       WindowSize viewer, Before before);

}  // namespace grab::relay
