// SPDX-License-Identifier: MIT
#include "support/ssh_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdexcept>
#include <vector>

#include "base/unique_fd.h"

namespace grab::test {
namespace {

// A port that nobody listens on just now.
int free_port() {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  if (::bind(socket.get(), any, size) != 0 || ::getsockname(socket.get(), any, &size) != 0)
    throw std::runtime_error("no port is free");
  return ntohs(address.sin_port);
}

void make_key(Shell& shell, const std::string& path) {
  (void)shell.output_of("ssh-keygen -q -t ed25519 -N '' -f " + path);
}

}  // namespace

SshServer::SshServer(const std::string& environment) : port_(free_port()) {
  Shell shell("dash", {.name = "keys"});
  make_key(shell, scratch("host_key"));
  make_key(shell, scratch("user_key"));
  write_file(scratch("sshd_config"),
             "ListenAddress 127.0.0.1\nPort " + std::to_string(port_) + "\nHostKey " +
                 scratch("host_key") + "\nAuthorizedKeysFile " + scratch("user_key.pub") +
                 "\nPidFile none\nStrictModes no\nUsePAM no\nPrintMotd no\n" +
                 "PermitRootLogin prohibit-password\n" +
                 (environment.empty() ? "" : "SetEnv " + environment + "\n"));
  // Its package makes it when the machine starts. It stays: another test may have a server.
  if (::geteuid() == 0)
    (void)::mkdir("/run/sshd", S_IRWXU | S_IRGRP | S_IXGRP | S_IROTH | S_IXOTH);
  daemon_ = std::make_unique<TerminalSession>(
      "sshd", std::vector<std::string>{"/usr/sbin/sshd", "-D", "-e", "-f", scratch("sshd_config")});
  if (!daemon_->expect("Server listening on 127.0.0.1"))
    throw std::runtime_error("sshd does not serve\n" + all_transcripts());
}

std::string SshServer::login() const {
  return "ssh -tt -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
         "-o LogLevel=ERROR -o IdentitiesOnly=yes -i " +
         scratch("user_key") + " -p " + std::to_string(port_) + " 127.0.0.1 ";
}

}  // namespace grab::test
