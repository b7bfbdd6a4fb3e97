// SPDX-License-Identifier: Apache-2.0
// A socket as the addon reads it from socket diagnostics.

export interface SocketRecord {
  readonly family: 4 | 6;
  /** What bpf_get_socket_cookie() gives; never used again while the machine runs. */
  readonly cookie: bigint;
  /** Whom it is connected to: 4 or 16 bytes; of an IPv6 socket it may be a mapped IPv4 address. */
  readonly peer: Buffer;
  /** In host order. */
  readonly peerPort: number;
  /** struct inet_diag_sockid, for destroySocket of socket-diagnostics.ts. */
  readonly id: Buffer;
}
