// SPDX-License-Identifier: Apache-2.0
// What it costs to open a connection, by scheduler and number of destinations; all rows in turn, as the packets' rows.
import { defaultSizes } from '../../src/dataplane/bpf/options.ts';
import { knownSchedulers } from '../../src/dataplane/bpf/schedulers.ts';
import type { Operation } from '../../src/model/operation.ts';
import type { SchedulerName } from '../../src/model/scheduler.ts';
import type { BpfProgram } from '../../src/native/bpf-program.ts';
import type { Fresh, Traffic } from './fresh.ts';
import { median, medianRatio } from './samples.ts';
import { applyAll, destinationPort, openPlane, virtualPort } from './world.ts';

/** One line of the report: a first packet's cost, less that of making it. */
export interface SchedulerRow {
  readonly scheduler: SchedulerName;
  readonly destinations: number;
  /** Median of the rounds. */
  readonly ns: number;
  /** To the cost with the fewest destinations in the same round, so that what disturbs both is left out; median. */
  readonly ratio: number;
}

type Kind = Pick<SchedulerRow, 'scheduler' | 'destinations'>;

/** They look at one destination, however many there are, unless that one cannot be used. */
export const flatSchedulers: readonly SchedulerName[] = ['rr', 'wrr', 'sh', 'dh', 'mh'];
export const destinationCounts = [3, 100, 1000] as const;

/** Where a table's memory is makes a few hundredths. */
const tables = 8;
/** Of each. Many short ones: a disturbance spoils few. */
const rounds = 10;
/** New connections of one round; the flat ones are compared to five hundredths. */
const flatConnections = 512;
const connections = 64;
/**
 * Those before them, so that what they need is in the cache: of the flat ones, nearly all of a thousand destinations, which mh draws
 * by chance, and of which wrr has some only in one of 2500 turns.
 */
const warmUp = 512;
const flatWarmUp = 4096;
const tableSize = 1_048_576;
/** 10.98.0.1 and up, 10.65.0.0 and up: addresses by number. */
const virtualBase = 0x0a620001;
const destinationBase = 0x0a410000;

/** Frees its tables before it returns: about a GiB of memory. */
export function measureSchedulers(fresh: Fresh): readonly SchedulerRow[] {
  const kinds = knownSchedulers.flatMap((scheduler): readonly Kind[] =>
    destinationCounts.map((destinations) => ({ scheduler, destinations })),
  );
  const samples = kinds.map(() => [] as number[]);
  for (let table = 0; table < tables; table++) {
    const taken = sampleTable(fresh, kinds);
    for (const [number, row] of samples.entries()) row.push(...(taken[number] ?? []));
  }
  return kinds.map((kind, number) => {
    const own = samples[number] ?? [];
    const fewest = samples[number - (number % destinationCounts.length)] ?? [];
    return { ...kind, ns: median(own), ratio: medianRatio(own, fewest) };
  });
}

/** @returns of each kind, nanoseconds of a first packet in each round */
function sampleTable(fresh: Fresh, kinds: readonly Kind[]): readonly (readonly number[])[] {
  using plane = openPlane({ ...defaultSizes, connections: tableSize, halfOpen: tableSize });
  plane.programs.run('stop_sweep');
  for (const [number, { scheduler, destinations }] of kinds.entries()) {
    applyAll(plane, serviceOf(number, scheduler, destinations));
  }
  const ingress = plane.programs.program('tc_ingress');
  const samples = kinds.map(() => [] as number[]);
  let firstFlow = 0;
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < kinds.length; i++) {
      const number = (i + round) % kinds.length; // so that none always begins a round
      const isFlat = flatSchedulers.includes(kinds[number]?.scheduler ?? 'rr');
      const [count, before] = isFlat ? [flatConnections, flatWarmUp] : [connections, warmUp];
      fresh.run(ingress, trafficOf(number, firstFlow, before), before);
      firstFlow += before;
      samples[number]?.push(sample(fresh, ingress, trafficOf(number, firstFlow, count), count));
      firstFlow += count;
    }
  }
  for (const [name, dropped] of plane.view.reasons()) {
    if (/^(dropped|rejected)/.test(name) && dropped > 0n)
      throw new Error(`Expected no ${name} but received ${dropped}`);
  }
  return samples;
}

function sample(fresh: Fresh, program: BpfProgram, traffic: Traffic, count: number): number {
  const empty = fresh.runEmpty(program, traffic, count).nsPerPacket;
  return fresh.run(program, traffic, count).nsPerPacket - empty;
}

function trafficOf(number: number, firstFlow: number, flows: number): Traffic {
  return {
    family: 4,
    protocol: 'tcp',
    flags: 'S',
    direction: 'request',
    firstFlow,
    flows,
    isShuffled: false,
    hasScatteredPorts: false,
    services: 1,
    virtualBase: virtualBase + number,
    destinationBase,
  };
}

/** Small weights, not all alike; ovf's are as many connections as a destination takes. */
function serviceOf(number: number, scheduler: SchedulerName, destinations: number): readonly Operation[] {
  const service = { protocol: 'tcp', address: dotted(virtualBase + number), port: virtualPort } as const;
  return [
    { do: 'add-service', service: { ...service, scheduler, schedulerFlags: [], noDestination: 'reject' } },
    ...Array.from({ length: destinations }, (_, i): Operation => {
      const address = dotted(destinationBase + i);
      const weight = (1 + (i % 4)) * (scheduler === 'ovf' ? (connections + warmUp) * rounds : 1);
      const destination = { address, port: destinationPort, weight, forwarding: 'masq' } as const;
      return { do: 'add-destination', service, destination };
    }),
  ];
}

function dotted(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff).join('.');
}
