// SPDX-License-Identifier: MIT
#include "tracer/report.h"

#include <nlohmann/json.hpp>

namespace grab::tracer {

using nlohmann::json;

static void to_json(json& out, const Moved::Process& process) {
  out = {process.pid, process.start_time};
}
static void from_json(const json& in, Moved::Process& process) {
  in.at(0).get_to(process.pid);
  in.at(1).get_to(process.start_time);
}
// A shell is a process with one field more.
static void to_json(json& out, const Guarding::Shell& shell) {
  out = {shell.pid, shell.start_time, shell.lacks_terminal};
}
static void from_json(const json& in, Guarding::Shell& shell) {
  in.at(0).get_to(shell.pid);
  in.at(1).get_to(shell.start_time);
  in.at(2).get_to(shell.lacks_terminal);
}
static void to_json(json& out, const Guarding::Process& process) {
  out = {process.pid, process.start_time};
}
static void from_json(const json& in, Guarding::Process& process) {
  in.at(0).get_to(process.pid);
  in.at(1).get_to(process.start_time);
}
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Guarding, shells, job_pgids, self_stoppers, root, job_pgid,
                                   front_pgid)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Telling, shell, shell_start_time, pgid, children, wait_status,
                                   background, guard, again, is_script)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Held, processes, stopped, front, serving)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Moved, root_name, old_terminal, old_devices, topology, processes,
                                   job_pgid, follower_pgids, redraw, status_pid, guarding, warnings,
                                   frozen_ms)

static json with_telling(const Moved& moved) {
  json out = moved;
  if (moved.telling)
    out["telling"] = *moved.telling;
  return out;
}

static Moved moved_from(const json& in) {
  auto moved = in.get<Moved>();
  if (in.contains("telling"))
    moved.telling = in["telling"].get<Telling>();
  return moved;
}

std::string to_line(const Report& report) {
  json out;
  if (const auto* held = std::get_if<Held>(&report))
    out["held"] = *held;
  if (const auto* committing = std::get_if<Committing>(&report))
    out["committing"] = with_telling(committing->moved);
  if (const auto* moved = std::get_if<Moved>(&report))
    out["moved"] = with_telling(*moved);
  if (const auto* error = std::get_if<Error>(&report)) {
    out["error"] = {
        {"kind", error->kind}, {"err", error->err}, {"what", error->what}, {"hint", error->hint}};
  }
  // Names of foreign programs are made printable before they get here; were one not, it is no
  // reason to fail.
  return out.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<Report> parse_line(std::string_view line) {
  try {
    const json in = json::parse(line);
    if (in.contains("held"))
      return in["held"].get<Held>();
    if (in.contains("committing"))
      return Committing{moved_from(in["committing"])};
    if (in.contains("moved"))
      return moved_from(in["moved"]);
    const json& error = in.at("error");
    return Error{error.at("kind").get<ErrorKind>(), error.at("err").get<int>(),
                 error.at("what").get<std::string>(), error.at("hint").get<std::string>()};
  } catch (const json::exception& exception) {
    return fail(ErrorKind::kSystem, std::string("the tracer's report: ") + exception.what());
  }
}

}  // namespace grab::tracer
