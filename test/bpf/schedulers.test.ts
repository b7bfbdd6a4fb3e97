// SPDX-License-Identifier: Apache-2.0
// The loaded schedulers against a model of the kernel's, over random lives of services; and known answers.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import { decode } from '../../src/dataplane/bpf/struct.ts';
import { formatAddressPort } from '../../src/model/address.ts';
import type { Operation } from '../../src/model/operation.ts';
import type { SchedulerFlag, SchedulerName } from '../../src/model/scheduler.ts';
import { ServiceModel } from '../../src/model/schedulers/service-model.ts';
import { destinationId } from '../../src/model/virtual-service.ts';
import { buildPacket, tupleOf } from '../lib/packet.ts';
import { missingForBpf, socketAddress, TestPlane } from '../lib/plane.ts';
import { numberFrom, Random } from '../lib/random.ts';

interface Client {
  readonly address: string;
  readonly port: number;
}

const seed = numberFrom('BPVS_SCHEDULER_SEED', 20_261_121);
const lives = numberFrom('BPVS_SCHEDULER_LIVES', 2000);
const sizes = { services: 64, destinations: 4096, places: 1 << 23, connections: 65_536, halfOpen: 65_536 };
/** Services share these virtual addresses one after the other, so that destinations come back from the trash, too. */
const virtuals = 100;
const names = 8;
const flagSets: readonly (readonly SchedulerFlag[])[] = [[], ['flag-1'], ['flag-2'], ['flag-1', 'flag-2']];

/** Where the data plane sends a client's first packet; undefined where it has no one to send it to. */
function pick(plane: TestPlane, virtual: string, { address, port }: Client): string | undefined {
  const packet = buildPacket({
    source: address,
    sourcePort: port,
    destination: virtual,
    destinationPort: 80,
    protocol: 'udp',
  });
  const outcome = plane.ingress(packet);
  return outcome.verdict === 'pass' ? tupleOf(outcome.packet).destination : undefined;
}

/** One service from its adding to its end. */
class Life {
  readonly #plane: TestPlane;
  readonly #random: Random;
  readonly #model: ServiceModel;
  readonly #virtual: string;
  readonly #isV6: boolean;
  #scheduler: SchedulerName;
  #flags: readonly SchedulerFlag[];
  #waiting: Operation[] = [];
  #clients = 0;
  picks = 0;

  constructor(plane: TestPlane, random: Random, scheduler: SchedulerName, n: number) {
    this.#plane = plane;
    this.#random = random;
    this.#scheduler = scheduler;
    this.#isV6 = n % 4 === 3;
    this.#virtual = this.#isV6 ? `fd00:10:96::${(n % virtuals) + 1}` : `10.96.0.${(n % virtuals) + 1}`;
    this.#flags = random.pick(flagSets);
    this.#model = new ServiceModel({ scheduler, schedulerFlags: this.#flags });
    this.#do({ do: 'add-service', service: this.#definition() });
  }

  live(steps: number): void {
    for (let step = 0; step < steps; step++) this.#step();
    this.#do({ do: 'delete-service', service: this.#definition() });
    this.#apply();
  }

  #definition() {
    const key = { protocol: 'udp', address: this.#virtual, port: 80 } as const;
    return {
      ...key,
      scheduler: this.#scheduler,
      schedulerFlags: this.#flags,
      noDestination: 'drop',
    } as const;
  }

  #step(): void {
    const random = this.#random;
    const present = this.#model.destinations.map(destinationId);
    const absent = Array.from({ length: names }, (_, n) => this.#nameOf(n)).filter(
      (name) => !present.includes(name),
    );
    const weight = random.once(4) ? 0 : random.once(10) ? 1000 : 1 + random.below(5);
    const choice = random.below(12);
    if (choice < 2 && absent.length > 0) {
      const name = random.pick(absent);
      this.#model.add({ ...socketAddress(name), weight });
      this.#destination('add-destination', name, weight);
    } else if (choice === 2 && present.length > 0) {
      const name = random.pick(present);
      this.#model.editDestination({ ...socketAddress(name), weight });
      this.#destination('edit-destination', name, weight);
    } else if (choice === 3 && present.length > 0) {
      const name = random.pick(present);
      this.#model.deleteDestination(socketAddress(name));
      this.#destination('delete-destination', name, weight);
    } else if (choice === 4 && random.once(2)) {
      for (let times = 1 + random.below(3); times > 0; times--) this.#editService();
    } else for (let i = random.below(6); i > 0; i--) this.#pick();
  }

  #editService(): void {
    if (this.#random.once(2)) this.#scheduler = this.#random.pick(['rr', 'sh', 'dh']);
    this.#flags = this.#random.pick(flagSets);
    this.#model.edit({ scheduler: this.#scheduler, schedulerFlags: this.#flags });
    this.#do({ do: 'edit-service', service: this.#definition() });
  }

  #destination(
    kind: 'add-destination' | 'edit-destination' | 'delete-destination',
    name: string,
    weight: number,
  ): void {
    const destination = { ...socketAddress(name), weight, forwarding: 'masq' as const };
    this.#do({ do: kind, service: this.#definition(), destination });
  }

  #nameOf(n: number): string {
    return formatAddressPort(this.#isV6 ? `fd00:10:244::${n + 1}` : `10.244.0.${n + 1}`, 8080);
  }

  /** Operations wait for one another now and then, so that several are carried out at once. */
  #do(operation: Operation): void {
    this.#waiting.push(operation);
    if (this.#random.once(2)) this.#apply();
  }

  #apply(): void {
    this.#plane.apply(...this.#waiting);
    this.#waiting = [];
  }

  #pick(): void {
    this.#apply();
    const low = this.#random.below(65536);
    const address = this.#isV6
      ? `2001:db8::${low.toString(16)}:${++this.#clients}`
      : `172.16.${low >> 8}.${low & 255}`;
    const client = { address: canonical(address), port: 1024 + this.#random.below(60_000) };
    this.picks++;
    const expected = this.#model.pick({
      source: client.address,
      sourcePort: client.port,
      destination: this.#virtual,
    });
    assert.equal(pick(this.#plane, this.#virtual, client), expected && destinationId(expected));
  }
}

