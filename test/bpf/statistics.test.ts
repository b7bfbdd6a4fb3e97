// SPDX-License-Identifier: Apache-2.0
// What virtual services and the node have counted, the rates of it, and how it is set to zero.
import assert from 'node:assert/strict';
import { existsSync, unlinkSync } from 'node:fs';
import { suite, test } from 'node:test';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import { decode } from '../../src/dataplane/bpf/struct.ts';
import { noStatistics } from '../../src/model/statistics.ts';
import { buildPacket } from '../lib/packet.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';
import { send } from '../lib/sender.ts';
import { add, destination, other, remove, serve, server, Talk } from '../lib/talk.ts';

function serviceOf(plane: TestPlane, n = 0) {
  const service = plane.plane.services()[n];
  assert.ok(service);
  return service;
}

/** Each in a connection of its own, 40 bytes. */
function syns(plane: TestPlane, count: number, firstPort = 1024): void {
  for (let n = 0; n < count; n++) new Talk(plane, { port: firstPort + n }).client('S');
}

const ofSyns = (count: number) => ({
  connections: BigInt(count),
  inPackets: BigInt(count),
  inBytes: BigInt(40 * count),
  outPackets: 0n,
  outBytes: 0n,
});

/** The counters themselves, which are never set back: packets in. */
function readCounted(plane: TestPlane) {
  const { maps } = plane.plane.programs;
  const [first, node] = [new Uint8Array(4), new Uint8Array(4).fill(0xff)];
  const copies = maps.get('destination_traffic').lookup(first) ?? new Uint8Array();
  let sum = 0n;
  for (let at = 0; at < copies.length; at += layouts.destination_traffic.size) {
    sum += decode(layouts.destination_traffic, copies, at).in_packets;
  }
  const counted = (id: Uint8Array) => {
    const value = maps.get('service_statistics').lookup(id);
    assert.ok(value);
    return decode(layouts.statistics, decode(layouts.service_statistics, value).counted).in_packets;
  };
  return { destination: sum, service: counted(first), node: counted(node) };
}

suite('what a service has counted', { skip: missingForBpf() ?? false }, () => {
  test('a service keeps what its removed destinations counted, and the node what its deleted services did', () => {
    using plane = TestPlane.reuse();
    const service = serve(plane, [server, other]);
    syns(plane, 10);
    remove(plane, service, other);
    assert.deepEqual(serviceOf(plane).statistics, ofSyns(10));
    assert.deepEqual(serviceOf(plane).destinations[0]?.statistics, ofSyns(5));
    plane.apply({ do: 'delete-service', service });
    assert.deepEqual(plane.plane.totals().statistics, ofSyns(10));
    serve(plane, [server, other]);
    assert.deepEqual(serviceOf(plane).statistics, noStatistics);
    assert.deepEqual(serviceOf(plane).destinations[0]?.statistics, noStatistics);
    syns(plane, 4, 5000);
    assert.deepEqual(serviceOf(plane).statistics, ofSyns(4));
    assert.deepEqual(plane.plane.totals().statistics, ofSyns(14));
  });

  test('a destination that is removed and comes back counts once', () => {
    using plane = TestPlane.reuse();
    const service = serve(plane);
    for (let round = 0; round < 3; round++) {
      syns(plane, 10, 1000 + 100 * round);
      remove(plane, service);
      syns(plane, 10, 1000 + 100 * round); // not forwarded, so not counted
      add(plane, service);
    }
    assert.deepEqual(serviceOf(plane).statistics, ofSyns(30));
    assert.deepEqual(destination(plane).statistics, ofSyns(30));
    assert.deepEqual(plane.plane.totals().statistics, ofSyns(30));
  });

  test("a service's rates are those of its own counters, not the sum of what was rounded for its destinations", () => {
    using plane = TestPlane.reuse();
    serve(
      plane,
      Array.from({ length: 50 }, (_, n) => `10.244.3.${n + 1}`),
    );
    let scaled = 0;
    for (let round = 0; round < 8; round++) {
      syns(plane, 50, 2000 + 50 * round);
      plane.plane.programs.run('flush');
      plane.plane.programs.run('estimate');
      // ip_vs_est.c: half of what came in 2 seconds, in units of 1/32.
      scaled += (50 * 40 * 16 - scaled) >> 2;
      assert.equal(serviceOf(plane).rates.inBytes, BigInt((scaled + 15) >> 5), `round ${round}`);
    }
    assert.deepEqual(plane.plane.totals().rates, serviceOf(plane).rates);
  });
});

