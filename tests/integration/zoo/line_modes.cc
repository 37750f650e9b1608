// SPDX-License-Identifier: MIT
// A terminal in modes that few programs set.
#include <asm/termbits.h>  // struct termios2; cannot stand beside <termios.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "integration/zoo/zoo.h"

namespace zoo {
namespace {

void say_modes() {
  termios2 modes{};
  termios locked{};
  must(::ioctl(0, TCGETS2, &modes), "TCGETS2");
  must(::ioctl(0, TIOCGLCKTRMIOS, &locked), "TIOCGLCKTRMIOS");
  say("speeds " + std::to_string(modes.c_ispeed) + " and " + std::to_string(modes.c_ospeed) +
      ((modes.c_cflag & CBAUD) == BOTHER ? " by number" : " by name") +
      ((modes.c_lflag & EXTPROC) != 0 ? ", extproc" : ", no extproc") +
      ((locked.c_lflag & ECHOK) != 0 ? ", locked" : ", not locked") + ", kill " +
      std::to_string(modes.c_cc[VKILL]) + ";\n");
}

}  // namespace

int line_modes(const Args& args) {
  termios2 modes{};
  must(::ioctl(0, TCGETS2, &modes), "TCGETS2");
  modes.c_cflag &= ~static_cast<tcflag_t>(CBAUD | CIBAUD);
  modes.c_cflag |= BOTHER | BOTHER << IBSHIFT;
  modes.c_ispeed = 12345;
  modes.c_ospeed = 54321;
  modes.c_cc[VKILL] = 7;
  modes.c_lflag |= EXTPROC;
  must(::ioctl(0, TCSETS2, &modes), "TCSETS2");
  if (!args.empty() && args[0] == "locked") {
    termios locked{};
    locked.c_lflag = ECHOK;
    must(::ioctl(0, TIOCSLCKTRMIOS, &locked), "TIOCSLCKTRMIOS");
  }
  say_modes();
  say_ready();
  return serve({{"modes", say_modes}});
}

}  // namespace zoo
