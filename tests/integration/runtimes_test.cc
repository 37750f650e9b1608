// SPDX-License-Identifier: MIT
// Programs of languages that bring threads of their own: these block in calls of every kind, run
// without making any, and have stacks of a few kilobytes.
#include <stdlib.h>

#include <filesystem>
#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"

namespace grab::test {
namespace {

class Runtimes : public GrabTest {};

// Two goroutines that never pause, a hundred that sleep, one for ^C, one that reads.
const char* const kGoProgram = R"(package main

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	for i := 0; i < 2; i++ {
		go func() {
			for end := time.Now().Add(time.Minute); time.Now().Before(end); {
			}
		}()
	}
	for i := 0; i < 100; i++ {
		go func() {
			for {
				time.Sleep(time.Millisecond)
			}
		}()
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	go func() {
		for range interrupted {
			fmt.Println("interrupted")
		}
	}()
	lines := bufio.NewScanner(os.Stdin)
	fmt.Println("ready", os.Getpid())
	for lines.Scan() {
		fmt.Println("got:", lines.Text())
	}
	os.Exit(7)
}
)";

// A thread that sleeps a thousand times a second, beside those of the virtual machine.
const char* const kBeanShellScript = R"(run() {
  while (true)
    Thread.sleep(1);
}
new Thread(this).start();
lines = new BufferedReader(new InputStreamReader(System.in));
print("ready " + ProcessHandle.current().pid());
for (line = lines.readLine(); line != null; line = lines.readLine())
  print("got: " + line);
System.exit(7);
)";

const char* const kCargoToml = R"([package]
name = "lines"
version = "0.0.0"
edition = "2021"
[dependencies.tokio]
version = "1"
default-features = false
features = ["rt-multi-thread", "io-std", "io-util", "signal", "time"]
[profile.dev]
debug = false
)";

// As Debian installs the sources of libraries.
const char* const kCargoConfig = R"([source.crates-io]
replace-with = "debian"
[source.debian]
directory = "/usr/share/cargo/registry"
)";

// Four workers that wait by epoll_wait(2) with timeouts and by futex(2), a hundred tasks that
// sleep, one for ^C, and a thread that reads for one more.
const char* const kTokioProgram = R"(use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::runtime::Builder;
use tokio::signal::unix::{signal, SignalKind};

async fn work() {
    for _ in 0..100 {
        tokio::spawn(async {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
    let mut interrupts = signal(SignalKind::interrupt()).unwrap();
    tokio::spawn(async move {
        while interrupts.recv().await.is_some() {
            println!("interrupted");
        }
    });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    println!("ready {}", std::process::id());
    while let Some(line) = lines.next_line().await.unwrap() {
        println!("got: {line}");
    }
    std::process::exit(7);
}

fn main() {
    Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap().block_on(work());
}
)";

TEST_F(Runtimes, AGoProgramReadsAndIsInterruptedAsBefore) {
  if (!installed("go"))
    GTEST_SKIP() << "go is not installed";
  write_file(scratch("lines.go"), kGoProgram);
  const std::string folder = scratch_folder();
  ASSERT_EQ(::system(("cd '" + folder + "' && HOME='" + folder +
                      "' GO111MODULE=off go build -o lines lines.go")
                         .c_str()),
            0);
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start(scratch("lines"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
  second.type("\x03");
  EXPECT_TRUE(second.expect("interrupted"));
  EXPECT_TRUE(second.echoes("more"));
  second.type("\x04");
  EXPECT_TRUE(second.expect_grab_ended(7));
}

TEST_F(Runtimes, ATokioProgramReadsAndIsInterruptedAsBefore) {
  if (!std::filesystem::exists("/usr/bin/cargo") ||
      !std::filesystem::exists("/usr/share/cargo/registry"))
    GTEST_SKIP() << "Debian's cargo and librust-tokio-dev are not installed";
  const std::string folder = scratch_folder();
  std::filesystem::create_directories(folder + "/src");
  std::filesystem::create_directories(folder + "/.cargo");
  write_file(scratch("Cargo.toml"), kCargoToml);
  write_file(scratch(".cargo/config.toml"), kCargoConfig);
  write_file(scratch("src/main.rs"), kTokioProgram);
  ASSERT_EQ(::system(("cd '" + folder + "' && HOME='" + folder + "' CARGO_HOME='" + folder +
                      "' RUSTC=/usr/bin/rustc /usr/bin/cargo build --offline --quiet")
                         .c_str()),
            0);
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start(scratch("target/debug/lines"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
  second.type("\x03");
  EXPECT_TRUE(second.expect("interrupted"));
  first.close_window();
  EXPECT_TRUE(second.echoes("more"));
  second.type("\x04");
  EXPECT_TRUE(second.expect_grab_ended(7));
}

TEST_F(Runtimes, AJavaProgramReadsAndEndsAsBefore) {
  if (!installed("java"))
    GTEST_SKIP() << "java is not installed";
  write_file(scratch("lines.bsh"), kBeanShellScript);
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid =
      first.start("java -cp /usr/share/java/bsh.jar bsh.Interpreter " + scratch("lines.bsh"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
  first.close_window();
  EXPECT_TRUE(second.echoes("more"));
  second.type("\x04");
  EXPECT_TRUE(second.expect_grab_ended(7));
}

}  // namespace
}  // namespace grab::test
