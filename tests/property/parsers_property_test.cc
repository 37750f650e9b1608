// SPDX-License-Identifier: MIT
// The parsers of /proc on any value (rendering as the kernel does and parsing gives it back) and on
// any text (no crash, and nothing but a value or an Error).
#include <sys/sysmacros.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/text.h"
#include "proc/parse.h"

namespace grab::proc {
namespace {

// What the kernel allows in a name, and more of it than a name has room for.
rc::Gen<std::string> any_comm() {
  return rc::gen::container<std::string>(rc::gen::oneOf(
      rc::gen::nonZero<char>(), rc::gen::element('(', ')', ' ', '\n', '0', '9', 'S')));
}

rc::Gen<std::string> any_bytes() {
  return rc::gen::container<std::string>(
      rc::gen::oneOf(rc::gen::arbitrary<char>(),
                     rc::gen::element('(', ')', ' ', '\n', '\t', ':', '0', '7', '-', 'f')));
}

std::uint32_t encode_device(dev_t device) {
  const std::uint32_t minor_number = minor(device);
  return (minor_number & 0xFFU) | (major(device) << 8U) | ((minor_number & ~0xFFU) << 12U);
}

std::string render(const Stat& stat) {
  std::string text = std::to_string(stat.pid) + " (" + stat.comm + ") " + stat.state;
  const auto add = [&text](auto value) { text += " " + std::to_string(value); };
  const auto add_zeros = [&add](int count) {
    for (int i = 0; i < count; ++i)
      add(0);
  };
  add(stat.ppid);
  add(stat.pgid);
  add(stat.sid);
  add(static_cast<std::int32_t>(encode_device(stat.tty)));
  add(stat.tpgid);
  add(stat.flags);
  add_zeros(10);  // minflt to nice
  add(stat.num_threads);
  add(0);  // itrealvalue
  add(stat.start_time);
  add_zeros(29);  // vsize to env_end
  add(stat.exit_code);
  return text + "\n";
}

Stat any_stat() {
  Stat stat;
  stat.pid = *rc::gen::arbitrary<pid_t>();
  stat.comm = *any_comm();
  stat.state = *rc::gen::element('R', 'S', 'D', 'T', 't', 'Z', 'X', 'I');
  stat.ppid = *rc::gen::arbitrary<pid_t>();
  stat.pgid = *rc::gen::arbitrary<pid_t>();
  stat.sid = *rc::gen::arbitrary<pid_t>();
  stat.tty = makedev(*rc::gen::inRange(0U, 1U << 12U), *rc::gen::inRange(0U, 1U << 20U));
  stat.tpgid = *rc::gen::arbitrary<pid_t>();
  stat.flags = *rc::gen::arbitrary<unsigned>();
  stat.num_threads = *rc::gen::arbitrary<int>();
  stat.start_time = *rc::gen::arbitrary<std::uint64_t>();
  stat.exit_code = *rc::gen::arbitrary<int>();
  return stat;
}

RC_GTEST_PROP(ParseStatProperty, GivesBackWhatWasRendered, ()) {
  const Stat stat = any_stat();
  const Result<Stat> parsed = parse_stat(render(stat));
  RC_ASSERT(parsed.has_value());
  RC_ASSERT(*parsed == stat);
}

RC_GTEST_PROP(ParseStatProperty, RefusesAnyPrefix, ()) {
  const std::string text = render(any_stat());
  const auto length = *rc::gen::inRange<std::size_t>(0, text.size());
  RC_ASSERT(!parse_stat(text.substr(0, length)).has_value());
}

std::string hex16(std::uint64_t value) {
  char text[17];
  (void)std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

// Source: fs/proc/array.c: "\n" and "\\" in the name are escaped, so that it stays one line.
std::string escape(const std::string& comm) {
  std::string out;
  for (const char c : comm) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\\')
      out += "\\\\";
    else
      out += c;
  }
  return out;
}

std::string render(const Status& status, const std::string& comm) {
  const auto ids = [](const Ids& i) {
    return "\t" + std::to_string(i.real) + "\t" + std::to_string(i.effective) + "\t" +
           std::to_string(i.saved) + "\t" + std::to_string(i.fs) + "\n";
  };
  return "Name:\t" + escape(comm) + "\nTracerPid:\t" + std::to_string(status.tracer) +
         "\nUid:" + ids(status.uid) + "Gid:" + ids(status.gid) + "SigPnd:\t" +
         hex16(status.pending.bits) + "\nShdPnd:\t" + hex16(status.shared_pending.bits) +
         "\nSigBlk:\t" + hex16(status.blocked.bits) + "\nSigIgn:\t" + hex16(status.ignored.bits) +
         "\nSigCgt:\t" + hex16(status.caught.bits) + "\nSeccomp:\t" +
         std::to_string(status.seccomp) +
         "\nvoluntary_ctxt_switches:\t1\nnonvoluntary_ctxt_switches:\t2\n";
}

Status any_status() {
  const auto any_ids = [] {
    const auto id = rc::gen::arbitrary<unsigned>();
    return Ids{*id, *id, *id, *id};
  };
  const auto any_set = [] { return SignalSet{*rc::gen::arbitrary<std::uint64_t>()}; };
  Status status;
  status.tracer = *rc::gen::arbitrary<pid_t>();
  status.uid = any_ids();
  status.gid = any_ids();
  status.seccomp = *rc::gen::inRange(0, 3);
  status.pending = any_set();
  status.shared_pending = any_set();
  status.blocked = any_set();
  status.ignored = any_set();
  status.caught = any_set();
  return status;
}

RC_GTEST_PROP(ParseStatusProperty, GivesBackWhatWasRendered, ()) {
  const Status status = any_status();
  const Result<Status> parsed = parse_status(render(status, *any_comm()));
  RC_ASSERT(parsed.has_value());
  RC_ASSERT(*parsed == status);
}

RC_GTEST_PROP(ParseStatusProperty, RefusesAnyPrefix, ()) {
  const std::string text = render(any_status(), *any_comm());
  const auto length = *rc::gen::inRange<std::size_t>(0, text.size());
  RC_ASSERT(!parse_status(text.substr(0, length)).has_value());
}

std::string render(const FdInfo& info) {
  char text[128];
  (void)std::snprintf(text, sizeof text, "pos:\t0\nflags:\t0%o\nmnt_id:\t15\nino:\t3\n",
                      static_cast<unsigned>(info.flags));
  std::string out = text;
  for (const EpollTarget& target : info.epoll_targets) {
    (void)std::snprintf(text, sizeof text,
                        "tfd: %8d events: %8x data: %16llx  pos:%lli ino:%lx sdev:%x\n", target.fd,
                        target.events, static_cast<unsigned long long>(target.data), 0LL,
                        static_cast<unsigned long>(target.inode), 1U);
    out += text;
  }
  if (info.tty_index)
    out += "tty-index:\t" + std::to_string(*info.tty_index) + "\n";
  return out;
}

RC_GTEST_PROP(ParseFdinfoProperty, GivesBackWhatWasRendered, ()) {
  FdInfo info;
  info.flags = *rc::gen::inRange(0, 1 << 24);
  const auto count = *rc::gen::inRange(0, 5);
  for (int i = 0; i < count; ++i)
    info.epoll_targets.push_back(
        {*rc::gen::inRange(0, 1 << 20), *rc::gen::arbitrary<std::uint32_t>(),
         *rc::gen::arbitrary<std::uint64_t>(), *rc::gen::arbitrary<std::uint64_t>()});
  if (*rc::gen::arbitrary<bool>())
    info.tty_index = *rc::gen::inRange(0, 1 << 20);
  const Result<FdInfo> parsed = parse_fdinfo(render(info));
  RC_ASSERT(parsed.has_value());
  RC_ASSERT(*parsed == info);
}

RC_GTEST_PROP(ParseChildrenProperty, GivesBackWhatWasRendered, ()) {
  const auto pids = *rc::gen::container<std::vector<pid_t>>(rc::gen::inRange<pid_t>(1, 1 << 22));
  std::string text;
  for (const pid_t pid : pids)
    text += std::to_string(pid) + " ";
  const Result<std::vector<pid_t>> parsed = parse_children(text);
  RC_ASSERT(parsed.has_value());
  RC_ASSERT(*parsed == pids);
}

// A text of the kernel's with some bytes of it replaced by others.
std::string spoil(std::string text) {
  const auto changes = *rc::gen::inRange(1, 8);
  for (int i = 0; i < changes; ++i)
    text[*rc::gen::inRange<std::size_t>(0, text.size())] = *rc::gen::arbitrary<char>();
  return text;
}

void parse_all(const std::string& text) {
  (void)parse_stat(text);  // a value or an Error, whichever
  (void)parse_status(text);
  (void)parse_fdinfo(text);
  (void)parse_auxv_vdso(text);
  (void)parse_elf_class(text);
  RC_ASSERT(parse_cmdline(text).size() <= text.size());
  const Result<std::vector<pid_t>> children = parse_children(text);
  for (const pid_t pid : children.value_or(std::vector<pid_t>()))
    RC_ASSERT(pid > 0);
}

RC_GTEST_PROP(ParsersProperty, SurviveGarbage, ()) {
  parse_all(*any_bytes());
}

RC_GTEST_PROP(ParsersProperty, SurviveSpoiltText, ()) {
  parse_all(spoil(render(any_stat())));
  parse_all(spoil(render(any_status(), *any_comm())));
  FdInfo info;
  info.epoll_targets = {{1, 2, 3}, {4, 5, 6}};
  info.tty_index = 7;
  parse_all(spoil(render(info)));
}

RC_GTEST_PROP(PrintableProperty, LeavesNoControlCharacterAndIsStable, ()) {
  const std::string text = printable(*any_bytes());
  for (const char c : text)
    RC_ASSERT(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
  RC_ASSERT(printable(text) == text);
}

}  // namespace
}  // namespace grab::proc
