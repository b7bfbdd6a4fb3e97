// SPDX-License-Identifier: Apache-2.0
// Destinations that are quiesced, removed and brought back, and what is counted of their traffic.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { buildPacket, tupleOf } from '../lib/packet.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';
import {
  add,
  connections,
  counts,
  destination,
  flowCount,
  opening,
  other,
  remove,
  serve,
  server,
  setWeight,
  states,
  Talk,
  virtual,
} from '../lib/talk.ts';

suite('destinations that get no new connections', { skip: missingForBpf() ?? false }, () => {
  test('a destination with weight 0 keeps its connections and gets no new ones', () => {
    using plane = TestPlane.reuse();
    const service = serve(plane);
    const talk = new Talk(plane).establish();
    setWeight(plane, service, 0);
    assert.equal(talk.to('A'), `${server}:8080`);
    assert.equal(talk.to('S'), `${server}:8080`);
    assert.equal(new Talk(plane, { port: 40001 }).to('S'), 'redirect');
    setWeight(plane, service, 1);
    assert.equal(new Talk(plane, { port: 40001 }).to('S'), `${server}:8080`);
  });

  test('expire_nodest_conn 1: a SYN on a connection of a destination with weight 0 is scheduled anew', () => {
    using plane = TestPlane.reuse({ expireNodestConn: true });
    const service = serve(plane, [server, other]);
    const [first, second] = [new Talk(plane), new Talk(plane, { port: 40001 })];
    assert.deepEqual([first.to('S'), second.to('S')], [`${other}:8080`, `${server}:8080`]);
    setWeight(plane, service, 0);
    assert.equal(second.to('A'), `${server}:8080`);
    assert.equal(second.to('S'), `${other}:8080`);
  });

  test('expire_nodest_conn 0: packets of a removed destination are dropped and counted, its replies still translated', () => {
    using plane = TestPlane.reuse({ expireNodestConn: false });
    const service = serve(plane, [server]);
    const talk = new Talk(plane).establish();
    remove(plane, service);
    assert.equal(talk.to('A'), 'drop');
    assert.equal(talk.to('S'), 'drop');
    assert.equal(plane.reason('dropped_destination_gone'), 2n);
    assert.equal(tupleOf(talk.server('A').packet).source, `${virtual}:80`);
    assert.deepEqual(states(plane), ['ESTABLISHED']);
  });

  test('expire_nodest_conn 0: dropped packets do not restart the timer', () => {
    using plane = TestPlane.reuse({ expireNodestConn: false });
    const service = serve(plane, [server]);
    const talk = new Talk(plane).establish();
    remove(plane, service);
    plane.advance(800);
    talk.client('A');
    plane.advance(100);
    assert.deepEqual(states(plane), []);
  });

  test('expire_nodest_conn 1: TCP of a removed destination goes to the stack untouched, its connection ends', () => {
    using plane = TestPlane.reuse({ expireNodestConn: true });
    const service = serve(plane, [server, other]);
    const talk = new Talk(plane).establish();
    const first = connections(plane)[0]?.destination.address;
    remove(plane, service, first);
    assert.equal(talk.to('A'), 'untouched');
    assert.deepEqual(states(plane), []);
    assert.equal(flowCount(plane), 0);
  });

  test('expire_nodest_conn 1: the connections of a removed destination end at once, without a packet of theirs', () => {
    for (const protocol of ['tcp', 'udp', 'sctp'] as const) {
      using plane = TestPlane.reuse({ expireNodestConn: true });
      const service = serve(plane, [server, other], protocol);
      const talks = [1, 2, 3, 4].map((n) => new Talk(plane, { port: 1000 + n, protocol }));
      for (const talk of talks) talk.to(opening[protocol]);
      remove(plane, service, other);
      assert.deepEqual(
        connections(plane).map((each) => each.destination.address),
        [server, server],
      );
      assert.equal(flowCount(plane), 4);
      plane.apply({ do: 'delete-service', service });
      assert.deepEqual(connections(plane), []);
    }
  });

  test('expire_nodest_conn 1: SYNs, INITs and datagrams of a removed destination are scheduled anew', () => {
    for (const protocol of ['tcp', 'udp', 'sctp'] as const) {
      using plane = TestPlane.reuse({ expireNodestConn: true });
      const service = serve(plane, [server, other], protocol);
      const talk = new Talk(plane, { protocol });
      assert.equal(talk.to(opening[protocol]), `${other}:8080`);
      remove(plane, service, other);
      assert.equal(talk.to(opening[protocol]), `${server}:8080`);
      assert.equal(connections(plane).length, 1);
      assert.deepEqual(counts(plane), protocol === 'tcp' ? [1, 0] : [0, 1]);
    }
  });

  test('a destination that comes back has its connections and counters again', () => {
    using plane = TestPlane.reuse({ expireNodestConn: false });
    const service = serve(plane, [server]);
    const talk = new Talk(plane).establish();
    const before = destination(plane);
    remove(plane, service);
    assert.equal(talk.to('A'), 'drop');
    add(plane, service);
    assert.deepEqual(destination(plane), before);
    assert.equal(talk.to('A'), `${server}:8080`);
    assert.equal(destination(plane).statistics.inPackets, before.statistics.inPackets + 1n);
  });

  test('a destination that comes back with its service has its connections, but counts from zero', () => {
    using plane = TestPlane.reuse({ expireNodestConn: false });
    const service = serve(plane, [server]);
    const talk = new Talk(plane).establish();
    plane.apply({ do: 'delete-service', service });
    assert.equal(talk.to('A'), 'drop');
    serve(plane, [server]);
    assert.equal(talk.to('A'), `${server}:8080`);
    assert.deepEqual(counts(plane), [1, 0]);
    const { connections, inPackets } = destination(plane).statistics;
    assert.deepEqual([connections, inPackets], [0n, 1n]);
  });

  test('a new service has no part in what a deleted one counted', () => {
    using plane = TestPlane.reuse();
    const service = serve(plane, [server, other]);
    new Talk(plane).establish();
    new Talk(plane, { port: 40001 }).establish();
    remove(plane, service);
    plane.apply({ do: 'delete-service', service });
    plane.serve('tcp', '10.96.0.11:80', [`${other}:8080`]);
    assert.equal(plane.plane.services()[0]?.statistics.inPackets, 0n);
  });
});

