// SPDX-License-Identifier: Apache-2.0
// Two CPUs that meet packets of the same connections at the same time.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { suite, test } from 'node:test';
import { onlyKey } from '../../src/dataplane/bpf/bpf-maps.ts';
import { enums, layouts } from '../../src/dataplane/bpf/layouts.ts';
import { decode } from '../../src/dataplane/bpf/struct.ts';
import type { DestinationStatus } from '../../src/dataplane/data-plane.ts';
import type { Connection } from '../../src/model/connection.ts';
import { type Family, Fresh, type Traffic } from '../bench/fresh.ts';
import { destinationBases, type Kind, virtualBases, World } from '../bench/world.ts';
import { missingForBpf } from '../lib/plane.ts';
import { Racers } from '../lib/racers.ts';

const flows = 16_384;
const tableSize = 2 * flows;
const services = 10;
const racesAtLeast = 6;
/** Where nobody has lost by then, the threads have never met. */
const racesAtMost = 200;
const persistentRacesAtLeast = 3;
/** Of some 30,000 clients that both CPUs meet at once: they may withdraw a template each time that both make one. */
const straysAtMost = 6;

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

  private constructor(world: World, fresh: Fresh, racers: Racers, kind: Kind) {
    this.world = world;
    this.#fresh = fresh;
    this.#racers = racers;
    this.#kind = kind;
  }

  static async open(kind: Kind, programs: readonly string[]): Promise<Course> {
    using opened = new DisposableStack();
    const fresh = opened.use(new Fresh());
    const world = opened.use(World.open(fresh, { services, connections: tableSize, kinds: [kind] }));
    const pinOf = (program: string) => `/sys/fs/bpf/bpvs-test-races-${process.pid}-${program}`;
    for (const name of new Set(programs)) {
      world.plane.programs.program(name).pin(pinOf(name));
      opened.defer(() => rmSync(pinOf(name), { force: true }));
    }
    const course = new Course(world, fresh, await Racers.start(programs.map(pinOf)), kind);
    for (const name of new Set(programs)) rmSync(pinOf(name));
    opened.move();
    return course;
  }

  /** A packet of each flow, on this CPU alone. */
  send(...flags: readonly Flags[]): void {
    for (const each of flags) this.#fresh.run(this.world.ingress, this.#traffic(each), flows);
  }

  /** Opens as many connections besides as there is room for: each free entry takes one. */
  fill(): void {
    const traffic = { ...this.#traffic('S'), firstFlow: flows, flows: tableSize };
    this.#fresh.run(this.world.ingress, traffic, tableSize);
  }

  /** The SYN of each flow on each CPU. */
  race(): Promise<void> {
    return this.#racers.run(this.#traffic('S'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#racers.end();
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

/** Each entry of the pool is somebody's, and nobody else's, once no more connections can be opened. */
function checkPool(course: Course): void {
  course.fill();
  const all = [...course.world.plane.view.connections()];
  const ports = all.map((each) => `${clientOf(each)} from ${each.client.port}`);
  assert.deepEqual([all.length, new Set(ports).size], [tableSize, tableSize]);
  assert.ok(course.world.plane.view.reasons().get('dropped_table_full'));
}

/** Each template is held by the connections that it has opened, and counted at its destination. */
function checkTemplates(world: World): void {
  const { maps } = world.plane.programs;
  const cold = [...maps.get('cold_connections').entries()].map(([, value]) =>
    decode(layouts.cold_connection, value),
  );
  const { CONNECTION_TEMPLATE, CONNECTION_PERSISTENT } = enums.connection_flag;
  const holders = new Map<number, number>();
  const templates: number[] = [];
  for (const [i, [, value]] of [...maps.get('connections').entries()].entries()) {
    const { state, flags } = decode(layouts.connection, value);
    const template = (cold[i]?.template ?? 0) - 1;
    if (state === enums.connection_state.STATE_NONE) continue;
    if (flags & CONNECTION_TEMPLATE) templates.push(i);
    else if (flags & CONNECTION_PERSISTENT) holders.set(template, (holders.get(template) ?? 0) + 1);
  }
  const wrong = templates.filter((i) => cold[i]?.holds !== 1 + (holders.get(i) ?? 0));
  assert.deepEqual(wrong, [], 'templates with other holds than holders');
  assert.ok([...holders.keys()].every((index) => templates.includes(index)));
  assert.equal(
    sumOf(world, (each) => each.persistentConnections),
    templates.length,
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
          await course.race();
          course.send('S'); // what both have dropped comes again
          races += 1;
          checkTable(course.world);
          const opened = sumOf(course.world, (each) => Number(each.statistics.connections));
          assert.equal(opened, races * flows);
          lost = entriesGivenBack(course.world) - (races - 1) * flows;
        }
        assert.ok(lost > 0, `no CPU has lost one of ${races} races`);
        checkPool(course);
      });

  test('nearly all persistent clients have one template each, and all their connections go to its destination', async () => {
    const persistence = { timeoutSeconds: 300, prefixLength: 32 };
    let lost = 0;
    let strays = 0;
    for (let races = 0; races < persistentRacesAtLeast || (lost === 0 && races < racesAtMost); races++) {
      await using course = await Course.open({ ...kindOf(4), scheduler: 'rr', persistence }, hooks[0]);
      await course.race();
      course.send('S');
      checkTable(course.world);
      checkTemplates(course.world);
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
