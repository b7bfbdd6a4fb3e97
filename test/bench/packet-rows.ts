// SPDX-License-Identifier: Apache-2.0
// Nanoseconds a packet, by kind of packet and number of flows; all rows in turn, so that a disturbance meets all alike.
import type { BpfProgram } from '../../src/native/bpf-program.ts';
import { tupleOf } from '../lib/packet.ts';
import { benchObject, type Family, type Fresh, type Traffic } from './fresh.ts';
import { inTurn, joined } from './samples.ts';
import { destinationBases, destinationPort, type Kind, virtualBases, virtualPort, World } from './world.ts';

/** One line of the report: a packet's cost, less that of making it. */
export interface PacketRow {
  readonly name: string;
  readonly flows: number;
  readonly services: number;
  /** Of each round, nanoseconds. */
  readonly samples: readonly number[];
}

export const sentOutByXdp = 'XDP, established request with SNAT, sent out, TCP over IPv4';

/** What must have become of a packet. */
type Fate = 'request translated' | 'reply translated' | 'untouched';

interface Subject {
  readonly name: string;
  readonly services: number;
  readonly program: BpfProgram;
  /** In the tables; of a packet that belongs to none of them, those that there are. */
  readonly flows: number;
  readonly traffic: Traffic;
  readonly fate: Fate;
  /** Run before each slice. */
  readonly prepare?: () => void;
  /** Every packet is of another flow, none comes twice; this many a slice. */
  readonly newFlowsPerSlice?: number;
}

const sliceNs = 12e6;
const rounds = 24;
const many = 10_000;
const smallTable = 262_144;
const largeTable = 2_097_152;
const newFlowsPerSlice = 16_384;
/** Of packets that are none of ours at least, so that one hash's luck does not decide. */
const fewStrangers = 64;
/** Packets before those of a slice, so that what fits into the cache is there. */
const warmUp = 2 * many;

const request = {
  family: 4,
  protocol: 'tcp',
  flags: 'A',
  direction: 'request',
  firstFlow: 0,
  isShuffled: true,
  hasScatteredPorts: true,
  services: many,
  virtualBase: virtualBases.sh,
  destinationBase: destinationBases.own,
} as const satisfies Partial<Traffic>;

/** Loads tables, runs everything, frees them. About a minute and 6 GiB of memory. */
export function measurePackets(fresh: Fresh): readonly PacketRow[] {
  const rows = [...measureSmall(fresh), ...measureLarge(fresh), ...measureNew(fresh)];
  return rows;
}

/**
 * One flow and ten thousand, in tables of a node's default size. Where the machine's memory is makes a few hundredths, so there are
 * several tables of what is compared closely, with many services and with one, made in turn.
 */
function measureSmall(fresh: Fresh): readonly PacketRow[] {
  using floor = new Floor(fresh, many, 2 * smallTable);
  using resources = new DisposableStack();
  const kinds = (flows: number): Kind[] => [
    { family: 4, protocol: 'tcp', scheduler: 'sh', flows },
    { family: 4, protocol: 'udp', scheduler: 'sh', flows },
    { family: 6, protocol: 'tcp', scheduler: 'sh', flows },
  ];
  const open = (services: number, kinds: readonly Kind[]) =>
    resources.use(World.open(fresh, { services, connections: smallTable, kinds }));
  const world = open(many, kinds(many));
  const others = [1, 1, many, many, 1].map((services) => open(services, kinds(many).slice(0, 1)));
  const outside = open(many, kinds(1).slice(0, 1));
  const subjects = [1, many].flatMap((flows) => [
    floor.subject(flows),
    ...(flows === 1 ? [outsideSubject(outside)] : []),
    ...establishedSubjects(world, flows, kinds(flows)),
    ...others.flatMap((other) => establishedSubjects(other, flows, kinds(flows).slice(0, 1))),
    ...foreignSubjects(world, flows),
  ]);
  const rows = measure(fresh, subjects);
  for (const each of [world, ...others, outside]) each.checkDrops();
  return joined(rows, ({ name, services, flows }) => `${name}, ${services}, ${flows}`);
}

/**
 * A million flows, with many services and with one. What a packet costs in a table of that size depends on where the machine's memory
 * is by a twentieth, so there are several tables of each, made in turn.
 */
function measureLarge(fresh: Fresh): readonly PacketRow[] {
  const flows = 1_000_000;
  using floor = new Floor(fresh, flows, 2 * largeTable);
  using resources = new DisposableStack();
  const kinds = (family: Family): Kind[] => [{ family, protocol: 'tcp', scheduler: 'sh', flows }];
  const open = (family: Family, services: number) => {
    const options = { services, connections: largeTable, kinds: kinds(family) };
    return resources.use(World.open(fresh, options));
  };
  const first = open(4, many);
  const worlds = [first, ...[1, 1, many, many, 1].map((services) => open(4, services))];
  const six = open(6, many);
  const subjects = [
    floor.subject(flows),
    ...worlds.flatMap((world) => establishedSubjects(world, flows, kinds(4))),
    ...establishedSubjects(six, flows, kinds(6)),
    ...foreignSubjects(first, flows),
  ];
  const rows = measure(fresh, subjects, rounds / 2);
  for (const world of [...worlds, six]) world.checkDrops();
  return joined(rows, ({ name, services }) => `${name}, ${services}`);
}

