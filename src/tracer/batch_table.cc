// SPDX-License-Identifier: MIT
#include "tracer/batch_table.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <iterator>
#include <span>

#include "proc/pid_numbers.h"
#include "tracer/passing.h"

namespace grab::tracer {
namespace {

using arch::Argument;
using arch::Call;

template <class... Visitors>
struct Overload : Visitors... {
  using Visitors::operator()...;
};
template <class... Visitors>
Overload(Visitors...) -> Overload<Visitors...>;

constexpr std::int32_t kAnyResult = -1;

CallName of_fd(const char* what, int fd) {
  return CallName{what, fd};
}

class Builder {
 public:
  explicit Builder(const TableRequest& request) : request_(request) {}

  BatchTable build() {
    prepare();
    out_.first_stop = stop(SIGSTOP);
    out_.undo = out_.table.calls.size();
    undo();
    finish(&out_.undo_stop, 0);
    if (request_.plan->depart)
      depart(*request_.plan->depart);
    out_.commit = out_.table.calls.size();
    commit();
    out_.waits_for_guard = request_.is_guarded;
    finish(&out_.commit_stop, SIGSTOP);
    if (request_.donor.sends)
      open_channel();
    if (request_.plan->depart)
      keep_front(*request_.plan->depart);
    out_.kept = kept_open_;
    return std::move(out_);
  }

 private:
  struct Kept {  ///< a description of the old terminal and its successor, both open in the process
    int of_fd = -1;  ///< the first descriptor of it
    int old_fd = -1;
    int new_fd = -1;
  };

  Call& add(CallName name, std::uint16_t nr, std::array<Argument, 4> args, std::int32_t expected) {
    out_.names.push_back(name);
    out_.table.calls.push_back(Call{.number = nr, .args = args, .expected = expected});
    return out_.table.calls.back();
  }
  void add_any(CallName name, std::uint16_t nr, std::array<Argument, 4> args) {
    add(name, nr, args, kAnyResult).any_result = true;
  }
  void add_detour(CallName name, std::uint16_t nr, std::array<Argument, 4> args) {
    out_.detours.insert(out_.table.calls.size());
    add(name, nr, args, kNeverReturned);
  }

  int lend() { return request_.lent.at(next_lent_++); }

  /// One of the donor's descriptors, to be received in the order in which they are wanted.
  struct Wanted {
    int donor_fd = -1;
    const char* what = "";
    int* fd = nullptr;  ///< the number that it gets
  };

  /// Opens all that the process will need: first what is the donor's, then copies of the old.
  void receive_all() {
    std::vector<Wanted> wanted;
    if (descriptors() != nullptr) {
      for (const proc::Descriptor& fd : descriptors()->fds) {
        const auto description = static_cast<std::size_t>(fd.description);
        const auto [kept, added] = kept_.try_emplace(fd.description, Kept{.of_fd = fd.fd});
        if (added)
          wanted.push_back({request_.donor.new_fds.at(description),
                            "pidfd_getfd of the new terminal", &kept->second.new_fd});
      }
    }
    if (commits<step::TakeTerminal>())
      wanted.push_back(
          {request_.donor.new_terminal_fd, "pidfd_getfd of the new terminal", &new_terminal_});
    // One that nobody has open and that we may not open either cannot be dropped.
    const bool needs_old = commits<step::DropTerminal>() || commits<step::LeaveAsLeader>() ||
                           commits<step::LeaveFront>() || request_.plan->depart;
    if (needs_old && request_.donor.old_terminal_fd >= 0)
      wanted.push_back(
          {request_.donor.old_terminal_fd, "pidfd_getfd of the old terminal", &old_terminal_});
    if (wanted.empty() && !request_.donor.sends)
      return;
    if (request_.donor.sends)
      receive_sent(wanted);
    else
      take(wanted);
    for (auto& [description, kept] : kept_)
      kept.old_fd = copy(kept.of_fd);
    if (descriptors() != nullptr)
      make_gates(*descriptors());
    for (const int fd : channels_)
      add(CallName{"close"}, SYS_close, {number(fd), {}, {}, {}}, 0);
  }

