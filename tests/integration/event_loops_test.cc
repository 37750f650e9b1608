// SPDX-License-Identifier: MIT
// Programs built on an event loop: what they wait for keys with is moved along, and a timer that
// runs beside goes on.
#include <stdlib.h>

#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"

namespace grab::test {
namespace {

// Each answers every line, and ends with status 7 at end of input; a timer runs beside.
const char* const kNode = R"(setInterval(() => {}, 3);
const lines = require('readline').createInterface({input: process.stdin});
lines.on('line', (line) => console.log('got: ' + line));
lines.on('close', () => process.exit(7));
console.log('ready ' + process.pid);
)";

// Keys one by one, from a terminal in raw mode.
const char* const kNodeKeys = R"(process.stdin.setRawMode(true);
let line = '';
process.stdin.on('data', (keys) => {
  for (const key of keys.toString()) {
    if (key === '\u0004') process.exit(7);
    if (key !== '\r') { line += key; continue; }
    process.stdout.write('\ngot: ' + line + '\n');
    line = '';
  }
});
console.log('ready ' + process.pid);
)";

const char* const kAsyncio = R"(import asyncio, os, sys
async def main():
    async def tick():
        while True:
            await asyncio.sleep(0.003)
    ticking = asyncio.create_task(tick())
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", os.getpid(), flush=True)
    while line := await reader.readline():
        print("got:", line.decode().strip(), flush=True)
    os._exit(7)
asyncio.run(main())
)";

const char* const kLibuv = R"(#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>
static char buffer[4096];
static void room(uv_handle_t* handle, size_t size, uv_buf_t* out) {
  *out = uv_buf_init(buffer, sizeof buffer);
}
static void tick(uv_timer_t* timer) {}
static void got(uv_stream_t* stream, ssize_t size, const uv_buf_t* in) {
  if (size < 0)
    exit(size == UV_EOF ? 7 : 8);
  printf("got: %.*s", (int)size, in->base);
  fflush(stdout);
}
int main(void) {
  uv_tty_t tty;
  uv_timer_t timer;
  uv_tty_init(uv_default_loop(), &tty, 0, 1);
  uv_read_start((uv_stream_t*)&tty, room, got);
  uv_timer_init(uv_default_loop(), &timer);
  uv_timer_start(&timer, tick, 3, 3);
  printf("ready %d\n", getpid());
  fflush(stdout);
  return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
)";

const char* const kLibevent = R"(#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void tick(evutil_socket_t fd, short what, void* unused) {}
static void got(evutil_socket_t fd, short what, void* unused) {
  char line[4096];
  ssize_t size = read(fd, line, sizeof line);
  if (size <= 0)
    exit(size == 0 ? 7 : 8);
  printf("got: %.*s", (int)size, line);
  fflush(stdout);
}
int main(void) {
  struct event_base* base = event_base_new();
  struct timeval time = {0, 3000};
  event_add(event_new(base, 0, EV_READ | EV_PERSIST, got, NULL), NULL);
  event_add(event_new(base, -1, EV_PERSIST, tick, NULL), &time);
  printf("ready %d\n", getpid());
  fflush(stdout);
  return event_base_dispatch(base);
}
)";

class EventLoops : public GrabTest {
 protected:
  void reads_and_ends_as_before(const std::string& command) {
    Shell first("bash");
    SecondTerminal second;
    const pid_t pid = first.start(command);
    ASSERT_TRUE(grabs_tree(second, first, pid));
    EXPECT_TRUE(second.echoes("one"));
    first.close_window();
    EXPECT_TRUE(second.echoes("two"));
    second.type("\x04");
    EXPECT_TRUE(second.expect_grab_ended(7));
  }

  std::string script(const std::string& name, const std::string& text) {
    write_file(scratch(name), text);
    return scratch(name);
  }

  std::string program(const std::string& name, const std::string& text,
                      const std::string& library) {
    const std::string source = script(name + ".c", text);
    EXPECT_EQ(::system(("cc -o '" + scratch(name) + "' '" + source + "' " + library).c_str()), 0);
    return scratch(name);
  }
};

TEST_F(EventLoops, ANodeProgramReadsLinesAsBefore) {
  reads_and_ends_as_before("node " + script("lines.js", kNode));
}

TEST_F(EventLoops, ANodeProgramReadsKeysAsBefore) {
  reads_and_ends_as_before("node " + script("keys.js", kNodeKeys));
}

TEST_F(EventLoops, AnAsyncioProgramReadsLinesAsBefore) {
  reads_and_ends_as_before("python3 " + script("lines.py", kAsyncio));
}

TEST_F(EventLoops, ALibuvProgramReadsLinesAsBefore) {
  reads_and_ends_as_before(program("libuv", kLibuv, "-luv"));
}

TEST_F(EventLoops, ALibeventProgramReadsLinesAsBefore) {
  reads_and_ends_as_before(program("libevent", kLibevent, "-levent"));
}

}  // namespace
}  // namespace grab::test
