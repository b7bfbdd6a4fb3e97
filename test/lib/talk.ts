// SPDX-License-Identifier: Apache-2.0
// Clients that talk to one service over the hooks, and what there is to see of it.
import assert from 'node:assert/strict';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import { decode } from '../../src/dataplane/bpf/struct.ts';
import type { Connection } from '../../src/model/connection.ts';
import type { Protocol, VirtualServiceKey } from '../../src/model/virtual-service.ts';
import { buildPacket, type Flags, type PacketDescription, tupleOf } from './packet.ts';
import { type Outcome, socketAddress, type TestPlane } from './plane.ts';

export const client = '10.244.1.10';
export const virtual = '10.96.0.10';
export const server = '10.244.2.20';
export const other = '10.244.2.21';

export interface Ends {
  readonly client: string;
  readonly port: number;
  readonly virtualPort: number;
  readonly protocol: Protocol;
}

/** The flags of a protocol's first packet. */
export const opening: Readonly<Record<Protocol, Flags>> = { tcp: 'S', udp: '', sctp: 'INIT' };

/** One client with the service at `virtual`: what each side sends. */
export class Talk {
  readonly #plane: TestPlane;
  readonly #ends: Ends;

  constructor(plane: TestPlane, ends: Partial<Ends> = {}) {
    this.#plane = plane;
    this.#ends = { client, port: 40000, virtualPort: 80, protocol: 'tcp', ...ends };
  }

  get request(): PacketDescription {
    const { client, port, virtualPort, protocol } = this.#ends;
    return { source: client, sourcePort: port, destination: virtual, destinationPort: virtualPort, protocol };
  }

  client(flags: string, payload = new Uint8Array()): Outcome {
    return this.#plane.ingress(buildPacket({ ...this.request, flags, payload }));
  }

  /** @param from the destination, where it is known to be another */
  server(flags: string, from = server): Outcome {
    const { client, port, protocol } = this.#ends;
    return this.#plane.egress(
      buildPacket({
        source: from,
        sourcePort: 8080,
        destination: client,
        destinationPort: port,
        protocol,
        flags,
      }),
    );
  }

  /** The client's packet. @returns where it went, or what became of it instead */
  to(flags: string): string {
    const packet = buildPacket({ ...this.request, flags });
    const outcome = this.#plane.ingress(packet);
    if (outcome.verdict !== 'pass') return outcome.verdict;
    return Buffer.from(packet).equals(outcome.packet) ? 'untouched' : tupleOf(outcome.packet).destination;
  }

  /** Both sides have spoken, as often as the protocol wants. */
  establish(): this {
    const turns = {
      tcp: ['S', 'SA', 'A'],
      udp: ['', ''],
      sctp: ['INIT', 'INIT-ACK', 'COOKIE-ECHO', 'COOKIE-ACK'],
    }[this.#ends.protocol];
    turns.forEach((flags, turn) => {
      if (turn % 2 === 0) this.client(flags);
      else this.server(flags);
    });
    return this;
  }
}

export function serve(
  plane: TestPlane,
  destinations: readonly string[] = [server],
  protocol: Protocol = 'tcp',
) {
  return plane.serve(
    protocol,
    `${virtual}:80`,
    destinations.map((address) => `${address}:8080`),
  );
}

export function connections(plane: TestPlane): Connection[] {
  return [...plane.plane.connections()];
}

export function states(plane: TestPlane): string[] {
  return connections(plane).map(({ state }) => state);
}

export function destination(plane: TestPlane, n = 0) {
  const found = plane.plane.services()[0]?.destinations[n];
  assert.ok(found, 'the destination is configured');
  return found;
}

/** ActiveConn, InActConn. */
export function counts(plane: TestPlane, n = 0): [number, number] {
  const { activeConnections, inactiveConnections } = destination(plane, n);
  return [activeConnections, inactiveConnections];
}

/** Slots in use in the table of flows. */
export function flowCount(plane: TestPlane): number {
  let count = 0;
  for (const [, bucket] of plane.plane.programs.maps.get('flows').entries()) {
    for (const slot of decode(layouts.flow_bucket, bucket).slots) if (slot !== 0n) count++;
  }
  return count;
}

export function remove(plane: TestPlane, service: VirtualServiceKey, address = server): void {
  plane.apply({ do: 'delete-destination', service, destination: socketAddress(`${address}:8080`) });
}

export function add(plane: TestPlane, service: VirtualServiceKey, address = server, weight = 1): void {
  const destination = { ...socketAddress(`${address}:8080`), weight, forwarding: 'masq' as const };
  plane.apply({ do: 'add-destination', service, destination });
}

export function setWeight(plane: TestPlane, service: VirtualServiceKey, weight: number): void {
  const destination = { ...socketAddress(`${server}:8080`), weight, forwarding: 'masq' as const };
  plane.apply({ do: 'edit-destination', service, destination });
}
