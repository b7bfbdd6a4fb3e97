// SPDX-License-Identifier: Apache-2.0
// What can be set about the BPF data plane, with the defaults of a node.
import type { VersionProfile } from '../../model/schedulers/scheduler.ts';
import type { TimeoutChanges, Timeouts } from '../../model/timeouts.ts';
import type { enums } from './layouts.ts';

/** The entries of the maps; fixed when they are first made, later processes adopt them as they are. */
export interface TableSizes {
  readonly services: number;
  readonly destinations: number;
  /**
   * Places of schedulers' tables: one a destination, of sh and dh 256, of mh 4093, of wrr one for each choice of a cycle (the sum
   * of the weights, divided by what divides them all).
   */
  readonly places: number;
  readonly connections: number;
  /** Of the connections, those that only one side has spoken on; a power of two. */
  readonly halfOpen: number;
}

export interface BpfOptions {
  /** A folder of a BPF file system, made if it is missing. Undefined: nothing outlives the process. */
  readonly pinDirectory?: string;
  readonly sizes: TableSizes;
  /** Those not given are as `ipvsadm --set` has left them in adopted maps, or else kernel IPVS's. */
  readonly timeouts: TimeoutChanges;
  /** The sysctls of net.ipv4.vs of these names; kube-proxy turns the first on. */
  readonly expireNodestConn: boolean;
  readonly connReuseMode: number;
  /** Whether clients leave a destination of weight 0 that their template leads to; kube-proxy turns it on. */
  readonly expireQuiescentTemplate?: boolean;
  /** Whether a packet in the middle of a connection may open one. */
  readonly sloppyTcp?: boolean;
  readonly sloppySctp?: boolean;
  /** The sysctl secure_tcp, in force or not: a client alone does not make its connections ESTABLISHED. */
  readonly secureTcp?: boolean;
  /** Of which stable kernels the arithmetic of loads and thresholds is; 'recent' if not given. */
  readonly ipvsProfile?: VersionProfile;
  /** The sysctls of these names: after so long without use lblc forgets an address, and a set of lblcr gets smaller. 86400 if not given. */
  readonly lblcExpirationSeconds?: number;
  readonly lblcrExpirationSeconds?: number;
  /** Whether the host's TCP sockets end with their destination, as its connected UDP sockets always do. */
  readonly expiresTcpSockets?: boolean;
  /** Whether the programs of the host's sockets are loaded; they are if it is not given. */
  readonly servesSockets?: boolean;
  /** Whether packets to and from local pods go past the host's stack (bpf/lib/local.h). */
  readonly redirectsLocally?: boolean;
  /** Tests stop the time and set it by hand. */
  readonly hasVirtualClock: boolean;
}

export const defaultPinDirectory = '/sys/fs/bpf/bpvs';

/** About 200 MiB of kernel memory on two CPUs, mostly for connections. */
export const defaultSizes: TableSizes = {
  services: 65_536,
  destinations: 131_072,
  places: 4_194_304,
  connections: 262_144,
  halfOpen: 65_536,
};

export const defaultTimeouts: Timeouts = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 };

/** lblc_expiration and lblcr_expiration of kernel IPVS. */
export const defaultCacheSeconds = 86_400;

type Entry<Name> = Name extends `STATE_${infer State}` ? State : never;

/** The states of enum connection_state, without its prefix: those of SCTP keep theirs. Templates have none of them. */
export type EntryState = Exclude<
  Entry<keyof typeof enums.connection_state>,
  'COUNT' | 'TCP_COUNT' | 'TEMPLATE' | 'TEMPLATE_ASSURED'
>;

/** The kernel's tcp_timeouts, udp_timeouts and sctp_timeouts; those of `Timeouts` come in their place. */
const fixedSeconds: Readonly<Record<EntryState, number>> = {
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
  SCTP_NONE: 2,
  SCTP_INIT1: 4,
  SCTP_INIT: 61,
  SCTP_C_SENT: 61,
  SCTP_C_REPLIED: 61,
  SCTP_C_WAIT: 61,
  SCTP_COOKIE: 61,
  SCTP_C_ECHOED: 61,
  SCTP_ESTABLISHED: 900,
  SCTP_S_SENT: 61,
  SCTP_S_RECEIVED: 61,
  SCTP_S_ACK_SENT: 61,
  SCTP_REJECTED: 4,
  SCTP_CLOSED: 61,
};

export function secondsByState(timeouts: Timeouts): Readonly<Record<EntryState, number>> {
  return {
    ...fixedSeconds,
    ESTABLISHED: timeouts.tcpSeconds,
    FIN_WAIT: timeouts.tcpFinSeconds,
    UDP: timeouts.udpSeconds,
  };
}