  void take(const std::vector<Wanted>& wanted) {
    const int channel = lend();
    channels_ = {channel};
    add(CallName{"pidfd_open"}, SYS_pidfd_open, {number(request_.donor.pid), number(0), {}, {}},
        channel)
        .yields_descriptor = true;
    for (const Wanted& one : wanted) {
      const int fd = lend();
      add(CallName{one.what}, SYS_pidfd_getfd,
          {number(channel), number(one.donor_fd), number(0), {}}, fd)
          .yields_descriptor = true;
      *one.fd = fd;
      kept_open_.push_back(fd);
    }
  }

  // Kernel: recvmsg(2) gives each descriptor the lowest free number, in the order in which they
  // were sent; one for which there is none is left out, and the copies made next then get other
  // numbers than expected. Source: net/core/scm.c scm_detach_fds.
  void receive_sent(const std::vector<Wanted>& wanted) {
    out_.pair = {lend(), lend()};
    channels_ = {out_.pair[0], out_.pair[1]};
    for (const Wanted& one : wanted) {
      out_.sent.push_back(one.donor_fd);
      *one.fd = lend();
      kept_open_.push_back(*one.fd);
    }
    const Mailbox mailbox(mailbox_at(), wanted.size());
    out_.mailbox = mailbox.bytes();
    for (const std::uint64_t header : mailbox.headers_at()) {
      add(CallName{"recvmsg of the new terminal"}, SYS_recvmsg,
          {number(channels_[0]),
           number(static_cast<std::int64_t>(header)),
           number(MSG_DONTWAIT | MSG_CMSG_CLOEXEC),
           {}},
          1);
    }
  }

  [[nodiscard]] std::uint64_t mailbox_at() const {
    return request_.page ? request_.page->address : 0;
  }

  void open_channel() {
    out_.channel = out_.table.calls.size();
    const auto pair_at = static_cast<std::int64_t>(Mailbox(mailbox_at(), 0).pair_at());
    add_detour(
        CallName{"socketpair"}, SYS_socketpair,
        {number(AF_UNIX), number(SOCK_SEQPACKET | SOCK_CLOEXEC), number(0), number(pair_at)});
  }

  int copy(int fd) {
    const int made = lend();
    add(of_fd("fcntl(F_DUPFD)", fd), SYS_fcntl,
        {number(fd), number(F_DUPFD_CLOEXEC), number(0), {}}, made)
        .yields_descriptor = true;
    kept_open_.push_back(made);
    return made;
  }

  /// Copies by which stale entries are moved, made when all is open that puts things back: an undo
  /// that comes earlier does nothing by them.
  void make_gates(const step::MoveDescriptors& move) {
    for (const proc::StaleWatch& stale : move.stale) {
      const int description = description_of(move, stale.stands_for);
      if (gates_.count(description) != 0)
        continue;
      const Kept& kept = kept_.at(description);
      const int old_fd = copy(kept.old_fd);
      gates_[description] = {.old_fd = old_fd, .new_fd = copy(kept.new_fd)};
    }
    for (const proc::StaleWatch& stale : move.stale) {
      if (sets_.count(stale.watch.epoll_fd) == 0)
        sets_[stale.watch.epoll_fd] = copy(stale.watch.epoll_fd);
    }
  }

  // Kernel: every new descriptor gets the lowest free number -> a number that is to be opened again
  // is taken before any other, and a file is put aside before anything is put in its place.
  void make_room(const step::MoveDescriptors& move) {
    for (const proc::StaleWatch& stale : move.stale) {
      const int number_of = stale.watch.target_fd;
      if (stale.in_use && put_aside_.count(number_of) == 0) {
        put_aside_[number_of] = {copy(number_of), stale.close_on_exec};
      } else if (!stale.in_use && !is_moved(move, number_of) && !is_kept_open(number_of)) {
        add(of_fd("dup3", number_of), SYS_dup3,
            {number(stale.stands_for), number(number_of), number(O_CLOEXEC), {}}, number_of);
        kept_open_.push_back(number_of);
      }
    }
  }