suite('ipvsadm -Z', { skip: missingForBpf() ?? false }, () => {
  test('of a service: it and its destinations count and rate from zero, others and the node go on', () => {
    using plane = TestPlane.reuse();
    const service = serve(plane, [server, other]);
    plane.serve('udp', '10.96.0.11:53', ['10.244.2.30:53']);
    syns(plane, 10);
    plane.ingress(
      buildPacket({
        ...new Talk(plane).request,
        protocol: 'udp',
        destination: '10.96.0.11',
        destinationPort: 53,
      }),
    );
    plane.plane.programs.run('estimate');
    plane.plane.zeroStatistics(service);
    const [tcp, udp] = plane.plane.services().toSorted((a) => (a.protocol === 'tcp' ? -1 : 1));
    const nothing = { statistics: noStatistics, rates: noStatistics };
    for (const each of [tcp, ...(tcp?.destinations ?? [])]) {
      assert.deepEqual({ statistics: each?.statistics, rates: each?.rates }, nothing);
    }
    assert.equal(udp?.statistics.inPackets, 1n);
    assert.equal(plane.plane.totals().statistics.inPackets, 11n);
    syns(plane, 3, 3000);
    assert.deepEqual(
      serviceOf(plane, plane.plane.services()[0]?.protocol === 'tcp' ? 0 : 1).statistics,
      ofSyns(3),
    );
  });

  test('of everything: the node, too; connections stay', () => {
    using plane = TestPlane.reuse();
    serve(plane);
    const talk = new Talk(plane).establish();
    plane.plane.zeroStatistics();
    assert.deepEqual(plane.plane.totals().statistics, noStatistics);
    assert.deepEqual(destination(plane).statistics, noStatistics);
    assert.equal(destination(plane).activeConnections, 1);
    talk.client('A');
    assert.deepEqual(destination(plane).statistics, { ...noStatistics, inPackets: 1n, inBytes: 40n });
  });

  test('leaves what is removed as it is, so that a destination that comes back has its counts', () => {
    using plane = TestPlane.reuse();
    const service = serve(plane);
    syns(plane, 5);
    remove(plane, service);
    plane.plane.zeroStatistics(service);
    add(plane, service);
    assert.deepEqual(destination(plane).statistics, ofSyns(5));
    assert.deepEqual(serviceOf(plane).statistics, noStatistics);
  });

  test('of a service that is not there is refused', () => {
    using plane = TestPlane.reuse();
    assert.throws(() => plane.plane.zeroStatistics({ protocol: 'tcp', address: '10.96.0.10', port: 80 }), {
      code: 'ESRCH',
    });
  });

  test('no packet is lost or counted twice that comes meanwhile, at the destination, its service or the node', async () => {
    using plane = TestPlane.reuse();
    const service = serve(plane);
    const talk = new Talk(plane).establish();
    const pin = `/sys/fs/bpf/bpvs-zero-${process.pid}`;
    plane.plane.programs.program('tc_ingress').pin(pin);
    const [times, senders] = [20_000, 2];
    const frame = buildPacket({ ...talk.request, flags: 'A' });
    let sending = true;
    const done = Promise.all(Array.from({ length: senders }, () => send({ pin, frame, times }))).finally(
      () => {
        sending = false;
        if (existsSync(pin)) unlinkSync(pin);
      },
    );
    let zeroed = 0;
    while (sending) {
      plane.plane.zeroStatistics(zeroed % 2 ? service : undefined);
      plane.plane.programs.run('estimate');
      const shown = destination(plane).statistics.inPackets;
      assert.ok(shown >= 0n && shown <= BigInt(times * senders), `${shown} after a zero`);
      zeroed++;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await done;
    assert.ok(zeroed > 5, `${zeroed} times`);
    const all = BigInt(times * senders) + 2n;
    plane.plane.services();
    assert.deepEqual(readCounted(plane), { destination: all, service: all, node: all });
    plane.plane.zeroStatistics();
    talk.client('A');
    assert.equal(destination(plane).statistics.inPackets, 1n);
  });
});
