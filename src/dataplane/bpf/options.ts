// SPDX-License-Identifier: Apache-2.0
// What can be set about the BPF data plane, with the defaults of a node.
import type { ConnectionState } from '../../model/connection.ts';

/** The entries of the maps; fixed when they are first made, later processes adopt them as they are. */
export interface TableSizes {
  readonly services: number;
  readonly destinations: number;
  /** Words of schedulers' tables: a table of rr takes one a destination, of sh and dh 256. */
  readonly places: number;
  readonly connections: number;
  /** Of the connections, those that only one side has spoken on; a power of two. */
  readonly halfOpen: number;
}

export interface BpfOptions {
  /** A folder of a BPF file system, made if it is missing. Undefined: nothing outlives the process. */
  readonly pinDirectory?: string;
  readonly sizes: TableSizes;
  /** Seconds; those of kernel IPVS (`ipvsadm --set`) where not given. */
  readonly timeouts: Timeouts;
  /** The sysctls of net.ipv4.vs of these names; kube-proxy turns the first on. */
  readonly expireNodestConn: boolean;
  readonly connReuseMode: number;
  /** Tests stop the time and set it by hand. */
  readonly hasVirtualClock: boolean;
}

/** What `ipvsadm --set` sets: idle seconds of established TCP, of TCP after a FIN, of UDP. */
export interface Timeouts {
  readonly tcpSeconds: number;
  readonly tcpFinSeconds: number;
  readonly udpSeconds: number;
}

export const defaultPinDirectory = '/sys/fs/bpf/bpvs';

/** About 235 MiB of kernel memory on two CPUs, mostly for connections. */
export const defaultSizes: TableSizes = {
  services: 65_536,
  destinations: 131_072,
  places: 4_194_304,
  connections: 262_144,
  halfOpen: 65_536,
};

export const defaultTimeouts: Timeouts = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 };

/** net/netfilter/ipvs/ip_vs_proto_tcp.c: tcp_timeouts; those of `Timeouts` come in their place. */
const fixedSeconds: Readonly<Record<ConnectionState, number>> = {
  NONE: 2,
  ESTABLISHED: 900,
  SYN_SENT: 120,
  SYN_RECV: 60,
  FIN_WAIT: 120,
  TIME_WAIT: 120,
  CLOSE: 10,
  CLOSE_WAIT: 60,
  LAST_ACK: 30,
  LISTEN: 120,
  SYNACK: 120,
  UDP: 300,
};

export function secondsByState(timeouts: Timeouts): Readonly<Record<ConnectionState, number>> {
  return {
    ...fixedSeconds,
    ESTABLISHED: timeouts.tcpSeconds,
    FIN_WAIT: timeouts.tcpFinSeconds,
    UDP: timeouts.udpSeconds,
  };
}