  [[nodiscard]] static bool is_moved(const step::MoveDescriptors& move, int fd) {
    return std::any_of(move.fds.begin(), move.fds.end(),
                       [fd](const proc::Descriptor& moved) { return moved.fd == fd; });
  }
  [[nodiscard]] bool is_kept_open(int fd) const {
    return std::find(kept_open_.begin(), kept_open_.end(), fd) != kept_open_.end();
  }

  void prepare() {
    if (const auto* move = descriptors(); move != nullptr)
      make_room(*move);
    receive_all();
    for (const PrepareStep& step : request_.plan->prepare) {
      std::visit(Overload{[this](const step::MoveDescriptors& move) { move_descriptors(move); },
                          [this](const step::JoinGroup& join) { join_group(join.pgid, true); }},
                 step);
    }
  }

  void move_descriptors(const step::MoveDescriptors& move) {
    // The snapshot may be older than the freeze in this one bit, so it is looked at again here.
    for (const proc::Descriptor& fd : move.fds) {
      out_.flag_checks[out_.table.calls.size()] = fd.fd;
      add(of_fd("fcntl(F_GETFD)", fd.fd), SYS_fcntl, {number(fd.fd), number(F_GETFD), {}, {}},
          fd.close_on_exec ? FD_CLOEXEC : 0);
    }
    for (const proc::EpollWatch& watch : move.watches)
      unwatch(watch, true);
    for (const proc::StaleWatch& stale : move.stale)
      carry_stale(move, stale, true);
    restore_put_aside();
    for (const proc::Descriptor& fd : move.fds) {
      add(of_fd("dup3", fd.fd), SYS_dup3,
          {number(kept_.at(fd.description).new_fd),
           number(fd.fd),
           number(fd.close_on_exec ? O_CLOEXEC : 0),
           {}},
          fd.fd);
    }
    for (const proc::EpollWatch& watch : move.watches)
      rewatch(watch, true);
  }

  [[nodiscard]] static int description_of(const step::MoveDescriptors& move, int moved_fd) {
    const auto at = std::find_if(move.fds.begin(), move.fds.end(),
                                 [&](const proc::Descriptor& fd) { return fd.fd == moved_fd; });
    return at->description;
  }

  // Kernel: an entry is named by the file and the number that it was added by, so for an instant
  // this number must be that file again. What is left in it then is put right by who comes next:
  // restore_put_aside(), the dup3 of a moved descriptor, or close_all(). Source: epoll_ctl(2),
  // fs/eventpoll.c ep_find; seen.
  void carry_stale(const step::MoveDescriptors& move, const proc::StaleWatch& stale, bool there) {
    const Kept& gate = gates_.at(description_of(move, stale.stands_for));
    proc::EpollWatch watch = stale.watch;
    watch.epoll_fd = sets_.at(watch.epoll_fd);
    place(there ? gate.old_fd : gate.new_fd, watch.target_fd, there);
    unwatch(watch, there);
    place(there ? gate.new_fd : gate.old_fd, watch.target_fd, there);
    rewatch(watch, there);
  }
  void place(int fd, int wanted, bool must_succeed) {
    const std::array<Argument, 4> args = {number(fd), number(wanted), number(O_CLOEXEC), {}};
    if (must_succeed)
      add(of_fd("dup3", wanted), SYS_dup3, args, wanted);
    else
      add_any(of_fd("dup3", wanted), SYS_dup3, args);
  }
  void restore_put_aside() {
    for (const auto& [fd, aside] : put_aside_) {
      add_any(of_fd("dup3", fd), SYS_dup3,
              {number(aside.fd), number(fd), number(aside.close_on_exec ? O_CLOEXEC : 0), {}});
    }
  }

