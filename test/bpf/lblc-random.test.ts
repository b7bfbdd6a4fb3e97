// SPDX-License-Identifier: Apache-2.0
// lblc and lblcr in BPF against their models, over random lives of services and their connections.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Operation } from '../../src/model/operation.ts';
import type { SchedulerName } from '../../src/model/scheduler.ts';
import type { DestinationModel } from '../../src/model/schedulers/destination-model.ts';
import { ServiceModel } from '../../src/model/schedulers/service-model.ts';
import { destinationId } from '../../src/model/virtual-service.ts';
import { buildPacket, tupleOf } from '../lib/packet.ts';
import { missingForBpf, TestPlane, testSizes } from '../lib/plane.ts';
import { numberFrom, Random } from '../lib/random.ts';

const seed = numberFrom('BPVS_SCHEDULER_SEED', 20_261_121);
const lives = numberFrom('BPVS_SCHEDULER_LIVES', 2000);
const expirations = { lblcExpirationSeconds: 2500, lblcrExpirationSeconds: 300 };
const sizes = { ...testSizes, destinations: 131_072, services: 1024 };

/** A plane and its clock. */
class Lab implements Disposable {
  readonly plane: TestPlane;
  seconds = 1000;
  #clients = 0;

  constructor() {
    this.plane = new TestPlane({ sizes, ...expirations });
  }

  /** The address of a client that no other service has: destinations answer to it alone. */
  newClient(): string {
    const n = this.#clients++;
    return `100.${64 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
  }

  advance(seconds: number): void {
    this.seconds += seconds;
    this.plane.advance(seconds);
  }

  [Symbol.dispose](): void {
    this.plane[Symbol.dispose]();
  }
}

interface OpenConnection {
  readonly client: string;
  readonly destination: DestinationModel;
  isActive: boolean;
  expiresAt: number;
}

/** One service from its adding to its end, and its TCP connections. */
class Life {
  readonly #lab: Lab;
  readonly #random: Random;
  readonly #model: ServiceModel;
  readonly #virtual: string;
  #scheduler: SchedulerName;
  #connections: OpenConnection[] = [];
  #modelNow: number;
  #housekeepingAt: number;
  picks = 0;

  constructor(lab: Lab, random: Random, scheduler: SchedulerName, n: number) {
    this.#lab = lab;
    this.#random = random;
    this.#scheduler = scheduler;
    this.#virtual = `10.96.${n >> 8}.${n & 255}`;
    this.#modelNow = lab.seconds;
    this.#housekeepingAt = lab.seconds + 60;
    const settings = { scheduler, schedulerFlags: [] };
    this.#model = new ServiceModel(settings, { ...expirations, now: () => this.#modelNow });
    this.#apply({ do: 'add-service', service: this.#definition() });
  }

  live(steps: number): void {
    for (let step = 0; step < steps; step++) this.#step();
    this.#apply({ do: 'delete-service', service: this.#definition() });
  }

  #definition() {
    return {
      protocol: 'tcp',
      address: this.#virtual,
      port: 80,
      scheduler: this.#scheduler,
      schedulerFlags: [],
      noDestination: 'drop',
    } as const;
  }

  #step(): void {
    const choice = this.#random.below(20);
    if (choice < 4) this.#addOrDelete();
    else if (choice === 4) this.#edit();
    else if (choice < 8) this.#reset();
    else if (choice === 8) this.#wait(this.#random.pick([1, 5, 50, 70, 301, 400, 1700, 1900, 4000]));
    else if (choice === 9) this.#editService();
    else for (let i = this.#random.below(6); i > 0; i--) this.#connect();
  }

  #addOrDelete(): void {
    const key = { address: `10.244.0.${1 + this.#random.below(6)}`, port: 8080 };
    const isThere = this.#model.destination(key) !== undefined;
    if (isThere && this.#random.once(2)) return;
    if (isThere) this.#model.deleteDestination(key);
    const destination = this.#settings(key);
    if (!isThere) this.#model.add(destination);
    this.#apply({
      do: isThere ? 'delete-destination' : 'add-destination',
      service: this.#definition(),
      destination,
    });
  }

