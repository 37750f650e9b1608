// SPDX-License-Identifier: MIT
#include "proc/parse.h"

#include <elf.h>
#include <sys/sysmacros.h>

#include <array>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>

#include <gmock/gmock.h>

namespace grab::proc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// As Linux 6.18 printed them, the names and numbers changed.
std::string stat_text(const std::string& comm) {
  return "4711 (" + comm +
         ") T 4700 4711 4690 34819 4711 4194304 101 2 0 0 7 8 0 0 20 0 3 0 123456 2494464 251 "
         "18446744073709551615 1 1 0 0 0 0 0 4096 2 0 0 0 17 5 0 0 0 0 0 0 0 0 0 0 0 0 256\n";
}

constexpr std::string_view kStatus =
    "Name:\tevil\\nUid:\\t0\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t4711\nNgid:\t0\n"
    "Pid:\t4711\nPPid:\t4700\nTracerPid:\t99\nUid:\t1000\t1001\t1002\t1003\n"
    "Gid:\t100\t101\t102\t103\nFDSize:\t64\nGroups:\t100 \nVmPeak:\t 2436 kB\nThreads:\t1\n"
    "SigQ:\t0/96365\nSigPnd:\t0000000000000001\nShdPnd:\t0000000000040000\n"
    "SigBlk:\t0000000000010000\nSigIgn:\t0000000000384004\nSigCgt:\t800000004b813efb\n"
    "CapInh:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n"
    "voluntary_ctxt_switches:\t1\nnonvoluntary_ctxt_switches:\t0\nx86_Thread_features:\t\n";

constexpr std::string_view kEpollInfo =
    "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t1043\n"
    "tfd:        0 events:       19 data: deadbeef00000007  pos:0 ino:3 sdev:1a\n"
    "tfd:       12 events: 8000001d data:                c  pos:0 ino:4 sdev:1a\n";

TEST(ParseStat, ReadsEveryField) {
  const Result<Stat> stat = parse_stat(stat_text("make"));
  ASSERT_TRUE(stat) << stat.error().message();
  Stat expected;
  expected.pid = 4711;
  expected.comm = "make";
  expected.state = 'T';
  expected.ppid = 4700;
  expected.pgid = 4711;
  expected.sid = 4690;
  expected.tty = makedev(136, 3);
  expected.tpgid = 4711;
  expected.flags = 4194304;
  expected.num_threads = 3;
  expected.start_time = 123456;
  expected.exit_code = 256;
  EXPECT_EQ(*stat, expected);
}

TEST(ParseStat, TellsTheProcessorThatTheThreadLastRanOn) {
  const Result<int> processor = parse_stat_processor(stat_text(") S 0 0"));
  ASSERT_TRUE(processor);
  EXPECT_EQ(*processor, 5);
  EXPECT_FALSE(parse_stat_processor("4711 (make) T 4700\n"));
  std::string text = stat_text("make");
  text.replace(text.find(" 17 5 "), 6, " 17 x ");
  EXPECT_FALSE(parse_stat_processor(text));
}

TEST(ParseStat, NameMayHoldAnything) {
  for (const std::string comm :
       {"", ")", "(", ") (", ") R 1 2 3", "a b", "\n", "x)\ny", " ", "\xff\x01", "1 (a) S 0 0"}) {
    const Result<Stat> stat = parse_stat(stat_text(comm));
    ASSERT_TRUE(stat) << comm;
    EXPECT_EQ(stat->comm, comm);
    EXPECT_EQ(stat->ppid, 4700);
  }
}

TEST(ParseStat, RefusesTextCutOffAnywhere) {
  for (const std::string comm : {"make", "x)\ny", ") S 1 1 1"}) {
    const std::string text = stat_text(comm);
    for (std::size_t n = 0; n < text.size(); ++n)
      EXPECT_FALSE(parse_stat(text.substr(0, n))) << n;
  }
}

TEST(ParseStat, RefusesNumbersOutOfRange) {
  const std::string text = stat_text("make");
  const auto with = [&text](const std::string& from, const std::string& to) {
    std::string changed = text;
    return changed.replace(changed.find(from), from.size(), to);
  };
  EXPECT_FALSE(parse_stat(with("4700", "99999999999999999999999")));
  EXPECT_FALSE(parse_stat(with("4700", "2147483648")));
  EXPECT_FALSE(parse_stat(with("4700", "+1")));
  EXPECT_FALSE(parse_stat(with("4700", "0x10")));
  EXPECT_FALSE(parse_stat(with("4700", "")));
  EXPECT_FALSE(parse_stat(with("123456", "-1")));
  EXPECT_FALSE(parse_stat(with(") T", ") TT")));
  EXPECT_TRUE(parse_stat(with("4711 4194304", "-1 4194304")));  // tpgid without a terminal
}