  // Kernel: an epoll set remembers the open file it was given and not the number -> after dup3 it
  // goes on watching the old terminal. An entry of a set that two processes share is moved by the
  // first of them; the second gets ENOENT and EEXIST, and nothing is left to do. Source: epoll(7)
  // Q&A; fs/eventpoll.c ep_find, do_epoll_ctl; seen.
  void unwatch(const proc::EpollWatch& watch, bool must_succeed) {
    const std::array<Argument, 4> args = {number(watch.epoll_fd), number(EPOLL_CTL_DEL),
                                          number(watch.target_fd), number(0)};
    if (must_succeed)
      add(of_fd("epoll_ctl(EPOLL_CTL_DEL)", watch.target_fd), SYS_epoll_ctl, args, -ENOENT)
          .zero_will_do = true;
    else
      add_any(CallName{"epoll_ctl(EPOLL_CTL_DEL)"}, SYS_epoll_ctl, args);
  }
  void rewatch(const proc::EpollWatch& watch, bool must_succeed) {
    epoll_event event{};
    event.events = watch.events;
    event.data.u64 = watch.data;
    const std::array<Argument, 4> args = {number(watch.epoll_fd), number(EPOLL_CTL_ADD),
                                          number(watch.target_fd), data(event)};
    if (must_succeed)
      add(of_fd("epoll_ctl(EPOLL_CTL_ADD)", watch.target_fd), SYS_epoll_ctl, args, -EEXIST)
          .zero_will_do = true;
    else
      add_any(CallName{"epoll_ctl(EPOLL_CTL_ADD)"}, SYS_epoll_ctl, args);
  }

  void undo() {
    const auto& steps = request_.plan->prepare;
    for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
      std::visit(
          Overload{[this](const step::MoveDescriptors& move) { put_back(move); },
                   [this](const step::JoinGroup& join) { join_group(join.undo_pgid, false); }},
          *step);
    }
    // A commit that has failed half way: root was in the group that it steps through.
    if (request_.process->stat.pgid > 0 && commits<step::NewSession>())
      join_group(request_.process->stat.pgid, false);
    for (const CommitStep& step : request_.plan->commit) {
      if (const auto* leave = std::get_if<step::LeaveAsLeader>(&step); leave != nullptr)
        set_foreground(leave->foreground_pgid);
      if (const auto* leave = std::get_if<step::LeaveFront>(&step); leave != nullptr)
        give_front_back(leave->front);
    }
    std::vector<int> open = kept_open_;
    // Still open if a call behind it has failed.
    open.insert(open.end(), channels_.begin(), channels_.end());
    close_all(std::move(open));
  }

  void put_back(const step::MoveDescriptors& move) {
    for (const proc::EpollWatch& watch : move.watches)
      unwatch(watch, false);
    for (auto stale = move.stale.rbegin(); stale != move.stale.rend(); ++stale)
      carry_stale(move, *stale, false);
    restore_put_aside();
    for (const proc::Descriptor& fd : move.fds) {
      add_any(of_fd("dup3", fd.fd), SYS_dup3,
              {number(kept_.at(fd.description).old_fd),
               number(fd.fd),
               number(fd.close_on_exec ? O_CLOEXEC : 0),
               {}});
    }
    for (const proc::EpollWatch& watch : move.watches)
      rewatch(watch, false);
  }

  void commit() {
    if (request_.plan->role != Role::kRoot)
      out_.no_return = out_.commit;
    for (const CommitStep& step : request_.plan->commit) {
      std::visit(Overload{[this](const step::DropTerminal&) {
                            // ENOTTY: the old terminal was hung up meanwhile and is dropped
                            // already.
                            add_any(CallName{"ioctl(TIOCNOTTY)"}, SYS_ioctl,
                                    {number(old_terminal_), number(TIOCNOTTY), {}, {}});
                            no_way_back();
                          },
                          [this](const step::NewSession& session) { new_session(session); },
                          [this](const step::LeaveFront& leave) { set_foreground(leave.to); },
                          [this](const step::LeaveAsLeader& leave) { leave_as_leader(leave); },
                          [this](const step::TakeTerminal& take) { take_terminal(take); },
                          [this](const step::JoinGroup& join) { join_group(join.pgid, true); }},
                 step);
    }
    no_way_back();
    close_all(kept_open_);
  }

