// SPDX-License-Identifier: MIT
// Which sequences a terminal answers. Source: xterm's ctlseqs, kitty's protocol extensions.
#pragma once

#include <span>
#include <string_view>

namespace grab::relay {

/// A control sequence: CSI, a byte of < = > ? or 0, parameters, an intermediate byte or 0, final.
[[nodiscard]] bool is_query(char prefix, std::span<const unsigned> parameters, char intermediate,
                            char final);
/// An OSC string, without its introducer and its end.
[[nodiscard]] bool is_osc_query(std::string_view content);
/// A DCS string, likewise.
[[nodiscard]] bool is_dcs_query(std::string_view content);

}  // namespace grab::relay
