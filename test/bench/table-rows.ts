// SPDX-License-Identifier: Apache-2.0
// What the table of connections costs by itself: its sweep with a million entries, and what a flood does to those that are there.
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import { decode, encode } from '../../src/dataplane/bpf/struct.ts';
import type { BpfMap } from '../../src/native/bpf-map.ts';
import type { Fresh, Traffic } from './fresh.ts';
import { median } from './samples.ts';
import { destinationBases, virtualBases, World } from './world.ts';

export interface TableResults {
  /** Of one core, while nothing expires. */
  readonly sweepPercent: number;
  /** How long after its time the last of some entries went. */
  readonly latestSeconds: number;
  readonly floods: readonly FloodRow[];
}

export interface FloodRow {
  readonly flows: number;
  /** Established requests to each half-open attempt of a flood. */
  readonly requests: number;
  /** What an established request costs in the flood, over what it costs without. */
  readonly ratio: number;
}

const million = 1_000_000;
const services = 1000;
const nodeTable = 262_144;
const largeTable = 2_097_152;
/** Packets before those of a block, so that what fits into the caches is there. */
const warmUp = 20_000;
const kind = { family: 4, protocol: 'tcp', scheduler: 'sh' } as const;
const traffic: Traffic = {
  family: 4,
  protocol: 'tcp',
  flags: 'A',
  direction: 'request',
  firstFlow: 0,
  flows: million,
  isShuffled: true,
  hasScatteredPorts: true,
  services,
  virtualBase: virtualBases.sh,
  destinationBase: destinationBases.own,
};

/** About half a minute and a GiB of memory. */
export async function measureTable(fresh: Fresh): Promise<TableResults> {
  const open = (flows: number, connections: number) =>
    World.open(fresh, { services, connections, kinds: [{ ...kind, flows }] });
  using lone = open(1, nodeTable);
  using some = open(10_000, nodeTable);
  using large = open(million, largeTable);
  const sweepPercent = measureSweep(large);
  const worlds = [
    { flows: 1, world: lone },
    { flows: 10_000, world: some },
    { flows: million, world: large },
  ];
  const floods = worlds.flatMap(({ flows, world }) =>
    [10, 1].map((requests) => ({ flows, requests, ratio: measureFlood(fresh, world, flows, requests) })),
  );
  return { sweepPercent, latestSeconds: await measureExpiry(large), floods };
}

/** TICK_NS of bpf/sweep.bpf.c */
const tickMs = 16;
const ticksPerRound = 125;

function measureSweep(world: World): number {
  const { programs } = world.plane;
  using tick = programs.program('run_tick');
  const data = new Uint8Array(14);
  programs.run('sweep');
  const tickNs = Array.from({ length: 9 }, () => tick.testRun({ data, repeat: ticksPerRound }).durationNs);
  return (100 * median(tickNs)) / (tickMs * 1e6);
}

/** Every thousandth entry is due within the next two seconds, of which the timer knows nothing. */
async function measureExpiry(world: World): Promise<number> {
  const { programs } = world.plane;
  const connections = programs.maps.get('connections');
  const due = new Map<number, bigint>();
  const start = world.plane.view.now() + 2_000_000_000n;
  for (let index = 0; index < million; index += 1000) {
    const expires = start + BigInt((7919 * index) % million) * 2000n;
    const entry = decode(layouts.connection, read(connections, index));
    connections.update(keyOf(index), encode(layouts.connection, { ...entry, expires }));
    due.set(index, expires);
  }
  programs.run('start_sweep');
  let latestNs = 0n;
  while (due.size > 0) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (const [index, expires] of due) {
      const isOver = decode(layouts.connection, read(connections, index)).state === 0;
      const now = world.plane.view.now();
      if (isOver && now < expires)
        throw new Error(`Expected connection ${index} to live for ${expires - now} ns more`);
      if (now < expires) continue;
      if (isOver) due.delete(index);
      if (now - expires > latestNs) latestNs = now - expires;
    }
    if (latestNs > 60_000_000_000n)
      throw new Error('Expected connections to end, but the timer does not run');
  }
  programs.run('stop_sweep');
  return Number(latestNs) / 1e9;
}

const perSlice = 4096;
const slices = 16;
const blocks = 12;

/**
 * The least over the slices of a block, as any disturbance only adds; the median over the ratios of blocks that follow one another,
 * as what else a machine does changes more slowly.
 */
function measureFlood(fresh: Fresh, world: World, flows: number, requests: number): number {
  const established = { ...traffic, flows };
  const attempts = { ...traffic, flags: 'S', firstFlow: 20_000_000, flows: 40_000_000 } as const;
  const perFlood = Math.round(perSlice / requests);
  const block = (isFlooded: boolean): number => {
    const least = { full: Infinity, empty: Infinity };
    // What the block before has left in the caches is not this one's.
    fresh.run(world.ingress, established, warmUp);
    for (let slice = 0; slice < slices; slice++) {
      if (isFlooded) fresh.run(world.ingress, attempts, perFlood);
      else fresh.runEmpty(world.ingress, attempts, perFlood);
      least.full = Math.min(least.full, fresh.run(world.ingress, established, perSlice).nsPerPacket);
      least.empty = Math.min(least.empty, fresh.runEmpty(world.ingress, established, perSlice).nsPerPacket);
    }
    return least.full - least.empty;
  };
  const ratios = Array.from({ length: blocks }, () => {
    const quiet = block(false);
    return block(true) / quiet;
  });
  world.checkDrops();
  let left = 0;
  for (const { state } of world.plane.connections()) if (state === 'ESTABLISHED') left++;
  if (left !== flows) throw new Error(`Expected ${flows} connections after a flood but received ${left}`);
  return median(ratios);
}

function read(map: BpfMap, index: number): Uint8Array {
  const value = map.lookup(keyOf(index));
  if (!value) throw new RangeError(`Expected an index into connections but received ${index}`);
  return value;
}

function keyOf(index: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(index).buffer);
}
