// SPDX-License-Identifier: MIT
// What single words of the command line mean: process ids, times, keys, signals, text to type.
// Pure. Every error is one sentence (kUsage), with what to write instead as its hint.
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace grab::cli {

/// The largest process id that any Linux can give: PID_MAX_LIMIT of a 64-bit kernel.
/// Source: proc(5) /proc/sys/kernel/pid_max.
inline constexpr long kLargestPid = 1L << 22;

/// The longest --timeout, in seconds: a day. More is a slip, and overflows a poll(2) in the end.
inline constexpr double kLongestTimeout = 24.0 * 60 * 60;

/// "try grab attach --help", a hint; without a command "try grab --help".
[[nodiscard]] std::string try_help(std::string_view command = {});

/// The error that ends in the usage: kUsage.
[[nodiscard]] tl::unexpected<Error> usage(std::string what, std::string hint = try_help());

/// The word made safe to print, between double quotes.
[[nodiscard]] std::string in_quotes(std::string_view word);

[[nodiscard]] bool all_digits(std::string_view word);

[[nodiscard]] Result<pid_t> parse_pid(std::string_view word);

/// Seconds, as --timeout takes them.
[[nodiscard]] Result<double> parse_timeout(std::string_view word);

/// A name that a tree may have.
[[nodiscard]] Result<std::string> parse_name(std::string_view word);

/// The name of a moved tree, or a process id, which comes back without leading zeros. (A name
/// cannot be all digits, so the two are never mixed up.)
[[nodiscard]] Result<std::string> parse_target(std::string_view word);

/// A control character as ^\ or ^a, as itself, or nothing for "none".
[[nodiscard]] Result<std::optional<unsigned char>> parse_key(std::string_view word);

/// "^\", "^A", "^?": what parse_key() reads.
[[nodiscard]] std::string key_name(unsigned char key);

/// "TERM", "SIGTERM", "sigterm", "15", "RTMIN+3", "RTMAX-1".
[[nodiscard]] Result<int> parse_signal(std::string_view word);

/// The text with its escapes (\r \n \t \e \a \b \f \v \\ \" \' \xHH \OOO) as the bytes they mean.
[[nodiscard]] Result<std::string> unescape(std::string_view text);

/// The one of `known` that was probably meant by `word`; empty if none is near.
[[nodiscard]] std::string_view nearest_word(std::string_view word,
                                            std::span<const std::string_view> known);

}  // namespace grab::cli
