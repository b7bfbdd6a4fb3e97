// SPDX-License-Identifier: Apache-2.0
// Sockets of the calling thread's network namespace: which there are, and ending them from outside.
import { SystemError } from '../errors.ts';
import { addon } from './addon.ts';
import type { SocketRecord } from './socket-record.ts';

/** IPPROTO_*. */
const protocolNumbers = { tcp: 6, udp: 17 } as const;

export type SocketProtocol = keyof typeof protocolNumbers;

/**
 * include/net/tcp_states.h: ESTABLISHED, SYN_SENT, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING. A connected UDP socket is
 * in ESTABLISHED, any other one in CLOSE.
 */
const connectedStates = [1, 2, 4, 5, 8, 9, 11].reduce((bits, state) => bits | (1 << state), 0);

/**
 * Sockets of a family that are connected to this port, or are about to be. Sockets of both families are IPv6 sockets.
 * Throws SystemError; ENOENT where the kernel has no socket diagnostics for the protocol (CONFIG_INET_DIAG, _UDP_DIAG).
 */
export function listConnectedSockets(
  family: 4 | 6,
  protocol: SocketProtocol,
  peerPort: number,
): readonly SocketRecord[] {
  return addon.dumpSockets(family, protocolNumbers[protocol], connectedStates, peerPort);
}

/**
 * Ends a socket: what its program does with it next fails with ECONNABORTED; TCP sends RST. A UDP socket is disconnected, and
 * may be connected again. Throws SystemError: ENOENT, ESTALE where it is gone or talks to somebody else by now, EOPNOTSUPP
 * where the kernel cannot (CONFIG_INET_DIAG_DESTROY), EPERM without CAP_NET_ADMIN.
 */
export function destroySocket(protocol: SocketProtocol, { family, id }: SocketRecord): void {
  addon.destroySocket(family, protocolNumbers[protocol], id);
}

/** sizeof(struct inet_diag_sockid) */
const idSize = 48;

/** Why sockets cannot be destroyed here, as a sentence; undefined if they can. */
export function missingForDestroying(): string | undefined {
  let isListed = false;
  try {
    addon.dumpSockets(4, protocolNumbers.udp, 0, 0);
    isListed = true;
    addon.destroySocket(4, protocolNumbers.udp, new Uint8Array(idSize));
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return isListed ? explainDestroying(error) : explainListing(error);
  }
  return undefined;
}

function explainListing(error: SystemError): string {
  return ['ENOENT', 'EPROTONOSUPPORT'].includes(error.code)
    ? 'the kernel has no socket diagnostics for UDP (CONFIG_INET_UDP_DIAG)'
    : error.message;
}

function explainDestroying(error: SystemError): string | undefined {
  if (error.code === 'ENOENT') return undefined; // it looked: no socket has the port 0
  if (error.code === 'EOPNOTSUPP') return 'the kernel was built without CONFIG_INET_DIAG_DESTROY';
  if (error.code === 'EPERM') return 'the right CAP_NET_ADMIN is missing';
  return error.message;
}
