// SPDX-License-Identifier: MIT
#include "relay/view.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>
#include <utility>

#include "base/terminal_write.h"
#include "relay/continue_watch.h"
#include "relay/viewer_terminal.h"

namespace grab::relay {
namespace {

constexpr int kForEver = -1;
constexpr int kPauseLimitMs = 500;  // for a relay that is stopped; it needs microseconds
constexpr std::array kWatchedSignals = {SIGWINCH, SIGTERM, SIGHUP, SIGINT, SIGTSTP};

// Signals as something to poll; those that were ignored when grab was started (nohup) stay so.
class SignalWatch {
 public:
  static Result<SignalWatch> open() {
    sigset_t set{};
    (void)::sigemptyset(&set);
    for (const int signo : kWatchedSignals) {
      struct sigaction action {};
      if (signo == SIGWINCH || ::sigaction(signo, nullptr, &action) != 0 ||
          action.sa_handler != SIG_IGN)
        (void)::sigaddset(&set, signo);
    }
    SignalWatch watch;
    watch.fd_ = UniqueFd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    if (!watch.fd_.valid())
      return fail_errno(errno, "signalfd");
    (void)::sigprocmask(SIG_BLOCK, &set, &watch.before_);
    return watch;
  }
  SignalWatch(SignalWatch&&) = default;
  SignalWatch& operator=(SignalWatch&&) = delete;
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;
  ~SignalWatch() {
    if (fd_.valid())
      (void)::sigprocmask(SIG_SETMASK, &before_, nullptr);
  }

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] int next() const {
    signalfd_siginfo info{};
    return ::read(fd_.get(), &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo)
                                                                : 0;
  }

 private:
  SignalWatch() = default;
  UniqueFd fd_;
  sigset_t before_{};
};

class View {
 public:
  View(Connection connection, Viewer viewer, const ViewOptions& options, const Reconnect& reconnect,
       ContinueWatch continues, SignalWatch signals)
      : connection_(std::move(connection)),
        terminal_(std::move(viewer)),
        options_(options),
        reconnect_(reconnect),
        continues_(std::move(continues)),
        signals_(std::move(signals)) {}

  Result<ViewEnd> run() {
    GRAB_CHECK(terminal_.take());
    GRAB_CHECK(attach());
    while (!end_)
      GRAB_CHECK(step());
    const bool lost = !typed_.empty() && !terminal_.type_again(typed_);
    terminal_.give_back();
    if (lost)
      std::get<view_end::Detached>(*end_).keys_lost = true;
    return *end_;
  }

 private:
  Status attach() {
    message::Attach attach;
    attach.by_descriptor = options_.lend_terminal;
    attach.read_only = options_.read_only;
    attach.detach_others = options_.detach_others;
    attach.size = window_size(terminal_.fd());
    attach.saved_modes = terminal_.saved_modes();
    attach.detach_key = options_.detach_key;
    attach.terminal = terminal_.name();
    return unless_gone(connection_.send(attach, options_.lend_terminal ? terminal_.fd() : -1));
  }

  // What a relay has said before it went is still to be read; its end is left to receive().
  static Status unless_gone(Status sent) {
    return !sent && sent.error().kind == ErrorKind::kGone ? Status{} : sent;
  }
  Status send(const Message& message) { return send_if_there(connection_, message); }

  Status step() {
    if (const Status waited = wait(); !waited)
      return waited;
    while (const int signo = signals_.next())
      GRAB_CHECK(on_signal(signo));
    if (continues_.consume())
      GRAB_CHECK(come_back());
    return receive();
  }