TEST(ParseStat, DecodesTerminalNumbers) {
  EXPECT_EQ(decode_device(0x8803), makedev(136, 3));
  EXPECT_EQ(decode_device(0x400 | 1), makedev(4, 1));
  EXPECT_EQ(decode_device(0x10088FF), makedev(136, 0x10FF));
  // Printed as a signed number where the minor has its highest bit.
  std::string text = stat_text("x");
  text.replace(text.find("34819"), 5, "-2147448829");
  const Result<Stat> stat = parse_stat(text);
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->tty, makedev(136, 0x80003));
}

// As Linux 6.18 printed it, shortened.
constexpr std::string_view kSched =
    "cat (26621, #threads: 1)\n"
    "-------------------------------------------------------------------\n"
    "se.exec_start                                :      62678813.573427\n"
    "se.vruntime                                  :          3114.055005\n"
    "nr_switches                                  :                    9\n"
    "nr_voluntary_switches                        :                    7\n"
    "nr_involuntary_switches                      :                    2\n";

TEST(ParseSched, ReadsWhenAThreadWentToSleepAndHowOftenItDid) {
  const Result<Scheduling> scheduling = parse_sched(kSched);
  ASSERT_TRUE(scheduling) << scheduling.error().message();
  EXPECT_EQ(scheduling->exec_start, std::chrono::nanoseconds(62678813573427));
  EXPECT_EQ(scheduling->voluntary_switches, 7U);
}

TEST(ParseSched, RefusesTextThatLacksALineOrHasOtherNumbers) {
  const auto with = [](const std::string& from, const std::string& to) {
    std::string changed(kSched);
    return changed.replace(changed.find(from), from.size(), to);
  };
  EXPECT_FALSE(parse_sched(""));
  EXPECT_FALSE(parse_sched(with("se.exec_start", "exec_start")));
  EXPECT_FALSE(parse_sched(with("nr_voluntary", "voluntary")));
  EXPECT_FALSE(parse_sched(with("813.573427", "813.57342")));
  EXPECT_FALSE(parse_sched(with("62678813", "-62678813")));
  EXPECT_FALSE(parse_sched(with("    7\n", "    x\n")));
}

TEST(ParseSyscall, TellsTheCallOfAThreadThatWaitsInOne) {
  EXPECT_EQ(parse_syscall_number("232 0x4 0x7ffd 0x1 0x3e8 0x0 0x8 0x7ffd10 0x7f12\n"), 232);
  EXPECT_EQ(parse_syscall_number("-1 0x7ffd10 0x7f12\n"), std::nullopt);
  EXPECT_EQ(parse_syscall_number("running\n"), std::nullopt);
  EXPECT_EQ(parse_syscall_number(""), std::nullopt);
}

TEST(ParseStatus, ReadsEveryField) {
  const Result<Status> status = parse_status(kStatus);
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(status->tracer, 99);
  EXPECT_EQ(status->uid, (Ids{1000, 1001, 1002, 1003}));
  EXPECT_EQ(status->gid, (Ids{100, 101, 102, 103}));
  EXPECT_EQ(status->seccomp, 2);
  EXPECT_TRUE(status->pending.has(1));
  EXPECT_TRUE(status->shared_pending.has(19));
  EXPECT_TRUE(status->blocked.has(17));
  EXPECT_EQ(status->ignored.bits, 0x384004U);
  EXPECT_TRUE(status->caught.has(64));
  EXPECT_FALSE(status->caught.has(9));
}

TEST(ParseStatus, TellsItsNumbersInEveryPidNamespaceAndItsCapabilities) {
  std::string text(kStatus);
  text.insert(text.find("SigPnd"),
              "NStgid:\t4711\t12\t1\nNSpid:\t4712\t13\t2\nNSpgid:\t4700\t0\t0\nCapEff:"
              "\t0000000000080001\n");
  const auto status = parse_status(text);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->ns_pids, (std::vector<pid_t>{4711, 12, 1}));
  EXPECT_EQ(status->ns_tids, (std::vector<pid_t>{4712, 13, 2}));
  EXPECT_EQ(status->ns_pgids, (std::vector<pid_t>{4700, 0, 0}));
  EXPECT_EQ(status->capabilities, 0x80001U);
}

