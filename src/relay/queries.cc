// SPDX-License-Identifier: MIT
#include "relay/queries.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace grab::relay {

bool is_query(char prefix, std::span<const unsigned> parameters, char intermediate, char final) {
  constexpr std::array<unsigned, 9> kReports = {11, 13, 14, 15, 16, 18, 19, 20, 21};  // XTWINOPS
  const unsigned first = parameters[0];
  switch (intermediate) {
    case 0:
      break;
    case '$':  // DECRQM, DECRQPSR, DECRQDE ... ; others with a $ draw
      return final == 'p' || (final == 'w' && prefix == 0);
    case '*':  // DECRQCRA
      return final == 'y' && prefix == 0;
    default:
      return false;
  }
  switch (final) {
    case 'c':  // DA1, DA2, DA3; CSI ? n c shapes Linux's cursor
      return prefix != '?' && first == 0;
    case 'n':  // DSR; CSI > n n is of modifyOtherKeys
      return prefix == '?' || (prefix == 0 && (first == 5 || first == 6));
    case 'q':  // XTVERSION; CSI n q lights LEDs
      return prefix == '>';
    case 'u':  // kitty's keyboard flags
      return prefix == '?';
    case 'm':  // XTQMODKEYS
      return prefix == '?';
    case 't':
      return prefix == 0 && std::find(kReports.begin(), kReports.end(), first) != kReports.end();
    case 'x':  // DECREQTPARM
      return prefix == 0 && first <= 1;
    case 'S':  // XTSMGRAPHICS: read, read the largest
      return prefix == '?' && parameters.size() > 1 && (parameters[1] == 1 || parameters[1] == 4);
    default:
      return false;
  }
}

bool is_osc_query(std::string_view content) {
  // Colours and the selection: a "?" in the place of a value. Titles may have one too.
  constexpr std::array<std::string_view, 14> kAsked = {"4",  "5",  "10", "11", "12", "13", "14",
                                                       "15", "16", "17", "18", "19", "52", "21"};
  const std::size_t semicolon = content.find(';');
  if (semicolon == std::string_view::npos ||
      std::find(kAsked.begin(), kAsked.end(), content.substr(0, semicolon)) == kAsked.end())
    return false;
  const std::string_view rest = content.substr(semicolon);
  return rest.ends_with(";?") || rest.ends_with("=?") ||
         rest.find(";?;") != std::string_view::npos || rest.find("=?;") != std::string_view::npos;
}

bool is_dcs_query(std::string_view content) {
  return content.starts_with("$q") || content.starts_with("+q");  // DECRQSS, XTGETTCAP
}

}  // namespace grab::relay
