// SPDX-License-Identifier: Apache-2.0
// A data plane without pins or devices, with many services and flows that the programs themselves have opened.
import { BpfDataPlane } from '../../src/dataplane/bpf/bpf-data-plane.ts';
import { enums, layouts } from '../../src/dataplane/bpf/layouts.ts';
import { defaultSizes, defaultTimeouts, type TableSizes } from '../../src/dataplane/bpf/options.ts';
import { decode, encode } from '../../src/dataplane/bpf/struct.ts';
import { type Address, parseAddress } from '../../src/model/address.ts';
import type { Operation } from '../../src/model/operation.ts';
import type { SchedulerName } from '../../src/model/scheduler.ts';
import type { Persistence } from '../../src/model/virtual-service.ts';
import type { BpfProgram } from '../../src/native/bpf-program.ts';
import type { Family, Fresh, Traffic } from './fresh.ts';

/** Numbers of bench.bpf.c. */
export const destinationBases = { own: 0x0a400000, foreign: 0x0ac00000 } as const;
const prefixes = { virtual: 'fd00:60::', destination: 'fd00:40::' } as const;
export const destinationPort = 8080;
export const virtualPort = 80;

/** The first addresses of services; foreign ones are no services'. */
export const virtualBases = { sh: 0x0a600001, rr: 0x0a610001, dh: 0x0a620001, foreign: 0x0ac80001 } as const;

/** Services of which kind there are, and how many flows to open on them. */
export interface Kind {
  readonly family: Family;
  readonly protocol: 'tcp' | 'udp';
  readonly scheduler: 'rr' | 'sh' | 'dh';
  /** Needs sh, by which replies can be told beforehand. */
  readonly flows: number;
  readonly persistence?: Persistence;
}

export interface WorldOptions {
  readonly services: number;
  readonly connections: number;
  readonly halfOpen?: number;
  readonly kinds: readonly Kind[];
}

/** The index of lo, by which test runs come in. */
const lo = 1;
const nodeAddress = 0x0a0a0a0a;
/** The programs' clock is behind by a tick at most. */
const clockLagNs = 20_000_000n;

/** Flows are opened in pieces that fit into the ring of the half-open. */
const pieceSize = 16_384;

export class World implements Disposable {
  readonly plane: BpfDataPlane;
  readonly services: number;

  private constructor(plane: BpfDataPlane, services: number) {
    this.plane = plane;
    this.services = services;
  }

  static open(fresh: Fresh, options: WorldOptions): World {
    const { services, kinds } = options;
    const world = new World(openPlane(sizesOf(options)), services);
    world.plane.programs.run('stop_sweep'); // its timer would be met by chance
    const device = encode(layouts.xdp_device, { ifindex: lo });
    world.plane.programs.maps.get('xdp_devices').update(new Uint8Array([lo, 0, 0, 0]), device);
    for (const kind of kinds) {
      applyAll(world.plane, serviceOperations(kind, services));
      if (kind.flows > 0) world.#open(fresh, kind);
    }
    return world;
  }

  get ingress(): BpfProgram {
    return this.plane.programs.program('tc_ingress');
  }

  get xdp(): BpfProgram {
    return this.plane.programs.program('xdp_ingress');
  }

  get egress(): BpfProgram {
    return this.plane.programs.program('tc_egress');
  }

  /**
   * Makes the first connection's requests go out of lo, from another source, as those of an outside client to another node do.
   * That way is young for a second.
   */
  sendFirstOut(): void {
    const { maps } = this.plane.programs;
    const first = new Uint8Array(4);
    const connection = maps.get('connections').lookup(first);
    if (!connection) throw new Error('Expected a first connection');
    const fields = decode(layouts.connection, connection);
    const { CONNECTION_OUTSIDE, CONNECTION_SOURCE_CHANGED } = enums.connection_flag;
    const flags = fields.flags | CONNECTION_OUTSIDE | CONNECTION_SOURCE_CHANGED;
    maps
      .get('connections')
      .update(first, encode(layouts.connection, { ...fields, flags, source: nodeAddress }));
    const checked = this.plane.view.now() - clockLagNs;
    const hop = { checked, ifindex: lo, gateway_family: 4, has_link_addresses: 1 };
    maps.get('next_hops').update(first, encode(layouts.next_hop, hop));
    maps
      .get('xdp_devices')
      .update(new Uint8Array([lo, 0, 0, 0]), encode(layouts.xdp_device, { ifindex: lo, may_send: 1 }));
  }