TEST(ParseStatus, DoesWithoutSeccompLine) {
  std::string text(kStatus);
  text.erase(text.find("Seccomp:\t2\n"), std::strlen("Seccomp:\t2\n"));
  const Result<Status> status = parse_status(text);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->seccomp, 0);
}

TEST(ParseStatus, RefusesTextCutOffAnywhere) {
  // The last line is of one architecture only, and nothing that grab needs comes after the line
  // before it: from there on the text is good enough.
  const std::size_t enough = kStatus.find("nonvoluntary_ctxt_switches:\t0\n") +
                             std::strlen("nonvoluntary_ctxt_switches:\t0\n");
  for (std::size_t n = 0; n < kStatus.size(); ++n)
    EXPECT_EQ(parse_status(kStatus.substr(0, n)).has_value(), n == enough) << n;
}

TEST(ParseStatus, RefusesWhatIsMissingTwiceOrNoNumber) {
  for (const std::string key :
       {"TracerPid:", "\nUid:", "\nGid:", "SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:", "SigCgt:"}) {
    std::string text(kStatus);
    text.insert(text.find(key) + key.size() - 1, "x");
    EXPECT_FALSE(parse_status(text)) << "without " << key;
    text = kStatus;
    text.insert(text.find(key) + key.size(), "\tz");
    EXPECT_FALSE(parse_status(text)) << "no number in " << key;
  }
  EXPECT_FALSE(parse_status("SigCgt:\t0\n" + std::string(kStatus)));
}

TEST(ParseFdinfo, ReadsFlagsAsOctal) {
  const Result<FdInfo> info = parse_fdinfo("pos:\t0\nflags:\t02104002\nmnt_id:\t15\n");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->flags, 02104002);
  EXPECT_THAT(info->epoll_targets, IsEmpty());
  EXPECT_EQ(info->tty_index, std::nullopt);
}

TEST(ParseFdinfo, TellsOfARingWhetherSomethingWaitsByIt) {
  const std::string start = "pos:\t0\nflags:\t02000002\nUserFiles:\t1\n";
  const std::string file = "    0: /dev/pts/4\n";
  const std::string waits = "UserBufs:\t0\nPollList:\n  op=22, task_works=0\nCqOverflowList:\n";
  const std::string idle = "UserBufs:\t0\nPollList:\nCqOverflowList:\n  user_data=1, res=0\n";
  EXPECT_TRUE(may_wait_for_terminal(start + waits));
  EXPECT_FALSE(may_wait_for_terminal(start + idle));
  EXPECT_TRUE(may_wait_for_terminal(start + file + idle)) << "registered";
  EXPECT_FALSE(may_wait_for_terminal(start + "    0: /tmp/a\n" + idle));
  EXPECT_TRUE(may_wait_for_terminal(start)) << "what is not told must not be taken for nothing";
}

TEST(ParseFdinfo, ReadsEpollTargets) {
  const Result<FdInfo> info = parse_fdinfo(kEpollInfo);
  ASSERT_TRUE(info);
  EXPECT_THAT(info->epoll_targets, ElementsAre(EpollTarget{0, 0x19, 0xdeadbeef00000007U, 3},
                                               EpollTarget{12, 0x8000001dU, 0xc, 4}));
}

TEST(ParseFdinfo, ReadsTtyIndexOfPtmx) {
  const Result<FdInfo> info = parse_fdinfo("pos:\t0\nflags:\t02\ntty-index:\t17\n");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->tty_index, 17);
}

TEST(ParseFdinfo, RefusesGarbage) {
  for (const std::string text :
       {"", "flags:\t02", "pos:\t0\n", "flags:\t09\n", "flags:\t\n", "flags:\t02\ntty-index:\tx\n",
        "flags:\t02\ntfd: 1 events: zz data: 0\n", "flags:\t02\ntfd:\n",
        "flags:\t02\ntfd: -1 events: 1 data: 0\n", "flags:\t02\ntfd: 1 events: 1\n",
        "flags:\t02\ntfd: 1 events: 1 data: 10000000000000000\n"})
    EXPECT_FALSE(parse_fdinfo(text)) << text;
}

TEST(ParseFdinfo, SurvivesTextCutOffAnywhere) {
  const Result<FdInfo> whole = parse_fdinfo(kEpollInfo);
  ASSERT_TRUE(whole);
  for (std::size_t n = 0; n < kEpollInfo.size(); ++n) {
    const Result<FdInfo> cut = parse_fdinfo(kEpollInfo.substr(0, n));
    if (cut) {  // at the end of a line
      EXPECT_LT(cut->epoll_targets.size(), whole->epoll_targets.size()) << n;
    }
  }
}

