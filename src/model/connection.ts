// SPDX-License-Identifier: Apache-2.0
// One tracked flow, as `ipvsadm -Lc` lists it.
import type { Address } from './address.ts';
import type { Protocol } from './virtual-service.ts';

/** State names as the kernel prints them (net/netfilter/ipvs/ip_vs_proto_tcp.c, _udp.c, _sctp.c). */
export type ConnectionState =
  | 'NONE'
  | 'ESTABLISHED'
  | 'SYN_SENT'
  | 'SYN_RECV'
  | 'FIN_WAIT'
  | 'TIME_WAIT'
  | 'CLOSE'
  | 'CLOSE_WAIT'
  | 'LAST_ACK'
  | 'LISTEN'
  | 'SYNACK'
  | 'UDP'
  | 'INIT1'
  | 'INIT'
  | 'C-SENT'
  | 'C-REPLIED'
  | 'C-WAIT'
  | 'COOKIE'
  | 'C-ECHOED'
  | 'S-SENT'
  | 'S-RECEIVED'
  | 'S-ACK-SENT'
  | 'REJECTED'
  | 'CLOSED'
  /** Of a template that a destination has answered; else it is NONE. */
  | 'ASSURED';

export interface SocketAddress {
  readonly address: Address;
  /** Host order. */
  readonly port: number;
}

export interface Connection {
  /** 'ip' of the template of a firewall mark, whose `virtual` is the mark in place of an address. */
  readonly protocol: Protocol | 'ip';
  /** No connection, but what remembers where a client's connections go: `client` is its address, or what of it counts. */
  readonly isTemplate?: boolean;
  readonly state: ConnectionState;
  readonly client: SocketAddress;
  readonly virtual: SocketAddress;
  readonly destination: SocketAddress;
  /** Time left in milliseconds, never negative. */
  readonly expiresInMs: number;
}