  /** Throws if any packet was dropped for want of room. */
  checkDrops(): void {
    for (const [name, count] of this.plane.view.reasons()) {
      if (name.startsWith('dropped') && count > 0n)
        throw new Error(`Expected no ${name} but received ${count}`);
    }
  }

  close(): void {
    this.plane.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** TCP: SYN and ACK; UDP: a request and its reply. */
  #open(fresh: Fresh, { family, protocol, flows }: Kind): void {
    for (let firstFlow = 0; firstFlow < flows; firstFlow += pieceSize) {
      const count = Math.min(pieceSize, flows - firstFlow);
      const piece: Traffic = {
        family,
        protocol,
        flags: 'S',
        direction: 'request',
        firstFlow,
        flows: count,
        isShuffled: false,
        hasScatteredPorts: true,
        services: this.services,
        virtualBase: virtualBases.sh,
        destinationBase: destinationBases.own,
      };
      fresh.run(this.ingress, piece, count);
      if (protocol === 'tcp') fresh.run(this.ingress, { ...piece, flags: 'A' }, count);
      else fresh.run(this.egress, { ...piece, direction: 'reply' }, count);
    }
  }
}

export function openPlane(sizes: TableSizes): BpfDataPlane {
  return BpfDataPlane.open({
    sizes,
    timeouts: defaultTimeouts,
    expireNodestConn: false,
    connReuseMode: 1,
    hasVirtualClock: false,
  });
}

/** Services one after the other, each with two destinations. */
export function serviceOperations(kind: Omit<Kind, 'flows'>, services: number): readonly Operation[] {
  const { family, protocol, scheduler, persistence } = kind;
  return Array.from({ length: services }, (_, i): Operation[] => {
    const service = {
      protocol,
      address: addressOf(family, 'virtual', virtualBases[scheduler] + i),
      port: virtualPort,
    };
    const addDestination = (number: number): Operation => ({
      do: 'add-destination',
      service,
      destination: {
        address: addressOf(family, 'destination', number),
        port: destinationPort,
        weight: 1,
        forwarding: 'masq',
      },
    });
    const definition = {
      ...service,
      scheduler: scheduler satisfies SchedulerName,
      schedulerFlags: [],
      noDestination: 'reject',
      persistence,
    } as const;
    return [
      { do: 'add-service', service: definition },
      addDestination(destinationBases.own + 2 * i),
      addDestination(destinationBases.own + 2 * i + 1),
    ];
  }).flat();
}

/** Throws the first failure. */
export function applyAll(plane: BpfDataPlane, operations: readonly Operation[]): void {
  const [failure] = plane.apply(operations);
  if (failure) throw failure.error;
}

function sizesOf({ services, connections, halfOpen, kinds }: WorldOptions): TableSizes {
  return {
    services: Math.max(defaultSizes.services, 2 * services * kinds.length),
    destinations: Math.max(defaultSizes.destinations, 4 * services * kinds.length),
    places: Math.max(defaultSizes.places, 512 * services * kinds.length),
    connections,
    halfOpen: halfOpen ?? defaultSizes.halfOpen,
  };
}

function addressOf(family: Family, of: keyof typeof prefixes, number: number): Address {
  const text =
    family === 4
      ? [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff).join('.')
      : `${prefixes[of]}${(number >>> 16).toString(16)}:${(number & 0xffff).toString(16)}`;
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`Expected an address but received ${text}`);
  return address;
}