/** First packets, in a table with room for all of them, so that none has to leave. */
function measureNew(fresh: Fresh): readonly PacketRow[] {
  const schedulers = ['rr', 'sh', 'dh'] as const;
  const kinds = schedulers.map((scheduler): Kind => ({ family: 4, protocol: 'tcp', scheduler, flows: 0 }));
  using world = World.open(fresh, {
    services: many,
    connections: largeTable,
    halfOpen: largeTable,
    kinds,
  });
  const subjects = schedulers.map(
    (scheduler): Subject => ({
      name: `new connection, ${scheduler}`,
      services: many,
      program: world.ingress,
      flows: newFlowsPerSlice * rounds,
      traffic: {
        ...request,
        flags: 'S',
        isShuffled: false,
        hasScatteredPorts: false,
        flows: newFlowsPerSlice * rounds,
        virtualBase: virtualBases[scheduler],
      },
      fate: 'request translated',
      newFlowsPerSlice,
    }),
  );
  const rows = measure(fresh, subjects);
  world.checkDrops();
  return rows;
}

function establishedSubjects(world: World, flows: number, kinds: readonly Kind[]): readonly Subject[] {
  const { services } = world;
  return kinds.flatMap(({ family, protocol }): Subject[] => {
    const traffic = { ...request, family, protocol, flows, services };
    const what = `${protocol === 'tcp' ? 'TCP' : 'UDP'} over IPv${family}`;
    return [
      {
        name: `established request, ${what}`,
        services,
        program: world.ingress,
        flows,
        traffic,
        fate: 'request translated',
      },
      {
        name: `XDP, established request, ${what}`,
        services,
        program: world.xdp,
        flows,
        traffic,
        fate: 'request translated',
      },
      {
        name: `established reply, ${what}`,
        services,
        program: world.egress,
        flows,
        traffic: { ...traffic, direction: 'reply' },
        fate: 'reply translated',
      },
    ];
  });
}

/** One flow of an outside client with a destination on another node. */
function outsideSubject(world: World): Subject {
  return {
    name: sentOutByXdp,
    services: many,
    program: world.xdp,
    flows: 1,
    traffic: { ...request, flows: 1 },
    fate: 'request translated',
    prepare: () => world.sendFirstOut(),
  };
}

function foreignSubjects(world: World, flows: number): readonly Subject[] {
  const foreign = { virtualBase: virtualBases.foreign, destinationBase: destinationBases.foreign };
  const traffic: Traffic = { ...request, ...foreign, flows: Math.max(flows, fewStrangers) };
  const subject = (what: string, program: BpfProgram, other: Partial<Traffic>): Subject => ({
    name: `none of ours, ${what}`,
    services: world.services,
    program,
    flows,
    traffic: { ...traffic, ...other },
    fate: 'untouched',
  });
  const reply = { direction: 'reply' } as const;
  const direct = {
    direction: 'reply',
    firstFlow: 10_000_000,
    destinationBase: destinationBases.own,
  } as const;
  return [
    subject('TCP in mid-stream at ingress', world.ingress, {}),
    subject('TCP SYN at ingress', world.ingress, { flags: 'S' }),
    subject('UDP at ingress', world.ingress, { protocol: 'udp' }),
    subject('TCP at egress', world.egress, reply),
    subject('UDP at egress', world.egress, { ...reply, protocol: 'udp' }),
    subject('TCP at egress, straight from a destination', world.egress, direct),
  ];
}

/** The bare DNAT, over as many entries as the data plane's table of flows has: both directions'. */
class Floor implements Disposable {
  readonly #dnat: BpfProgram;

  constructor(fresh: Fresh, flows: number, entries: number) {
    using object = benchObject('dnat');
    object.setMaxEntries('translations', entries);
    object.load();
    using learn = object.program('learn');
    this.#dnat = object.program('dnat');
    for (const direction of ['request', 'reply'] as const) {
      fresh.run(learn, { ...request, direction, flows, isShuffled: false }, flows);
    }
  }

  subject(flows: number): Subject {
    const traffic = { ...request, flows };
    return {
      name: 'bare DNAT',
      services: many,
      program: this.#dnat,
      flows,
      traffic,
      fate: 'request translated',
    };
  }

  [Symbol.dispose](): void {
    this.#dnat.close();
  }
}

function measure(fresh: Fresh, subjects: readonly Subject[], turns = rounds): readonly PacketRow[] {
  const measured = subjects.map((subject) => ({ subject, least: 200, samples: [] as number[] }));
  for (let round = 0; round < turns; round++) {
    for (const row of inTurn(measured, round)) {
      const { program, traffic, newFlowsPerSlice, fate, prepare } = row.subject;
      prepare?.();
      const count = newFlowsPerSlice ?? Math.round(sliceNs / row.least);
      const firstFlow = traffic.firstFlow + (newFlowsPerSlice ?? 0) * round;
      const packets = { ...traffic, firstFlow };
      const empty = fresh.runEmpty(program, packets, count).nsPerPacket;
      if (newFlowsPerSlice === undefined) fresh.run(program, packets, warmUp);
      const full = fresh.run(program, packets, count);
      checkFate(row.subject.name, fate, full.packet);
      row.least = Math.min(row.least, full.nsPerPacket);
      row.samples.push(full.nsPerPacket - empty);
    }
  }
  return measured.map(({ subject: { name, flows, services }, samples }) => {
    return { name, flows, services, samples };
  });
}

/** Tells by the ports: a test packet's are those of a virtual service before, of a destination after, or the reverse. */
function checkFate(name: string, fate: Fate, packet: Uint8Array): void {
  const { source, destination } = tupleOf(packet);
  const isFulfilled = {
    'request translated': destination.endsWith(`:${destinationPort}`),
    'reply translated': source.endsWith(`:${virtualPort}`),
    untouched: destination.endsWith(`:${virtualPort}`) || source.endsWith(`:${destinationPort}`),
  }[fate];
  if (!isFulfilled)
    throw new Error(`Expected "${name}" to be ${fate} but received ${source} > ${destination}`);
}
