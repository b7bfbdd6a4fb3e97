// SPDX-License-Identifier: Apache-2.0
// Two CPUs that meet packets of the same connections at the same time.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { suite, test } from 'node:test';
import { onlyKey } from '../../src/dataplane/bpf/bpf-maps.ts';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import { decode } from '../../src/dataplane/bpf/struct.ts';
import type { DestinationStatus } from '../../src/dataplane/data-plane.ts';
import type { Connection } from '../../src/model/connection.ts';
import { type Family, Fresh, type Traffic } from '../bench/fresh.ts';
import { destinationBases, type Kind, virtualBases, World } from '../bench/world.ts';
import { missingForBpf } from '../lib/plane.ts';
import { Racers } from '../lib/racers.ts';

const flows = 16_384;
const services = 10;
const racesAtLeast = 10;
/** So many are enough of those that nobody loses: two threads seldom share one CPU for as long. */
const racesAtMost = 200;
const persistentRacesAtLeast = 5;
/** Of some 50,000 clients that both CPUs meet at once: they may withdraw a template each time that both make one. */
const straysAtMost = 10;

const missing = missingForBpf() ?? (availableParallelism() < 2 ? 'a race needs two CPUs' : false);

const kindOf = (family: Family): Kind => ({ family, protocol: 'tcp', scheduler: 'sh', flows: 0 });

const hooks = [
  ['tc_ingress', 'tc_ingress'],
  ['tc_ingress', 'xdp_ingress'],
] as const;

type Flags = 'S' | 'A' | 'R';

/** A data plane without connections, and two threads at its hooks. */
class Course implements AsyncDisposable {
  readonly world: World;
  readonly #fresh: Fresh;
  readonly #racers: Racers;
  readonly #kind: Kind;
  readonly #pins: ReadonlySet<string>;

  private constructor(world: World, fresh: Fresh, racers: Racers, kind: Kind, pins: ReadonlySet<string>) {
    this.world = world;
    this.#fresh = fresh;
    this.#racers = racers;
    this.#kind = kind;
    this.#pins = pins;
  }

  static async open(kind: Kind, programs: readonly string[]): Promise<Course> {
    const fresh = new Fresh();
    const world = World.open(fresh, { services, connections: 2 * flows, kinds: [kind] });
    const pinOf = (program: string) => `/sys/fs/bpf/bpvs-test-races-${process.pid}-${program}`;
    for (const name of new Set(programs)) world.plane.programs.program(name).pin(pinOf(name));
    const pins = programs.map(pinOf);
    return new Course(world, fresh, await Racers.start(pins), kind, new Set(pins));
  }

  /** A packet of each flow, on this CPU alone. */
  send(...flags: readonly Flags[]): void {
    for (const each of flags) this.#fresh.run(this.world.ingress, this.#traffic(each), flows);
  }

