// SPDX-License-Identifier: Apache-2.0
// What lblc and lblcr remember: for how long, of how many addresses, and with how many destinations each.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, suite, test } from 'node:test';
import { removeDataPlane } from '../../src/dataplane/bpf/cleanup.ts';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import { decode, encode } from '../../src/dataplane/bpf/struct.ts';
import { addressBytes } from '../../src/model/address.ts';
import type { SchedulerName } from '../../src/model/scheduler.ts';
import { buildPacket, tupleOf } from '../lib/packet.ts';
import { missingForBpf, socketAddress, TestPlane, testSizes } from '../lib/plane.ts';

const virtual = '10.96.0.1:80';
const service = { protocol: 'tcp' as const, ...socketAddress(virtual) };
const pinDirectory = `/sys/fs/bpf/bpvs-lblc-${process.pid}`;

after(() => {
  if (existsSync(pinDirectory)) removeDataPlane(pinDirectory);
});

/** The letter of a destination's last byte: A is 10.244.0.1. */
function letter(address: string): string {
  return String.fromCharCode(64 + Number(address.split(/[.:]/)[3]));
}

function addressOf(name: string): string {
  return `10.244.0.${name.charCodeAt(0) - 64}:8080`;
}

/** A service of these destinations, each with weight 1. */
function serve(plane: TestPlane, scheduler: SchedulerName, names: string): void {
  plane.serve('tcp', virtual, [...names].map(addressOf), { scheduler, noDestination: 'drop' });
}

function change(plane: TestPlane, what: 'add' | 'edit' | 'delete', name: string, weight = 1): void {
  const destination = { ...socketAddress(addressOf(name)), weight, forwarding: 'masq' as const };
  plane.apply({ do: `${what}-destination`, service, destination });
}

function setScheduler(plane: TestPlane, scheduler: SchedulerName): void {
  plane.apply({
    do: 'edit-service',
    service: { ...service, scheduler, schedulerFlags: [], noDestination: 'drop' },
  });
}

let clients = 0;

/** Where so many new clients' SYNs go, as letters; "-" for nowhere. */
function syns(plane: TestPlane, times: number): string {
  return Array.from({ length: times }, () => {
    const n = clients++;
    const packet = buildPacket({
      source: `172.16.${n >> 8}.${n & 255}`,
      sourcePort: 1024,
      destination: service.address,
      destinationPort: 80,
      protocol: 'tcp',
      flags: 'S',
    });
    const outcome = plane.ingress(packet);
    return outcome.verdict === 'pass' ? letter(tupleOf(outcome.packet).destination) : '-';
  }).join('');
}

function mapOf(plane: TestPlane, name: 'caches' | 'cached_addresses' | 'cached_destinations') {
  return plane.plane.programs.maps.get(name);
}

function sizes(plane: TestPlane): readonly number[] {
  return (['caches', 'cached_addresses', 'cached_destinations'] as const).map(
    (name) => [...mapOf(plane, name).keys()].length,
  );
}

/** Enters so many more addresses into the only cache, as programs do. */
function remember(plane: TestPlane, count: number, lastUse: bigint): void {
  const [[number, value] = []] = [...mapOf(plane, 'caches').entries()];
  if (!number || !value) throw new Error('Expected a cache but received none');
  for (let n = 0; n < count; n++) {
    const address = addressBytes(`10.97.${n >> 8}.${n & 255}`);
    const key = encode(layouts.cached_address_key, { cache: number.readBigUInt64LE(), address });
    const entry = { last_use: lastUse, set: 0n, changed: lastUse, destination: 0, is_changing: 0 };
    mapOf(plane, 'cached_addresses').update(key, encode(layouts.cached_address, entry));
  }
  const cache = decode(layouts.cache, value);
  const entries = cache.entries + count;
  mapOf(plane, 'caches').update(number, encode(layouts.cache, { ...cache, entries }));
}

