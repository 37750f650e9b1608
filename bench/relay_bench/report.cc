// SPDX-License-Identifier: MIT
#include "relay_bench/report.h"

#include <array>
#include <cmath>
#include <functional>
#include <iomanip>
#include <sstream>

#include <nlohmann/json.hpp>

#include "relay_bench/contenders.h"
#include "relay_bench/payload.h"
#include "relay_bench/statistics.h"

namespace grab::bench {
namespace {

constexpr int kNameWidth = 9;
constexpr int kCellWidth = 20;

std::string number(double value) {
  std::ostringstream text;
  const bool whole = value == std::round(value);  // a count
  text << std::fixed
       << std::setprecision(whole          ? 0
                            : value < 9.95 ? 2
                            : value < 99.5 ? 1
                                           : 0)
       << value;
  return text.str();
}

std::string cell(const std::optional<Spread>& spread) {
  if (!spread)
    return "-";
  if (spread->count == 1)
    return number(spread->median);
  return number(spread->median) + " (" + number(spread->low) + "-" + number(spread->high) + ")";
}

struct Column {
  std::string title;
  std::function<std::string(const std::string& contender)> text;
};

void print_table(const Report& report, const std::string& title, const std::vector<Column>& columns,
                 std::ostream& out) {
  std::vector<std::vector<std::string>> rows;
  for (const std::string& contender : report.contenders) {
    std::vector<std::string> row{contender};
    bool any = false;
    for (const Column& column : columns) {
      row.push_back(column.text(contender));
      any = any || row.back() != "-";
    }
    if (any)
      rows.push_back(row);
  }
  if (rows.empty())
    return;
  out << title << "\n" << std::left << "  " << std::setw(kNameWidth) << "";
  for (const Column& column : columns)
    out << std::setw(kCellWidth) << column.title;
  for (const auto& row : rows) {
    out << "\n  " << std::setw(kNameWidth) << row[0];
    for (std::size_t i = 1; i < row.size(); ++i)
      out << std::setw(kCellWidth) << row[i];
  }
  out << "\n\n";
}

Column values(const Report& report, const std::string& title, const std::string& measure) {
  return {title, [&report, measure](const std::string& contender) {
            return cell(values_of(report, measure, contender));
          }};
}

Column ratios(const Report& report, const std::string& title, const std::string& measure) {
  return {title, [&report, measure](const std::string& contender) {
            return cell(ratios_of(report, measure, contender));
          }};
}

std::vector<Column> for_outputs(const Report& report,
                                Column (*column)(const Report&, const std::string&,
                                                 const std::string&),
                                const std::string& prefix = "") {
  std::vector<Column> columns;
  for (const Output output : kOutputs)
    columns.push_back(column(report, name_of(output), prefix + name_of(output)));
  return columns;
}

constexpr std::array<std::pair<const char*, const char*>, 4> kEchoes{
    {{"alone, p50", "echo.p50"},
     {"alone, p99", "echo.p99"},
     {"under load, p50", "load.p50"},
     {"under load, p99", "load.p99"}}};

std::vector<Column> for_echoes(const Report& report,
                               Column (*column)(const Report&, const std::string&,
                                                const std::string&)) {
  std::vector<Column> columns;
  columns.reserve(kEchoes.size());
  for (const auto& [title, measure] : kEchoes)
    columns.push_back(column(report, title, measure));
  return columns;
}

void print_rest(const Report& report, std::ostream& out) {
  std::ostringstream idle;
  idle << "in " << report.idle_seconds << " idle s";
  print_table(report, "Memory of all processes of the contender, MiB; wakeups; numbered streams",
              {values(report, "processes", "processes"),
               values(report, "VmRSS, added", "rss"),
               values(report, "VmRSS, largest", "rss.largest"),
               values(report, "Pss", "pss"),
               values(report, "private", "own"),
               values(report, idle.str(), "wakeups"),
               {"both ways",
                [&report](const std::string& contender) {
                  const auto found = report.streams.find(contender);
                  return found == report.streams.end() ? std::string("-") : found->second;
                }}},
              out);
}

void print_against(const Report& report, std::ostream& out) {
  std::vector<std::pair<std::string, std::string>> measures;
  for (const Output output : kOutputs)
    measures.emplace_back(std::string(name_of(output)) + ", throughput", name_of(output));
  for (const Output output : kOutputs)
    measures.emplace_back(std::string(name_of(output)) + ", CPU a GiB",
                          std::string("cpu.") + name_of(output));
  for (const auto& [title, measure] : kEchoes)
    measures.emplace_back(std::string("echo ") + title, measure);
  out << "grab against the least relay (ratio of the ratios to direct, round by round)\n";
  for (const auto& [title, measure] : measures)
    if (const auto ratio = against(report, measure, kGrab, kLeast))
      out << "  " << std::left << std::setw(28) << title << cell(ratio) << "\n";
  out << "\n";
}

nlohmann::json json_of(const std::optional<Spread>& spread) {
  if (!spread)
    return nullptr;
  return {{"median", spread->median},
          {"low", spread->low},
          {"high", spread->high},
          {"count", spread->count}};
}

}  // namespace

void print_tables(const Report& report, std::ostream& out) {
  print_table(report, "Throughput, MB/s", for_outputs(report, values), out);
  print_table(report, "Throughput, times that of the program directly on the terminal",
              for_outputs(report, ratios), out);
  print_table(report, "CPU seconds a GiB, all processes of the contender",
              for_outputs(report, values, "cpu."), out);
  print_table(report, "Echo of a typed byte, us", for_echoes(report, values), out);
  print_table(report, "Echo of a typed byte, times that of the program directly on the terminal",
              for_echoes(report, ratios), out);
  print_rest(report, out);
  print_against(report, out);
  for (const std::string& missing : report.missing)
    out << "not measured: " << missing << "\n";
  for (const std::string& note : report.notes)
    out << "note: " << note << "\n";
  for (const std::string& failure : report.failures)
    out << "FAILED: " << failure << "\n";
}

int print_targets(const Report& report, std::ostream& out) {
  int missed = 0;
  out << "\nTargets of grab\n";
  for (const Target& target : targets_of(report)) {
    out << (target.met() ? "  met     " : "  MISSED  ") << target.what << ": "
        << (target.measured ? cell(target.measured) : "not measured") << ", "
        << (target.at_least ? "at least " : "at most ") << number(target.bound) << "\n";
    missed += target.met() ? 0 : 1;
  }
  return missed;
}

void print_json(const Report& report, std::ostream& out) {
  nlohmann::json all{{"rounds", report.rounds},         {"idle_seconds", report.idle_seconds},
                     {"contenders", report.contenders}, {"missing", report.missing},
                     {"failures", report.failures},     {"notes", report.notes},
                     {"streams", report.streams}};
  for (const auto& [measure, by_contender] : report.readings)
    for (const auto& [contender, readings] : by_contender) {
      nlohmann::json& entry = all["measures"][measure][contender];
      entry["value"] = json_of(values_of(report, measure, contender));
      entry["to_direct"] = json_of(ratios_of(report, measure, contender));
      entry["to_least"] = json_of(against(report, measure, contender, kLeast));
      for (const Reading& reading : readings)
        entry["readings"].push_back(
            {{"round", reading.round},
             {"value", reading.value},
             {"beside", reading.beside ? nlohmann::json(*reading.beside) : nlohmann::json()}});
    }
  for (const Target& target : targets_of(report))
    all["targets"].push_back({{"what", target.what},
                              {"measured", json_of(target.measured)},
                              {target.at_least ? "at_least" : "at_most", target.bound},
                              {"met", target.met()}});
  out << all.dump(2) << "\n";
}

}  // namespace grab::bench