  // The terminal is read and written here only where it was not lent.
  Status wait() {
    const bool reads = !options_.lend_terminal && !paused_ && !connection_.wants_write();
    const bool writes = !unwritten_.empty();
    std::array<pollfd, 4> polled{
        pollfd{
            connection_.fd(),
            static_cast<short>((writes ? 0 : POLLIN) | (connection_.wants_write() ? POLLOUT : 0)),
            0},
        pollfd{signals_.fd(), POLLIN, 0}, pollfd{continues_.fd(), POLLIN, 0},
        pollfd{reads || writes ? terminal_.fd() : -1,
               static_cast<short>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)), 0}};
    if (::poll(polled.data(), polled.size(), kForEver) < 0)
      return errno == EINTR ? Status{} : Status(fail_errno(errno, "poll"));
    if ((polled[0].revents & POLLOUT) != 0)
      GRAB_CHECK(unless_gone(connection_.flush()));
    if ((polled[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
      GRAB_CHECK(connection_.receive());
    if (writes && polled[3].revents != 0)
      write_terminal();
    if (reads && (polled[3].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
      return read_terminal();
    return {};
  }

  Status receive() {
    while (!end_ && unwritten_.empty()) {
      GRAB_TRY(const auto message, connection_.next());
      if (!message)
        break;
      GRAB_CHECK(std::visit([this](const auto& what) { return handle(what); }, *message));
    }
    if (!end_ && connection_.at_end())
      return relay_has_gone();
    return {};
  }

  // ---------------------------------------------------------------- what the relay says

  Status handle(const message::Output& output) {
    unwritten_ += output.bytes;
    write_terminal();
    return {};
  }
  Status handle(const message::Suspended& /*suspended*/) { return stop(options_.stopped_line); }
  Status handle(const message::Paused& /*paused*/) {
    if (ending_signal_ != 0)
      end_ = view_end::Signalled{ending_signal_};
    else if (stopping_)
      return stop({});
    return {};
  }
  Status handle(const message::Detached& detached) {
    end_ = view_end::Detached{detached.why};
    typed_ = detached.typed;
    return {};
  }
  Status handle(const message::Ended& ended) {
    end_ = TreeEnd{ended.wait_status, ended.moved_away};
    return {};
  }
  static Status handle(const message::Failed& failed) {
    return fail(static_cast<ErrorKind>(failed.kind), failed.what, failed.hint);
  }
  // Of a newer relay, or an answer that nobody waits for.
  template <class Other>
  static Status handle(const Other& /*other*/) {
    return {};
  }

  // The keeper starts another relay, which knows no viewers.
  Status relay_has_gone() {
    Result<Connection> other = reconnect_();
    if (!other)
      return tl::unexpected(std::move(other).error());
    connection_ = std::move(*other);
    terminal_.set_raw_again();  // it may have been about to detach us
    return attach();
  }

  // ---------------------------------------------------------------- stopping and going on

  Status on_signal(int signo) {
    if (signo == SIGWINCH)
      return send(message::Resize{window_size(terminal_.fd())});
    if (signo == SIGTSTP)
      stopping_ = true;
    else
      ending_signal_ = signo;
    GRAB_CHECK(send(message::Pause{}));
    return await_pause();
  }

  // A relay that is itself stopped must not keep us from giving the terminal back.
  Status await_pause() {
    while (!end_ && (ending_signal_ != 0 || stopping_)) {
      pollfd answer{connection_.fd(), POLLIN, 0};
      const int ready = ::poll(&answer, 1, kPauseLimitMs);
      if (ready < 0 && errno == EINTR)
        continue;
      if (ready <= 0)
        return handle(message::Paused{});
      GRAB_CHECK(connection_.receive());
      if (connection_.at_end())
        return handle(message::Paused{});
      GRAB_CHECK(receive());
    }
    return {};
  }

  Status stop(const std::string& line) {
    stopping_ = false;
    paused_ = true;
    terminal_.give_back();
    // A terminal that does not take it now has nobody who waits for it.
    (void)write_what_fits(terminal_.fd(), line);
    stop_impossible_ =
        ViewerTerminal::stop_own_group(continues_) == ViewerTerminal::Stop::kImpossible;
    return come_back();
  }

  // After `fg`, and after a stop that nobody has told us of.
  Status come_back() {
    GRAB_CHECK(terminal_.take());
    (void)continues_.consume();  // take() may have waited for another `fg`
    paused_ = false;
    if (std::exchange(stop_impossible_, false)) {
      constexpr std::string_view kLine =
          "\r\ngrab: cannot stop here, as nothing would continue grab; the tree goes on\r\n";
      unwritten_ += kLine;
      write_terminal();
    }
    return send(message::Resume{window_size(terminal_.fd())});
  }

  // ---------------------------------------------------------------- a terminal that is not lent

  void write_terminal() {
    const ssize_t count = ::write(terminal_.fd(), unwritten_.data(), unwritten_.size());
    if (count > 0)
      unwritten_.erase(0, static_cast<std::size_t>(count));
    else if (count < 0 && !would_block(errno))
      unwritten_.clear();  // it has gone, which reading it will tell
  }

  Status read_terminal() {
    std::array<char, 4096> bytes{};
    const ssize_t count = ::read(terminal_.fd(), bytes.data(), bytes.size());
    if (count > 0)
      return send(message::Input{std::string(bytes.data(), static_cast<std::size_t>(count))});
    if (count < 0 && would_block(errno))
      return {};
    end_ = view_end::Signalled{SIGHUP};  // the terminal has gone
    return {};
  }

  Connection connection_;
  ViewerTerminal terminal_;
  const ViewOptions& options_;
  const Reconnect& reconnect_;
  ContinueWatch continues_;
  SignalWatch signals_;
  std::string unwritten_;
  std::string typed_;      // read of the terminal, and not for the tree
  bool paused_ = false;    // the relay has left the terminal alone, and we do too
  bool stopping_ = false;  // SIGTSTP has come: stop when the relay has paused
  bool stop_impossible_ = false;
  int ending_signal_ = 0;  // end when the relay has paused
  std::optional<ViewEnd> end_;
};

}  // namespace

Result<ViewEnd> view(Connection connection, Viewer viewer, const ViewOptions& options,
                     const Reconnect& reconnect) {
  GRAB_TRY(ContinueWatch continues, ContinueWatch::open());
  GRAB_TRY(SignalWatch signals, SignalWatch::open());
  return View(std::move(connection), std::move(viewer), options, reconnect, std::move(continues),
              std::move(signals))
      .run();
}

}  // namespace grab::relay