  /** A packet of each flow on each CPU. */
  race(first: Flags, second: Flags): Promise<void> {
    return this.#racers.run(this.#traffic(first), this.#traffic(second));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#racers.end();
    for (const pin of this.#pins) rmSync(pin);
    this.world.close();
    this.#fresh.close();
  }

  #traffic(flags: Flags): Traffic {
    return {
      family: this.#kind.family,
      protocol: 'tcp',
      flags,
      direction: 'request',
      firstFlow: 0,
      flows,
      isShuffled: false,
      hasScatteredPorts: true,
      services,
      virtualBase: virtualBases[this.#kind.scheduler],
      destinationBase: destinationBases.own,
    };
  }
}

/** How often an entry was given back: by a connection that ended, or by a CPU that lost a race. */
function entriesGivenBack({ plane }: World): number {
  const { maps } = plane.programs;
  const shared = maps.get('shared').lookup(onlyKey);
  assert.ok(shared);
  const used = decode(layouts.shared, shared).used_connections;
  const entries = [...maps.get('connections').entries()].slice(0, used);
  return entries.reduce((sum, [, value]) => sum + decode(layouts.connection, value).generation - 1, 0);
}

function slotsInUse({ plane }: World): number {
  const buckets = [...plane.programs.maps.get('flows').entries()];
  const slots = buckets.flatMap(([, value]) => decode(layouts.flow_bucket, value).slots);
  return slots.filter((slot) => slot !== 0n).length;
}

function sumOf({ plane }: World, of: (destination: DestinationStatus) => number): number {
  const destinations = plane.view.services().flatMap((service) => service.destinations);
  return destinations.reduce((sum, destination) => sum + of(destination), 0);
}

const clientOf = ({ client, virtual }: Connection) => `${client.address} to ${virtual.address}`;

/** One connection for each flow, that both its directions lead to, counted as what it is; templates apart. */
function checkTable(world: World): void {
  const all = [...world.plane.view.connections()];
  const connections = all.filter(({ isTemplate }) => !isTemplate);
  const ports = new Set(connections.map((each) => `${clientOf(each)} from ${each.client.port}`));
  const active = connections.filter(({ state }) => state === 'ESTABLISHED' || state === 'SYN_RECV').length;
  assert.deepEqual(
    {
      connections: connections.length,
      ports: ports.size,
      slots: slotsInUse(world),
      active: sumOf(world, (each) => each.activeConnections),
      inactive: sumOf(world, (each) => each.inactiveConnections),
    },
    { connections: flows, ports: flows, slots: flows + all.length, active, inactive: flows - active },
  );
}

suite('packets of one connection on two CPUs', { skip: missing }, () => {
  for (const family of [4, 6] as const)
    for (const programs of hooks)
      test(`IPv${family}, ${programs.join(' and ')}: each is opened once, and anew after its reset`, async () => {
        await using course = await Course.open(kindOf(family), programs);
        let races = 0;
        let lost = 0;
        while (races < racesAtLeast || (lost === 0 && races < racesAtMost)) {
          if (races > 0) course.send('A', 'R');
          await course.race('S', 'S');
          course.send('S'); // what both have dropped comes again
          races += 1;
          checkTable(course.world);
          const opened = sumOf(course.world, (each) => Number(each.statistics.connections));
          assert.equal(opened, races * flows);
          lost = entriesGivenBack(course.world) - (races - 1) * flows;
        }
        assert.ok(lost > 0, `no CPU has lost one of ${races} races`);
      });

  for (const programs of hooks)
    test(`${programs.join(' and ')}: counts stay right where one opens what the other one ends`, async () => {
      await using course = await Course.open(kindOf(4), programs);
      course.send('S');
      for (let races = 0; races < racesAtLeast; races++) {
        await course.race('A', 'R');
        await course.race('S', 'R');
        await course.race('A', 'S');
        course.send('S');
        checkTable(course.world);
      }
    });

  test('nearly all persistent clients have one template each, and all their connections go to its destination', async () => {
    const persistence = { timeoutSeconds: 300, prefixLength: 32 };
    let lost = 0;
    let strays = 0;
    for (let races = 0; races < persistentRacesAtLeast || (lost === 0 && races < racesAtMost); races++) {
      await using course = await Course.open({ ...kindOf(4), scheduler: 'rr', persistence }, hooks[0]);
      await course.race('S', 'S');
      course.send('S');
      checkTable(course.world);
      lost += entriesGivenBack(course.world);
      for (const connections of Map.groupBy(course.world.plane.view.connections(), clientOf).values()) {
        const templates = connections.filter(({ isTemplate }) => isTemplate).length;
        const destinations = new Set(connections.map(({ destination }) => destination.address)).size;
        if (templates !== 1 || destinations !== 1) strays += 1;
      }
    }
    assert.ok(lost > 0, 'no CPU has lost a race');
    assert.ok(strays <= straysAtMost, `${strays} persistent clients are without template, or go astray`);
  });
});