suite('statistics', { skip: missingForBpf() ?? false }, () => {
  test('connections, packets and bytes of both directions; bytes are those of the IP packet', () => {
    using plane = TestPlane.reuse();
    serve(plane);
    const talk = new Talk(plane).establish();
    talk.client('PA', new Uint8Array(100));
    talk.server('PA');
    const expected = {
      connections: 1n,
      inPackets: 3n,
      outPackets: 2n,
      inBytes: 40n + 40n + 140n,
      outBytes: 80n,
    };
    assert.deepEqual(destination(plane).statistics, expected);
    assert.deepEqual(plane.plane.services()[0]?.statistics, expected);
  });

  test('padding of the frame is not counted', () => {
    using plane = TestPlane.reuse();
    serve(plane);
    const frame = new Uint8Array(60);
    frame.set(buildPacket({ ...new Talk(plane).request, flags: 'S' }));
    plane.ingress(frame);
    assert.equal(destination(plane).statistics.inBytes, 40n);
  });

  test('rejected packets count with no destination', () => {
    using plane = TestPlane.reuse();
    const service = serve(plane);
    setWeight(plane, service, 0);
    new Talk(plane).client('S');
    assert.equal(plane.plane.services()[0]?.statistics.inPackets, 0n);
  });
});

suite('rejects', { skip: missingForBpf() ?? false }, () => {
  test('at most 50 at once and 10,000 a second are sent; the others are dropped and counted', () => {
    using plane = TestPlane.reuse();
    serve(plane, []);
    const send = (times: number) => {
      const seen = { redirect: 0, drop: 0, pass: 0 };
      for (let n = 0; n < times; n++) seen[new Talk(plane, { port: 1000 + n }).client('S').verdict]++;
      return seen;
    };
    assert.deepEqual(send(60), { redirect: 50, drop: 10, pass: 0 });
    assert.equal(plane.reason('rejected_no_destination'), 50n);
    assert.equal(plane.reason('dropped_reject_rate'), 10n);
    plane.advance(0.001);
    assert.deepEqual(send(20), { redirect: 10, drop: 10, pass: 0 });
    plane.advance(10);
    assert.deepEqual(send(60), { redirect: 50, drop: 10, pass: 0 });
  });
});
