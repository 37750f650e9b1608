// SPDX-License-Identifier: MIT
// Hides from a program that tracing it has interrupted the call that it was in.
#pragma once

#include <sys/types.h>

#include "tracer/begun_waits.h"

namespace grab::tracer {

/// For a thread that has just stopped. Where its call has been interrupted and would not be made
/// again by the kernel, it will be: see arch::resume_by_kernel(); where it had a timeout and
/// `waits` knows how long it has been in it, for what is left of that. Where it has written a part
/// of its bytes to a terminal, a pipe or a stream, it writes the rest: see arch/short_write.h. At
/// every instant the thread could go on. What cannot be hidden stays as it is.
void hide_interruption(pid_t tid, const BegunWaits& waits);

}  // namespace grab::tracer