  /// What is added from here on cannot be undone.
  void no_way_back() {
    if (out_.no_return == 0)
      out_.no_return = out_.table.calls.size();
  }

  // Lent numbers are mostly neighbours: one call closes them all, open or not.
  void close_all(std::vector<int> fds) {
    std::sort(fds.begin(), fds.end());
    for (auto first = fds.begin(); first != fds.end();) {
      auto last = first;
      while (std::next(last) != fds.end() && *std::next(last) == *last + 1)
        ++last;
      add_any(CallName{"close_range"}, SYS_close_range,
              {number(*first), number(*last), number(0), {}});
      first = std::next(last);
    }
  }

  void join_group(pid_t pgid, bool must_succeed) {
    const pid_t known = as_it_knows(pgid);
    if (known <= 0)
      return;
    const std::array<Argument, 4> args = {number(0), number(known), {}, {}};
    if (must_succeed)
      add(CallName{"setpgid"}, SYS_setpgid, args, 0);
    else
      add_any(CallName{"setpgid"}, SYS_setpgid, args);
  }

  void depart(const step::Depart& step) {
    out_.depart = out_.table.calls.size();
    join_group(step.pgid, true);
    out_.depart_stop = stop(SIGSTOP);
  }

  void keep_front(const step::Depart& step) {
    const pid_t known = as_it_knows(step.front_pgid);
    if (known <= 0)
      return;
    out_.front = out_.table.calls.size();
    add_detour(CallName{"ioctl(TIOCSPGRP) of the old terminal"}, SYS_ioctl,
               {number(old_terminal_), number(TIOCSPGRP), data(known), {}});
  }

  [[nodiscard]] pid_t as_it_knows(pid_t pid) const {
    return request_.snapshot == nullptr
               ? pid
               : proc::number_for(*request_.snapshot, *request_.process, pid);
  }

  void new_session(const step::NewSession& session) {
    if (session.via_pgid != 0)
      join_group(session.via_pgid, true);
    add(CallName{"setsid"}, SYS_setsid, {}, as_it_knows(request_.process->stat.pid));
    no_way_back();
  }

  // Kernel: a session leader's TIOCNOTTY sends SIGHUP and SIGCONT to the foreground group -> that
  // is made the leader's own first, and with all signals blocked both stay queued and can be taken
  // out again by the leader itself. A blocked signal is queued even if it is ignored. Source:
  // drivers/tty/tty_jobctrl.c disassociate_ctty, kernel/signal.c sig_ignored; seen.
  void leave_as_leader(const step::LeaveAsLeader& leave) {
    const pid_t own = as_it_knows(request_.process->stat.pgid);
    add(CallName{"ioctl(TIOCSPGRP) of the old terminal"}, SYS_ioctl,
        {number(old_terminal_), number(TIOCSPGRP), data(own), {}}, 0);
    add(CallName{"ioctl(TIOCNOTTY)"}, SYS_ioctl, {number(old_terminal_), number(TIOCNOTTY), {}, {}},
        0);
    no_way_back();
    if (leave.consume_hup)
      consume(SIGHUP);
    if (leave.consume_cont)
      consume(SIGCONT);
  }

  /// ENOTTY if the old terminal was hung up meanwhile: nothing is left to set then.
  void set_foreground(pid_t pgid) {
    const pid_t known = as_it_knows(pgid);
    if (known <= 0)
      return;
    add_any(CallName{"ioctl(TIOCSPGRP) of the old terminal"}, SYS_ioctl,
            {number(old_terminal_), number(TIOCSPGRP), data(known), {}});
  }

  // Kernel: waitpid(2) takes a stop off a tracee, which runs on when its tracer dies; one that was
  // not waited for stops then -> who undoes alone comes here by way of a stop that its shell may
  // have seen, and taken the terminal: it is to keep that. Source: kernel/exit.c
  // wait_task_stopped, kernel/signal.c ptrace_stop; seen.
  void give_front_back(pid_t pgid) {
    const std::size_t at = out_.table.calls.size();
    set_foreground(pgid);
    if (out_.table.calls.size() == at)
      return;
    out_.undo_front = at;
    out_.table.calls.back().args[kRequestArgument] = number(0);  // no ioctl(2) of a terminal
  }

