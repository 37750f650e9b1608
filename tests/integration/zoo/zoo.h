// SPDX-License-Identifier: MIT
// What the behaviours of tracee_zoo share. No code of the project is used in the zoo: it stands for
// the programs that users run.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace zoo {

using Args = std::vector<std::string>;
using Commands = std::map<std::string, std::function<void()>>;

/// Writes all of the text to descriptor 1, in one write where the kernel takes it.
void say(const std::string& text);
/// Says "ready PID": everything that this behaviour is about is set up now.
void say_ready();
/// Ends the program with a message if a call failed that the behaviour is built on.
long must(long result, const char* what);

/// Reads lines from descriptor 0 and answers each: "got: LINE", unless it is one of `extra` or of
/// what all behaviours know: `report`, `spawn`, `exit N`, `kill N`. Returns at end of input; says
/// so when a read fails.
int serve(const Commands& extra = {});

/// Number of a signal from its name without SIG, or from its number.
int signal_number(const std::string& name);
/// Waits until thread `tid` of this process sleeps in the kernel.
void wait_until_asleep(pid_t tid);
/// The same for another process (its main thread).
void wait_until_process_asleep(pid_t pid);

int blocked(const Args& args);
int blocked_tree(const Args& args);
int limited_calls(const Args& args);
int handlers(const Args& args);
int readers(const Args& args);
int line_modes(const Args& args);
int fd_keeper(const Args& args);
int fd_exhausted(const Args& args);
int shared_table(const Args& args);
int epoll_lines(const Args& args);
int epoll_parent(const Args& args);
int ring_lines(const Args& args);
int sigio_lines(const Args& args);
int no_terminal(const Args& args);
int catch_signals(const Args& args);
int catch_and_wait(const Args& args);
int ignore_signals(const Args& args);
int pending_signals(const Args& args);
int read_late(const Args& args);
int signal_stream(const Args& args);
int fullscreen(const Args& args);
int threads(const Args& args);
int dead_leader(const Args& args);
int zombie_parent(const Args& args);
int brief_zombie_parent(const Args& args);
int vfork_slow(const Args& args);
int vfork_brief(const Args& args);
int vfork_late(const Args& args);
int vfork_exec(const Args& args);
int storm_tree(const Args& args);
int storm_again(const Args& args);
int storm_newborn(const Args& args);
int fork_storm(const Args& args);
int exec_storm(const Args& args);
int seccomp_filter(const Args& args);
int undumpable(const Args& args);
int own_session(const Args& args);
int client_of_server(const Args& args);
int vdso_moved(const Args& args);
int vdso_unmapped(const Args& args);
int vdso_file(const Args& args);
int many_descriptors(const Args& args);
int many_processes(const Args& args);
int many_threads(const Args& args);
int thread_storm(const Args& args);
int without_stack(const Args& args);
int small_stack(const Args& args);
int signal_stack(const Args& args);
int user_dispatch(const Args& args);
int restartable(const Args& args);
int own_ptmx(const Args& args);
int whole_writes(const Args& args);
int whole_send(const Args& args);
int timed_write(const Args& args);
int own_devpts(const Args& args);
int without_terminal_descriptors(const Args& args);
int descriptor_thief(const Args& args);
int false_guard(const Args& args);
int int80_lines(const Args& args);
int code_32(const Args& args);
int run_below(const Args& args);

}  // namespace zoo
