// SPDX-License-Identifier: MIT
// Programs with signals: caught, ignored, blocked and pending, many at once; and the full-screen
// program, which is one that handles SIGTSTP, SIGCONT and SIGWINCH with care.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

#include "integration/zoo/zoo.h"

namespace zoo {
namespace {

// A line put together in a handler: async-signal-safe calls only, and one write, so that the lines
// of two processes do not mix.
class Line {
 public:
  Line& operator<<(const char* text) {
    while (*text != '\0' && size_ < sizeof bytes_)
      bytes_[size_++] = *text++;
    return *this;
  }
  Line& operator<<(unsigned number) {
    char digits[12];
    char* at = digits + sizeof digits - 1;
    *at = '\0';
    do {
      *--at = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    return *this << at;
  }
  void write() const { (void)!::write(1, bytes_, size_); }

 private:
  char bytes_[128];
  std::size_t size_ = 0;
};

void write_text(const char* text) {
  (void)!::write(1, text, ::strlen(text));
}

Line& operator<<(Line& line, const winsize& size) {
  return line << static_cast<unsigned>(size.ws_row) << "x" << static_cast<unsigned>(size.ws_col);
}

winsize terminal_size() {
  winsize size{};
  (void)::ioctl(1, TIOCGWINSZ, &size);
  return size;
}

void on_signal(int signo) {
  const int err = errno;
  Line line;
  line << "caught " << ::sigabbrev_np(signo) << " ";
  if (signo == SIGWINCH)
    line << terminal_size();
  else
    line << static_cast<unsigned>(::getpid());
  line << ";\n";
  line.write();
  errno = err;
}

void install(int signo, void (*handler)(int), int flags = SA_RESTART) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  ::sigemptyset(&action.sa_mask);
  must(::sigaction(signo, &action, nullptr), "sigaction");
}

termios original_modes;

void enter_screen() {
  termios raw = original_modes;
  ::cfmakeraw(&raw);
  raw.c_lflag |= ISIG;
  raw.c_oflag |= OPOST;
  (void)::tcsetattr(0, TCSADRAIN, &raw);
  write_text("\x1b[?1049h\x1b[?1h\x1b=");
}

void leave_screen() {
  write_text("\x1b[?1l\x1b>\x1b[?1049l");
  (void)::tcsetattr(0, TCSADRAIN, &original_modes);
}

void draw() {
  Line line;
  line << "\x1b[H\x1b[2JFULL SCREEN " << terminal_size() << "\n";
  line.write();
}

void on_winch(int /*signo*/) {
  const int err = errno;
  draw();
  errno = err;
}

long busy_ms = 0;  // of processor time, before it leaves its screen

void be_busy() {
  const clock_t until = ::clock() + busy_ms * (CLOCKS_PER_SEC / 1000);
  while (::clock() < until) {
  }
}

// As ncurses does it: clean up, stop by the default action, set up again when continued.
void on_tstp(int /*signo*/) {
  const int err = errno;
  be_busy();
  leave_screen();
  install(SIGTSTP, SIG_DFL);
  sigset_t tstp;
  ::sigemptyset(&tstp);
  ::sigaddset(&tstp, SIGTSTP);
  (void)::raise(SIGTSTP);
  (void)::sigprocmask(SIG_UNBLOCK, &tstp, nullptr);  // stops here
  install(SIGTSTP, on_tstp);
  enter_screen();
  draw();
  errno = err;
}

std::atomic<long> next_value{0};
std::atomic<long> lost{0};

void on_numbered(int /*signo*/, siginfo_t* info, void* /*context*/) {
  const long value = info->si_value.sival_int;
  if (value != next_value.load())
    lost.fetch_add(1);
  next_value.store(value + 1);
}

[[noreturn]] void send_numbered(pid_t to) {
  for (int n = 0;; ++n) {
    // The queue of the receiver is full at times: the same number again then.
    while (::sigqueue(to, SIGRTMIN + 1, sigval{.sival_int = n}) != 0) {
      if (errno != EAGAIN)
        ::_exit(0);
      ::usleep(1000);
    }
    if (n % 16 == 0)
      ::usleep(1000);
  }
}

}  // namespace

int catch_signals(const Args& args) {
  for (const std::string& name : args)
    install(signal_number(name), on_signal);
  say_ready();
  return serve();
}

int catch_and_wait(const Args& args) {
  for (const std::string& name : args)
    install(signal_number(name), on_signal);
  say_ready();
  for (;;)
    ::pause();
}

int ignore_signals(const Args& args) {
  for (const std::string& name : args)
    install(signal_number(name), SIG_IGN);
  say_ready();
  return serve();
}

int pending_signals(const Args& args) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const std::string& name : args) {
    install(signal_number(name), on_signal);
    ::sigaddset(&set, signal_number(name));
  }
  must(::sigprocmask(SIG_BLOCK, &set, nullptr), "sigprocmask");
  for (const std::string& name : args)
    must(::kill(::getpid(), signal_number(name)), "kill");
  say_ready();
  return serve({{"unblock", [&set] { (void)::sigprocmask(SIG_UNBLOCK, &set, nullptr); }}});
}

int signal_stream(const Args& /*args*/) {
  struct sigaction action {};
  action.sa_sigaction = on_numbered;
  action.sa_flags = SA_RESTART | SA_SIGINFO;
  must(::sigaction(SIGRTMIN + 1, &action, nullptr), "sigaction");
  const pid_t parent = ::getpid();
  const long pid = must(::fork(), "fork");
  if (pid == 0) {
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
    send_numbered(parent);
  }
  say_ready();
  return serve({{"check", [] {
                   say("signals: " + std::to_string(next_value.load()) + " seen, " +
                       std::to_string(lost.load()) + " lost\n");
                 }}});
}

int read_late(const Args& /*args*/) {
  sigset_t usr1;
  ::sigemptyset(&usr1);
  ::sigaddset(&usr1, SIGUSR1);
  must(::sigprocmask(SIG_BLOCK, &usr1, nullptr), "sigprocmask");
  say_ready();
  must(::sigwaitinfo(&usr1, nullptr), "sigwaitinfo");
  return serve();
}

int fullscreen(const Args& args) {
  busy_ms = args.empty() ? 0 : std::atol(args[0].c_str());
  must(::tcgetattr(0, &original_modes), "tcgetattr");
  say_ready();
  install(SIGWINCH, on_winch);
  install(SIGTSTP, on_tstp);
  enter_screen();
  draw();
  std::string keys;
  for (;;) {
    char key = 0;
    if (::read(0, &key, 1) != 1)
      break;
    keys += key;
    if (keys == "\x1b" || keys == "\x1bO" || keys == "\x1b[")
      continue;  // more is to come
    if (keys == "q")
      break;
    say(keys == "\x1bOA" ? "key UP\n" : "key " + keys + "\n");
    keys.clear();
  }
  leave_screen();
  return 0;
}

}  // namespace zoo