  #edit(): void {
    if (this.#model.destinations.length === 0) return;
    const { address, port } = this.#random.pick(this.#model.destinations);
    const destination = this.#settings({ address, port });
    this.#model.editDestination(destination);
    this.#apply({ do: 'edit-destination', service: this.#definition(), destination });
  }

  #settings(key: { readonly address: string; readonly port: number }) {
    const weight = this.#random.once(6) ? 0 : 1 + this.#random.below(6);
    const upperThreshold = this.#random.once(5) ? 1 + this.#random.below(6) : 0;
    return { ...key, weight, upperThreshold, forwarding: 'masq' as const };
  }

  #editService(): void {
    if (!this.#random.once(3)) return;
    const scheduler = this.#random.pick(['lblc', 'lblcr', 'wlc'] as const);
    this.#model.edit({ scheduler, schedulerFlags: [] });
    if (scheduler !== this.#scheduler) this.#housekeepingAt = this.#lab.seconds + 60;
    this.#scheduler = scheduler;
    this.#apply({ do: 'edit-service', service: this.#definition() });
  }

  #apply(operation: Operation): void {
    this.#lab.plane.apply(operation);
  }

  /** A client's SYN: compares whom it goes to. */
  #connect(): void {
    const client = this.#lab.newClient();
    const expected = this.#model.pick({ source: client, sourcePort: 1024, destination: this.#virtual });
    this.picks++;
    assert.equal(syn(this.#lab.plane, client, this.#virtual), expected && destinationId(expected));
    if (!expected) return;
    expected.bindConnection();
    expected.activateConnection();
    this.#connections.push({
      client,
      destination: expected,
      isActive: true,
      expiresAt: this.#lab.seconds + 60,
    });
  }

  /** A destination resets a connection, which is not active then and ends in 10 seconds. */
  #reset(): void {
    const open = this.#connections.filter(({ isActive }) => isActive);
    if (open.length === 0) return;
    const connection = this.#random.pick(open);
    const { destination, client } = connection;
    const reply = {
      source: destination.address,
      sourcePort: 8080,
      destination: client,
      destinationPort: 1024,
    };
    this.#lab.plane.egress(buildPacket({ ...reply, protocol: 'tcp', flags: 'RA' }));
    destination.deactivateConnection();
    connection.isActive = false;
    connection.expiresAt = this.#lab.seconds + 10;
  }

  #wait(seconds: number): void {
    this.#lab.advance(seconds);
    const now = this.#lab.seconds;
    for (const { destination, isActive } of this.#connections.filter(({ expiresAt }) => expiresAt <= now)) {
      if (isActive) destination.deactivateConnection();
      destination.unbindConnection();
    }
    this.#connections = this.#connections.filter(({ expiresAt }) => expiresAt > now);
    for (; this.#housekeepingAt <= now; this.#housekeepingAt += 60) {
      this.#modelNow = this.#housekeepingAt;
      this.#model.housekeep();
    }
    this.#modelNow = now;
  }
}

function syn(plane: TestPlane, client: string, virtual: string): string | undefined {
  const packet = buildPacket({
    source: client,
    sourcePort: 1024,
    destination: virtual,
    destinationPort: 80,
    protocol: 'tcp',
    flags: 'S',
  });
  const outcome = plane.ingress(packet);
  return outcome.verdict === 'pass' ? tupleOf(outcome.packet).destination : undefined;
}

suite('lblc and lblcr over time', { skip: missingForBpf() ?? false }, () => {
  for (const scheduler of ['lblc', 'lblcr'] as const) {
    test(`${scheduler}: ${lives} services with random connections choose as the kernel does (seed ${seed})`, (t) => {
      using lab = new Lab();
      const random = new Random(seed);
      let picks = 0;
      for (let n = 0; n < lives; n++) {
        const life = new Life(lab, random, scheduler, n);
        try {
          life.live(10 + random.below(30));
        } catch (error) {
          throw new Error(`seed ${seed}, service ${n}`, { cause: error });
        }
        picks += life.picks;
      }
      t.diagnostic(`${picks} choices`);
      assert.ok(picks > lives);
    });
  }
});
