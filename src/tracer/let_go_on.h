// SPDX-License-Identifier: MIT
// What a tracer that was killed held goes on: somebody else sends the SIGCONT that it cannot send
// any more.
#pragma once

#include "tracer/report.h"

namespace grab::tracer {

/// What a tracer that was killed held goes on.
void let_go_on(const Held& held);

}  // namespace grab::tracer
