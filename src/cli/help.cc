// SPDX-License-Identifier: MIT
// What --help prints: a short text for each command. The long one is docs/grab.1.
#include "cli/options.h"

namespace grab::cli {
namespace {

constexpr std::string_view kMoveHelp = R"(usage: grab [OPTION]... PID
       grab COMMAND [OPTION]... [NAME|PID]

Moves a running process from the terminal that it was started on to this one.
It lives on with its process id; nothing is restarted and no output is lost.

  PID              one process; refused if others on its terminal belong to it
  --tree PID       the process and all below it, and the rest of its pipeline

  ^\               detaches: it runs on, and this terminal is free again

What was moved can be shown again, here and elsewhere:

  grab attach      show it on this terminal
  grab list        what was moved, and who looks at it
  grab detach      send away those who look at it
  grab peek        print what its screen shows
  grab send        type text to it
  grab signal      send a signal to all of it
  grab wait        wait until it has ended, and exit with its status
  grab run         start a command that can be detached from the beginning

Options of the move (grab COMMAND --help has those of a command):

      --name NAME  call the tree so; without it, make.4711
      --detached   do not show it here
  -e, --detach-key KEY
                   the key that detaches: ^a, ^\ ... or none (^\)
      --log FILE   append all output to FILE
      --record FILE
                   record the terminal for asciinema(1)
  -N, --dry-run    print what would be done to which process; change nothing
      --json       with --dry-run: print it for programs
      --timeout S  give up, with nothing changed, when the tree is not frozen
                   after S seconds (2)
      --force      try in spite of a seccomp filter, or of a server (screen)
                   that draws on the old terminal
      --force-stdio
                   move the descriptors 0-2 though no terminal is there
      --keep-session
                   leave every process in its session, with no controlling
                   terminal; grab passes the signals of the keyboard on
      --keep-stopped
                   leave a stopped job stopped
      --keep-job   do not tell the old shell that the job has gone
      --partial    leave processes that may not be moved where they are, and
                   move the others
  -v, --verbose    say more: the plan before it is carried out; with --dry-run,
                   also the tree that is refused
  -h, --help       print this
  -V, --version    print the version

Exit status: that of the tree, where the kernel tells it, and 0 when detached;
2 for a wrong command line, 124 timed out, 125 refused or failed, 126 no
permission, 127 no such process or tree. From 124 to 127, nothing was changed.
See grab(1).
)";

constexpr std::string_view kAttachHelp = R"(usage: grab attach [OPTION]... [NAME|PID]

Shows a moved tree on this terminal: the only one, or the newest, without NAME.
The detach key (^\) leaves it again; typed twice, it goes to the program.

  -r, --read-only      only look: what is typed here goes nowhere
  -d, --detach-others  send away those who look at it now
  -e, --detach-key KEY the key that detaches: ^a, ^\ ... or none
  -v, --verbose        say more
  -h, --help           print this

Exit status: that of the tree when it ends, 0 when detached; see grab --help.
)";

constexpr std::string_view kListHelp = R"(usage: grab list [--json]

Lists what was moved, the oldest first: name, process id, whether it runs, how
long ago it was moved, how many terminals show it, its size, and the command.

      --json  for programs
  -h, --help  print this
)";

constexpr std::string_view kDetachHelp = R"(usage: grab detach [NAME|PID]

Sends away all who look at a moved tree; it runs on. Without NAME: the only
tree, or the newest.

  -h, --help  print this
)";

constexpr std::string_view kSendHelp = R"(usage: grab send [--literal] NAME|PID TEXT...

Types the text to a moved tree, as if it came from its keyboard. Several words
are typed with a space between them. No Enter is added: that is \r, so

  grab send make.4711 'yes\r'

Also understood: \n ^J, \t Tab, \e Escape, \a \b \f \v \\ \" \', \xHH and \OOO
(a byte in hexadecimal or octal; \x03 is ^C).

  -l, --literal  a backslash is a backslash
  -h, --help     print this; options stand before NAME
)";

constexpr std::string_view kPeekHelp = R"(usage: grab peek [NAME|PID]

Prints what the terminal of a moved tree shows, as text. Without NAME: of the
only tree, or the newest.

  -h, --help  print this
)";

constexpr std::string_view kWaitHelp = R"(usage: grab wait [NAME|PID]

Waits until a moved tree has ended and exits with its status, also if that was
up to an hour ago. Without NAME: the only tree, or the newest.

  -h, --help  print this
)";

constexpr std::string_view kSignalHelp = R"(usage: grab signal NAME|PID SIGNAL

Sends a signal to every process of a moved tree. SIGNAL is a name or a number:
TERM, SIGTERM, 15, RTMIN+3.

  -h, --help  print this
)";

constexpr std::string_view kRunHelp = R"(usage: grab run [OPTION]... [--] COMMAND...

Starts a command on a terminal of its own and shows it on this one; it can be
detached and attached as if it had been moved.

      --name NAME  call it so; without it, make.4711
      --detached   do not show it here
  -e, --detach-key KEY
                   the key that detaches: ^a, ^\ ... or none (^\)
      --log FILE   append all output to FILE
      --record FILE
                   record the terminal for asciinema(1)
  -v, --verbose    say more
  -h, --help       print this; options stand before COMMAND

Exit status: that of the command when it ends, 0 when detached.
)";

}  // namespace

std::string_view help_text(Action about) {
  switch (about) {
    case Action::kAttach:
      return kAttachHelp;
    case Action::kList:
      return kListHelp;
    case Action::kDetach:
      return kDetachHelp;
    case Action::kSend:
      return kSendHelp;
    case Action::kPeek:
      return kPeekHelp;
    case Action::kWait:
      return kWaitHelp;
    case Action::kSignal:
      return kSignalHelp;
    case Action::kRun:
      return kRunHelp;
    case Action::kMove:
    case Action::kDryRun:
    case Action::kHelp:
    case Action::kVersion:
      break;
  }
  return kMoveHelp;
}

}  // namespace grab::cli
