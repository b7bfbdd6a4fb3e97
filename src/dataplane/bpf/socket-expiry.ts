// SPDX-License-Identifier: Apache-2.0
// Ends the host's sockets that hang on a removed destination: nobody sees their packets, so nothing else would.
import { SystemError } from '../../errors.ts';
import { type Address, addressFromBytes, type Family } from '../../model/address.ts';
import { destroySocket, listConnectedSockets, type SocketProtocol } from '../../native/socket-diagnostics.ts';
import type { SocketRecord } from '../../native/socket-record.ts';
import type { BpfPrograms } from './bpf-programs.ts';
import { layouts } from './layouts.ts';
import { decode } from './struct.ts';

/** A connected socket of the host as the connection table knows it, with its removed destination. */
export interface OrphanedSocket {
  /** Where its connection is in the map `connections`, and which of the entry's tenants it is. */
  readonly index: number;
  readonly generation: number;
  readonly protocol: SocketProtocol;
  readonly cookie: bigint;
  readonly address: Address;
  readonly port: number;
}

/** What {@link SocketExpiry} works on: maps and sockets of the host. */
export interface SocketTables {
  /** As many as fit one list. */
  orphans(): readonly OrphanedSocket[];
  sockets(family: Family, protocol: SocketProtocol, peerPort: number): readonly SocketRecord[];
  /** Throws as {@link destroySocket}. */
  destroy(protocol: SocketProtocol, socket: SocketRecord): void;
  endConnection(orphan: OrphanedSocket): void;
}

/**
 * A socket is told by the cookie in its connection, so one that talks to the same pod directly is left alone. A socket may be
 * missing because it is connecting just now, so it is looked for once more before its connection is given up.
 */
export class SocketExpiry {
  readonly #tables: SocketTables;
  #roundsDue = 0;
  #missing: ReadonlySet<string> = new Set();

  constructor(tables: SocketTables) {
    this.#tables = tables;
  }

  /** Connections may have lost their destination. */
  destinationsRemoved(): void {
    this.#roundsDue = 2;
  }

  /**
   * One round at once after removals, and a second one when who was connecting meanwhile must have done so. Does nothing where none
   * is due. @returns how many sockets were destroyed. Throws SystemError where the kernel refuses to.
   */
  expire(): number {
    if (this.#roundsDue === 0) return 0;
    this.#roundsDue--;
    const missing = new Set<string>();
    let destroyed = 0;
    let last: number;
    do {
      last = this.#expireListed(missing);
      destroyed += last;
    } while (last > 0); // a list may have no room for all
    this.#missing = missing;
    if (missing.size > 0) this.#roundsDue = Math.max(this.#roundsDue, 1);
    return destroyed;
  }

  /** @param missing takes those that are to be looked for in the next round */
  #expireListed(missing: Set<string>): number {
    let destroyed = 0;
    const groups = Map.groupBy(this.#tables.orphans(), ({ protocol, port }) => `${protocol} ${port}`);
    for (const group of groups.values()) {
      const sockets = this.#socketsOf(group);
      for (const orphan of group) {
        const id = `${orphan.index} ${orphan.generation}`;
        const socket = sockets.get(keyOf(orphan.cookie, orphan.address));
        if (socket && this.#destroy(orphan.protocol, socket)) destroyed++;
        else if (!this.#missing.has(id)) {
          missing.add(id);
          continue;
        }
        this.#tables.endConnection(orphan);
      }
    }
    return destroyed;
  }

  /** The sockets that are connected to the port of these orphans' destinations. */
  #socketsOf([first]: readonly OrphanedSocket[]): ReadonlyMap<string, SocketRecord> {
    if (!first) return new Map();
    const { protocol, port } = first;
    const found = ([4, 6] as const).flatMap((family) => this.#tables.sockets(family, protocol, port));
    return new Map(found.map((socket) => [keyOf(socket.cookie, peerOf(socket)), socket]));
  }

  /** @returns false where it is gone, or talks to somebody else by now */
  #destroy(protocol: SocketProtocol, socket: SocketRecord): boolean {
    try {
      this.#tables.destroy(protocol, socket);
      return true;
    } catch (error) {
      if (error instanceof SystemError && ['ENOENT', 'ESTALE'].includes(error.code)) return false;
      throw error;
    }
  }
}

/** The tables of these programs, and the sockets of the network namespace that they were loaded in. */
export function hostTables(programs: BpfPrograms, withTcp: boolean): SocketTables {
  return {
    orphans: () => {
      programs.run('list_orphaned_sockets', [withTcp ? 1 : 0]);
      const map = programs.maps.get('orphaned_sockets');
      const entries = [...map.entries()];
      for (const [index] of entries) map.delete(index);
      return entries.map(([index, value]) => decodeOrphan(index, value));
    },
    sockets: listConnectedSockets,
    destroy: destroySocket,
    endConnection: ({ index, generation }) => programs.run('end_connection', [index, generation]),
  };
}

function decodeOrphan(index: Buffer, value: Buffer): OrphanedSocket {
  const { generation, protocol, cookie, family, destination, port } = decode(layouts.orphaned_socket, value);
  return {
    index: index.readUInt32LE(),
    generation,
    protocol: protocol === 6 ? 'tcp' : 'udp',
    cookie,
    address: addressFromBytes(family as Family, destination),
    port,
  };
}

/** An IPv6 socket that is connected to a mapped address has an IPv4 peer. */
function peerOf({ family, peer }: SocketRecord): Address {
  const address = addressFromBytes(family, peer);
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address;
}

function keyOf(cookie: bigint, peer: Address): string {
  return `${cookie} ${peer}`;
}