function canonical(address: string): string {
  return socketAddress(address.includes(':') ? `[${address}]:0` : `${address}:0`).address;
}

suite('schedulers', { skip: missingForBpf() ?? false }, () => {
  for (const scheduler of ['rr', 'sh', 'dh'] as const) {
    test(`${scheduler}: ${lives} services with random changes choose as the kernel does (seed ${seed})`, (t) => {
      using plane = new TestPlane({ sizes });
      const random = new Random(seed);
      let picks = 0;
      for (let n = 0; n < lives; n++) {
        const life = new Life(plane, random, scheduler, n);
        try {
          life.live(10 + random.below(20));
        } catch (error) {
          throw new Error(`seed ${seed}, service ${n}`, { cause: error });
        }
        picks += life.picks;
        if (n % virtuals === virtuals - 1) plane.advance(301);
      }
      t.diagnostic(`${picks} choices`);
      assert.ok(picks > lives);
    });
  }

  /** Clients whose place in sh's table is known. */
  const places: readonly (readonly [address: string, port: number, usesPort: boolean, place: number])[] = [
    ['10.0.0.1', 1024, false, 39],
    ['10.0.0.2', 1024, false, 137],
    ['192.168.1.50', 1024, false, 64],
    ['10.0.0.1', 40000, true, 203],
    ['10.0.0.1', 40001, true, 45],
    ['255.255.255.255', 1, true, 0],
    ['2001:db8::1', 1024, false, 63],
    ['2001:db8::1', 40000, true, 226],
    ['2001:db8:1234:5678:9abc:def0:1234:5678', 1024, false, 127],
  ];

  test('sh: clients of known places are found there', () => {
    using plane = new TestPlane();
    for (const [address, port, usesPort, place] of places) {
      const isV6 = address.includes(':');
      const flags = usesPort ? (['flag-2'] as const) : [];
      const virtual = isV6 ? 'fd00:10:96::1' : '10.96.0.1';
      const to = isV6 ? '[fd00:10:244::1]:80' : '10.244.0.1:80';
      const service = plane.serve('udp', formatAddressPort(virtual, 80), [to], { scheduler: 'sh', flags });
      assert.equal(explainedPlace(plane, { address, port }, virtual), place, `${address} ${port}`);
      plane.apply({ do: 'delete-service', service });
    }
  });

  test('dh: a virtual address of known place is found there', () => {
    using plane = new TestPlane();
    plane.serve('udp', '10.96.0.10:80', ['10.244.0.1:80'], { scheduler: 'dh' });
    assert.equal(explainedPlace(plane, { address: '10.0.0.1', port: 1024 }, '10.96.0.10'), 242);
  });

  const [a, b, c] = ['10.0.1.1:80', '10.0.1.2:80', '10.0.1.3:80'] as const;

  test('sh: known clients go to known destinations, with and without their ports', () => {
    using plane = new TestPlane();
    plane.serve('udp', '10.96.0.1:80', [a, b, c], { scheduler: 'sh' });
    plane.serve('udp', '10.96.0.2:80', [a, b, c], { scheduler: 'sh', flags: ['flag-2'] });
    assert.equal(pick(plane, '10.96.0.1', { address: '10.0.0.1', port: 1024 }), c);
    assert.equal(pick(plane, '10.96.0.1', { address: '10.0.0.2', port: 1024 }), a);
    assert.equal(pick(plane, '10.96.0.1', { address: '192.168.1.50', port: 1024 }), b);
    assert.equal(pick(plane, '10.96.0.2', { address: '10.0.0.1', port: 40000 }), a);
    assert.equal(pick(plane, '10.96.0.2', { address: '10.0.0.1', port: 40001 }), c);
  });

  test('sh-fallback: from a destination of weight 0 on to the place of twice the hash', () => {
    using plane = new TestPlane();
    const list = [a, b, { at: c, weight: 0 }];
    plane.serve('udp', '10.96.0.1:80', list, { scheduler: 'sh', flags: ['flag-1'] });
    plane.serve('udp', '10.96.0.2:80', list, { scheduler: 'sh', noDestination: 'drop' });
    assert.equal(pick(plane, '10.96.0.1', { address: '10.0.0.1', port: 1024 }), b);
    assert.equal(pick(plane, '10.96.0.2', { address: '10.0.0.1', port: 1024 }), undefined);
  });
});

/** The place of the scheduler's table that the program `explain` names. */
function explainedPlace(plane: TestPlane, { address, port }: Client, virtual: string): number {
  const data = buildPacket({
    source: address,
    sourcePort: port,
    destination: virtual,
    destinationPort: 80,
    protocol: 'udp',
  });
  const controlBuffer = 48;
  const { context } = plane.plane.programs.program('explain').testRun({ data, context: new Uint8Array(192) });
  return decode(layouts.explanation, context, controlBuffer).place - 1;
}