TEST(ParseChildren, ReadsPids) {
  EXPECT_THAT(parse_children("").value(), IsEmpty());
  EXPECT_THAT(parse_children("12 4194303 ").value(), ElementsAre(12, 4194303));
}

TEST(ParseChildren, RefusesGarbageAndTextCutOff) {
  for (const char* text : {"12", "12 3", " ", "12  13 ", "a ", "-1 ", "0 ", "99999999999 ", "1\n"})
    EXPECT_FALSE(parse_children(text)) << text;
}

std::string auxv(const std::vector<std::uint64_t>& words) {
  std::string bytes(words.size() * sizeof words[0], '\0');
  std::memcpy(bytes.data(), words.data(), bytes.size());
  return bytes;
}

TEST(ParseAuxv, FindsTheVdso) {
  const std::string bytes =
      auxv({AT_PAGESZ, 4096, AT_SYSINFO_EHDR, 0x7ffff7fc1000, AT_UID, 0, AT_NULL, 0});
  EXPECT_EQ(parse_auxv_vdso(bytes), 0x7ffff7fc1000U);
  EXPECT_EQ(parse_auxv_vdso(auxv({AT_PAGESZ, 4096, AT_NULL, 0})), 0U);
}

TEST(ParseAuxv, RefusesTextCutOffAnywhere) {
  const std::string bytes = auxv({AT_SYSINFO_EHDR, 0x7ffff7fc1000, AT_NULL, 0});
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(parse_auxv_vdso(bytes.substr(0, n))) << n;
}

TEST(ParseCmdline, JoinsWordsBySpaces) {
  using std::string_literals::operator""s;
  EXPECT_EQ(parse_cmdline(""), "");
  EXPECT_EQ(parse_cmdline("make\0-j4\0all\0"s), "make -j4 all");
  EXPECT_EQ(parse_cmdline("nginx: worker\0\0\0\0"s), "nginx: worker");
  EXPECT_EQ(parse_cmdline("sh\0-c\0\0x\0"s), "sh -c  x");
  EXPECT_EQ(parse_cmdline("\0\0"s), "");
}

TEST(ParseElfClass, TellsTheClass) {
  EXPECT_EQ(parse_elf_class("\x7f"
                            "ELF\x02\x01"),
            64);
  EXPECT_EQ(parse_elf_class("\x7f"
                            "ELF\x01\x01"),
            32);
  EXPECT_EQ(parse_elf_class("\x7f"
                            "ELF\x07"),
            0);
  EXPECT_EQ(parse_elf_class("\x7f"
                            "ELF"),
            0);
  EXPECT_EQ(parse_elf_class("#!/bin/sh"), 0);
  EXPECT_EQ(parse_elf_class(""), 0);
}

TEST(IsX32Elf, KnowsItFromA32BitProgramByItsMachine) {
  using std::string_literals::operator""s;
  const std::string rest(10, '\0');
  const std::string head32 =
      "\x7f"
      "ELF\x01\x01" +
      rest + "\x02";
  const std::string head64 =
      "\x7f"
      "ELF\x02\x01" +
      rest + "\x02";
  EXPECT_TRUE(is_x32_elf(head32 + "\0\x3e\0"s));
  EXPECT_FALSE(is_x32_elf(head32 + "\0\x03\0"s));
  EXPECT_FALSE(is_x32_elf(head64 + "\0\x3e\0"s));
  EXPECT_FALSE(is_x32_elf(head32));
}

TEST(ParseLimits, GivesTheSoftLimitOfOpenFiles) {
  const std::string head =
      "Limit                     Soft Limit           Hard Limit           Units     \n"
      "Max processes             unlimited            unlimited            processes \n";
  EXPECT_EQ(parse_limits_nofile(head + "Max open files            1024                 4096"
                                       "                 files     \n"),
            1024U);
  EXPECT_EQ(parse_limits_nofile(head + "Max open files            unlimited            unlimited"
                                       "            files     \n"),
            std::numeric_limits<std::uint64_t>::max());
  EXPECT_FALSE(parse_limits_nofile(head));
  EXPECT_FALSE(parse_limits_nofile("Max open files"));
  EXPECT_FALSE(parse_limits_nofile(""));
}

}  // namespace
}  // namespace grab::proc