suite('caches of lblc and lblcr', { skip: missingForBpf() ?? false }, () => {
  test('lblc keeps an address at its destination until that is too full and another one has room', () => {
    using plane = new TestPlane();
    serve(plane, 'lblc', 'ABC');
    assert.equal(syns(plane, 5), 'CCBBA');
    assert.deepEqual(sizes(plane), [1, 1, 0]);
  });

  test('lblcr adds destinations to the set of an address, and takes the most loaded one out of an old set', () => {
    using plane = new TestPlane({ lblcrExpirationSeconds: 30 });
    serve(plane, 'lblcr', 'ABC');
    assert.equal(syns(plane, 5), 'CCBBA');
    assert.deepEqual(sizes(plane), [1, 1, 3]);
    plane.advance(31);
    assert.equal(syns(plane, 1), 'A');
    assert.deepEqual(sizes(plane), [1, 1, 2]);
    assert.equal(syns(plane, 1), 'A');
    assert.deepEqual(sizes(plane), [1, 1, 2]);
  });

  test('a destination that was deleted and added again is still known', () => {
    for (const scheduler of ['lblc', 'lblcr'] as const) {
      using plane = new TestPlane();
      serve(plane, scheduler, 'AB');
      assert.equal(syns(plane, 1), 'B');
      change(plane, 'delete', 'B');
      change(plane, 'add', 'C');
      change(plane, 'add', 'B');
      assert.equal(syns(plane, 1), 'B', scheduler);
    }
  });

  test('another scheduler, and the end of the service, drop the cache', () => {
    for (const scheduler of ['lblc', 'lblcr'] as const) {
      using plane = new TestPlane();
      serve(plane, scheduler, 'AB');
      assert.equal(syns(plane, 1), 'B');
      setScheduler(plane, 'wlc');
      setScheduler(plane, scheduler);
      assert.equal(syns(plane, 1), 'A');
      plane.plane.programs.run('keep_house_now');
      assert.deepEqual(sizes(plane), [1, 1, scheduler === 'lblc' ? 0 : 1]);
      plane.apply({ do: 'delete-service', service });
      plane.plane.programs.run('keep_house_now');
      assert.deepEqual(sizes(plane), [0, 0, 0]);
    }
  });

  test('the cache is kept when the list or a weight changes', () => {
    for (const scheduler of ['lblc', 'lblcr'] as const) {
      using plane = new TestPlane();
      serve(plane, scheduler, 'AB');
      assert.equal(syns(plane, 1), 'B');
      change(plane, 'add', 'C');
      change(plane, 'edit', 'B', 3);
      change(plane, 'delete', 'A');
      setScheduler(plane, scheduler);
      assert.equal(syns(plane, 1), 'B');
    }
  });

  test('an address that was not used for the time of the sysctl is forgotten at the next half hour', () => {
    for (const scheduler of ['lblc', 'lblcr'] as const) {
      using plane = new TestPlane({ lblcExpirationSeconds: 300, lblcrExpirationSeconds: 300 });
      serve(plane, scheduler, 'AB');
      assert.equal(syns(plane, 1), 'B');
      change(plane, 'delete', 'B');
      plane.advance(1700);
      plane.plane.programs.run('keep_house_now');
      assert.deepEqual(sizes(plane).slice(0, 2), [1, 1]);
      plane.advance(100);
      plane.plane.programs.run('keep_house_now');
      assert.deepEqual(sizes(plane), [1, 0, 0]);
    }
  });

  test('more than 16384 addresses of a service are thinned out, of those not used for 6 minutes', () => {
    using plane = new TestPlane();
    serve(plane, 'lblc', 'A');
    assert.equal(syns(plane, 1), 'A');
    remember(plane, 16_384 + 299, plane.plane.view.now());
    plane.advance(359);
    plane.plane.programs.run('keep_house_now');
    assert.equal(sizes(plane)[1], 16_384 + 300);
    plane.advance(1);
    plane.plane.programs.run('keep_house_now');
    assert.equal(sizes(plane)[1], 16_384 - 100);
  });

  test('a service with 24576 addresses gets no further ones, their connections go to the least loaded', () => {
    using plane = new TestPlane();
    serve(plane, 'lblc', 'AB');
    remember(plane, 24_576, plane.plane.view.now());
    assert.equal(syns(plane, 4), 'BABA');
    assert.equal(sizes(plane)[1], 24_576);
  });

  test('a set of lblcr grows to as many destinations as the service has', () => {
    using plane = new TestPlane({ sizes: { ...testSizes, connections: 4096 } });
    const count = 1100;
    const names = Array.from({ length: count }, (_, n) => `10.244.${n >> 8}.${n & 255}:8080`);
    plane.serve('tcp', virtual, names, { scheduler: 'lblcr' });
    syns(plane, 2 * count);
    assert.deepEqual(sizes(plane), [1, 1, count]);
    const [{ destinations = [] } = {}] = plane.plane.services();
    assert.deepEqual([...new Set(destinations.map(({ activeConnections }) => activeConnections))], [2]);
  });

  test('a removed destination keeps its place while a cache knows it', (t) => {
    let elapsed = 0;
    const start = performance.now();
    t.mock.method(performance, 'now', () => start + elapsed);
    for (const [scheduler, isKept] of [
      ['wlc', false],
      ['lblc', true],
      ['lblcr', true],
    ] as const) {
      using plane = new TestPlane({ sizes: { ...testSizes, destinations: 2 } });
      serve(plane, scheduler, 'A');
      assert.equal(syns(plane, 1), 'A');
      change(plane, 'delete', 'A');
      plane.advance(100);
      elapsed += 200_000;
      change(plane, 'add', 'B');
      if (isKept) assert.throws(() => change(plane, 'add', 'C'), /destinations is full/);
      else change(plane, 'add', 'C');
    }
  });

  test('a new process goes on with the caches of an earlier one', () => {
    for (const scheduler of ['lblc', 'lblcr'] as const) {
      if (existsSync(pinDirectory)) removeDataPlane(pinDirectory);
      const choices = [0, 1].map((process) => {
        using plane = new TestPlane({ pinDirectory, sizes: { ...testSizes, connections: 4096 } });
        if (process === 0) serve(plane, scheduler, 'AB');
        return `${syns(plane, 1)} ${sizes(plane).slice(0, 2)}`;
      });
      assert.deepEqual(choices, ['B 1,1', 'B 1,1']);
    }
  });
});
