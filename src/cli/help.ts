// SPDX-License-Identifier: Apache-2.0
// The text of `bpvsadm --help`.

export const help = `bpvsadm lists the virtual services of BPVS as ipvsadm lists those of kernel IPVS.

Usage:
  bpvsadm                             list everything, with names (as -L)
  bpvsadm -L|-l|--list [SERVICE] [-n] [--stats|--rate] [-X|--exact] [--nosort]
  bpvsadm -L|-l|--list -c [-n]        list connections
  bpvsadm -L|-l|--list --timeout      the seconds after which idle connections end
  bpvsadm --set TCP TCPFIN UDP        set those seconds: established TCP, TCP after a FIN, UDP; 0 keeps one
  bpvsadm -Z|--zero [SERVICE]         count from zero, all or one virtual service and its real servers
  bpvsadm -h|--help
  bpvsadm -v|--version

The command comes first, its options in any order after it.

SERVICE, to list that virtual service alone:
  -t, --tcp-service HOST[:PORT]       a TCP service
  -u, --udp-service HOST[:PORT]       a UDP service
      --sctp-service HOST[:PORT]      an SCTP service
  An IPv6 address with a port is written in brackets: [fd00::1]:80.

Options:
  -n, --numeric                       addresses and ports as numbers
  -c, --connection                    the connections in place of the services
      --stats                         connections, packets and bytes so far
      --rate                          the same per second
  -X, --exact                         all digits of large counters
      --nosort                        in the order in which they are kept
      --sort                          sorted, as without it

Commands that this version knows but does not carry out: -A -E -D -C -a -e -d -R -S --start-daemon
--stop-daemon. Virtual services follow the cluster's Services: change those, and the daemon (bpvs run) does the rest.

Environment:
  BPVS_PIN_DIR                        where the data plane is pinned (default /sys/fs/bpf/bpvs)

Exit status:
  0    done
  1    the listing could not be had (no such service), or a command that is not carried out
  2    a wrong command line, or no data plane
  255  no such service to be set to zero, an unknown option, a missing argument, or a first option that is no command
`;
