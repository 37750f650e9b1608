// SPDX-License-Identifier: MIT
// The least possible relay: runs a command on a terminal of its own and passes bytes between that
// and the terminal it was started on, with one poll loop and nothing else. What grab's relay is
// measured against (bench/relay).
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

// Passes on what one read gives. False at the end of the file, or when either side fails.
static int pass(int from, int to) {
  char bytes[4096];  // a terminal gives 4095 bytes a read, mostly
  const ssize_t size = read(from, bytes, sizeof bytes);
  for (ssize_t done = 0, n = 0; done < size; done += n)
    if ((n = write(to, bytes + done, (size_t)(size - done))) < 0)
      return 0;
  return size > 0;
}

int main(int argc, char** argv) {
  struct termios saved, raw;
  struct winsize size;
  int ptmx = -1, status = 0;
  if (argc < 2 || tcgetattr(0, &saved) != 0 || ioctl(0, TIOCGWINSZ, &size) != 0)
    return 125;
  const pid_t pid = forkpty(&ptmx, NULL, &saved, &size);
  if (pid == 0)
    execvp(argv[1], argv + 1);
  if (pid <= 0)
    return 127;
  raw = saved;
  cfmakeraw(&raw);
  tcsetattr(0, TCSANOW, &raw);
  struct pollfd ends[] = {{.fd = ptmx, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
  while (poll(ends, 2, -1) > 0)
    if ((ends[0].revents && !pass(ptmx, 1)) || (ends[1].revents && !pass(0, ptmx)))
      break;
  tcsetattr(0, TCSANOW, &saved);
  close(ptmx);
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