  void consume(int signo) {
    const std::uint64_t set = 1ULL << static_cast<unsigned>(signo - 1);
    const std::array<std::int64_t, 2> no_time = {0, 0};  // struct timespec
    add_any(CallName{"rt_sigtimedwait"}, SYS_rt_sigtimedwait,
            {data(set), number(0), data(no_time), number(sizeof set)});
  }

  void take_terminal(const step::TakeTerminal& take) {
    add(CallName{"ioctl(TIOCSCTTY)"}, SYS_ioctl,
        {number(new_terminal_), number(TIOCSCTTY), number(0), {}}, 0);
    const pid_t front = as_it_knows(take.foreground_pgid);
    if (front <= 0)
      return;
    add_any(CallName{"ioctl(TIOCSPGRP)"}, SYS_ioctl,
            {number(new_terminal_), number(TIOCSPGRP), data(front), {}});
  }

  std::size_t stop(int signo) {
    add_any(
        CallName{"stop"}, SYS_tgkill,
        {number(as_it_knows(request_.process->stat.pid)), number(request_.tid), number(signo), {}});
    return out_.table.calls.size() - 1;
  }

  /// The end of a part: a stop, the mask, and back; on a page of its own the table goes to the one
  /// that does the same from the vDSO, for the page is not to stay.
  void finish(std::size_t* stop_at, int signo) {
    if (request_.page) {
      Call& unmap = add(CallName{"munmap"}, SYS_munmap,
                        {number(static_cast<std::int64_t>(request_.page->address)),
                         number(static_cast<std::int64_t>(request_.page->size)),
                         {},
                         {}},
                        0);
      unmap.any_result = true;
      unmap.leaves_page = true;
      return;
    }
    *stop_at = stop(signo);
    if (out_.waits_for_guard) {
      out_.names.push_back(CallName{"ppoll"});
      out_.table.calls.push_back(wait_for_guard(out_.table));
    }
    if (!mask_.in_data)
      mask_ = data(request_.signal_mask);
    add_any(CallName{"rt_sigprocmask"}, SYS_rt_sigprocmask,
            {number(SIG_SETMASK), mask_, number(0), number(sizeof request_.signal_mask)});
    add(CallName{"end"}, 0, {}, 0).is_end = true;
  }

  template <class T>
  Argument data(const T& value) {
    return out_.table.add_data(std::as_bytes(std::span(&value, 1)));
  }

  [[nodiscard]] const step::MoveDescriptors* descriptors() const {
    for (const PrepareStep& step : request_.plan->prepare) {
      if (const auto* move = std::get_if<step::MoveDescriptors>(&step))
        return move;
    }
    return nullptr;
  }

  template <class Step>
  [[nodiscard]] bool commits() const {
    for (const CommitStep& step : request_.plan->commit) {
      if (std::holds_alternative<Step>(step))
        return true;
    }
    return false;
  }

  const TableRequest& request_;
  std::size_t next_lent_ = 0;
  BatchTable out_;
  std::map<int, Kept> kept_;    // by description
  std::vector<int> kept_open_;  // lent descriptors that stay open until the end
  struct Aside {
    int fd = -1;
    bool close_on_exec = false;
  };
  std::map<int, Kept> gates_;       // by description
  std::map<int, int> sets_;         // copies of epoll sets
  std::map<int, Aside> put_aside_;  // by the number that the file has otherwise
  std::vector<int> channels_;       // ways to the donor
  int new_terminal_ = -1;
  int old_terminal_ = -1;
  Argument mask_;
};

}  // namespace

std::string CallName::text() const {
  return fd < 0 ? what : std::string(what) + " of descriptor " + std::to_string(fd);
}

BatchTable make_batch_table(const TableRequest& request) {
  return Builder(request).build();
}

}  // namespace grab::tracer
