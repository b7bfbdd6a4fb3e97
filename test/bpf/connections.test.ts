// SPDX-License-Identifier: Apache-2.0
// The table of connections: what opens, keeps and ends them, and what happens when there is no room.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { onlyKey } from '../../src/dataplane/bpf/bpf-maps.ts';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import { defaultTimeouts } from '../../src/dataplane/bpf/options.ts';
import { decode } from '../../src/dataplane/bpf/struct.ts';
import { tupleOf } from '../lib/packet.ts';
import { missingForBpf, socketAddress, TestPlane, testSizes } from '../lib/plane.ts';
import {
  add,
  connections,
  counts,
  destination,
  flowCount,
  opening,
  other,
  serve,
  server,
  states,
  Talk,
  virtual,
} from '../lib/talk.ts';

const small = { services: 16, destinations: 64, places: 4096, connections: 64, halfOpen: 16 };

suite('half-open connections', { skip: missingForBpf() ?? false }, () => {
  test('a flood of SYNs displaces only half-open connections, and each is counted', () => {
    using plane = new TestPlane({ sizes: small });
    serve(plane);
    const established = [1, 2, 3, 4].map((n) => new Talk(plane, { port: 1000 + n }).establish());
    for (let n = 0; n < 1000; n++) new Talk(plane, { client: `10.1.${n >> 8}.${n & 255}` }).client('S');
    const alive = connections(plane);
    assert.equal(alive.filter(({ state }) => state === 'ESTABLISHED').length, 4);
    assert.equal(alive.filter(({ state }) => state === 'SYN_RECV').length, small.halfOpen);
    assert.equal(plane.reason('displaced_half_open'), BigInt(1000 - small.halfOpen));
    assert.equal(plane.reason('dropped_table_full'), 0n);
    assert.equal(flowCount(plane), 2 * alive.length);
    assert.deepEqual(counts(plane), [alive.length, 0]);
    for (const talk of established) assert.equal(talk.to('A'), `${server}:8080`);
  });

  test('a flood of INITs displaces only associations that are not established', () => {
    using plane = new TestPlane({ sizes: small });
    serve(plane, [server], 'sctp');
    new Talk(plane, { port: 1000, protocol: 'sctp' }).establish();
    for (let n = 0; n < 200; n++) {
      const talk = new Talk(plane, { client: `10.1.0.${n}`, protocol: 'sctp' });
      talk.client('INIT');
      talk.server('INIT-ACK');
    }
    assert.equal(plane.reason('displaced_half_open'), BigInt(200 - small.halfOpen));
    assert.deepEqual(counts(plane), [1, small.halfOpen]);
  });

  test('a flood of datagrams displaces only those that were never answered', () => {
    using plane = new TestPlane({ sizes: small });
    serve(plane, [server], 'udp');
    const answered = new Talk(plane, { port: 1000, protocol: 'udp' });
    answered.client('');
    answered.server('');
    for (let n = 0; n < 200; n++) new Talk(plane, { client: `10.1.0.${n}`, protocol: 'udp' }).client('');
    assert.equal(plane.reason('displaced_half_open'), BigInt(200 - small.halfOpen));
    assert.equal(connections(plane).filter((each) => each.client.port === 1000).length, 1);
  });

  for (const halfOpen of [16, 131_072])
    test(`${halfOpen} places: of 3 confirmed connections and one half open, only the latter keeps its own`, () => {
      using plane = new TestPlane({ sizes: { ...small, halfOpen } });
      serve(plane);
      for (let n = 0; n < 3; n++) new Talk(plane, { port: 1000 + n }).establish();
      new Talk(plane, { port: 2000 }).client('S');
      const places = [...plane.plane.programs.maps.get('half_open').entries()];
      assert.equal(places.filter(([, value]) => value.readUInt32LE() !== 0).length, 1);
    });

  for (const protocol of ['tcp', 'sctp'] as const)
    test(`${protocol}: those that expire take along a template that no destination ever answered`, () => {
      using plane = new TestPlane({ sizes: small });
      const persistence = { timeoutSeconds: 10_800, prefixLength: 32 };
      plane.serve(protocol, `${virtual}:80`, [`${server}:8080`], { persistence });
      new Talk(plane, { client: '10.1.0.1', protocol }).establish();
      for (const port of [1, 2])
        new Talk(plane, { client: '10.1.0.1', port, protocol }).client(opening[protocol]);
      for (const port of [1, 2])
        new Talk(plane, { client: '10.1.0.2', port, protocol }).client(opening[protocol]);
      const templates = () =>
        connections(plane)
          .filter(({ isTemplate }) => isTemplate)
          .map(({ client }) => client.address)
          .sort();
      assert.deepEqual(templates(), ['10.1.0.1', '10.1.0.2']);
      plane.advance(61);
      assert.deepEqual(templates(), ['10.1.0.1']);
      assert.equal(connections(plane).length, 2);
    });

  test('a half-open connection that ended before its place was needed is not counted as displaced', () => {
    using plane = new TestPlane({ sizes: small });
    serve(plane);
    const flood = (times: number) => {
      for (let n = 0; n < times; n++) new Talk(plane, { port: 1000 + n }).client('S');
    };
    for (let n = 0; n < 2 * small.halfOpen; n++) new Talk(plane, { port: 1000 + n }).establish();
    plane.advance(900);
    flood(small.halfOpen);
    plane.advance(60);
    assert.deepEqual(states(plane), []);
    flood(small.halfOpen);
    assert.equal(connections(plane).length, small.halfOpen);
    assert.equal(plane.reason('displaced_half_open'), 0n);
  });
});

suite('the table of connections', { skip: missingForBpf() ?? false }, () => {
  for (const protocol of ['tcp', 'udp', 'sctp'] as const) {
    test(`v4 ${protocol}: the table is full → the packet is dropped and counted, and nothing is left behind`, () => {
      using plane = new TestPlane({ sizes: small });
      serve(plane, [server], protocol);
      for (let n = 0; n < small.connections; n++) {
        new Talk(plane, { port: 1000 + n, protocol }).establish();
      }
      const before = {
        flows: flowCount(plane),
        destination: destination(plane),
        connections: connections(plane),
      };
      assert.equal(before.connections.length, small.connections);
      for (let n = 0; n < 10; n++)
        assert.equal(new Talk(plane, { port: 2000 + n, protocol }).to(opening[protocol]), 'drop');
      assert.equal(plane.reason('dropped_table_full'), 10n);
      const after = {
        flows: flowCount(plane),
        destination: destination(plane),
        connections: connections(plane),
      };
      assert.deepEqual(after, before);
      plane.advance(901);
      assert.equal(flowCount(plane), 0);
      assert.equal(new Talk(plane, { port: 2000, protocol }).to(opening[protocol]), `${server}:8080`);
    });
  }

  test('every connection of a full table is found again by its request and by its reply', () => {
    const connections = 4096;
    using plane = new TestPlane({ sizes: { ...testSizes, connections, halfOpen: connections } });
    serve(plane);
    const talks = Array.from({ length: connections }, (_, n) => new Talk(plane, { port: 1000 + n }));
    for (const talk of talks) assert.equal(talk.to('S'), `${server}:8080`);
    for (const talk of talks) {
      assert.equal(tupleOf(talk.server('SA').packet).source, `${virtual}:80`);
      assert.equal(talk.to('A'), `${server}:8080`);
    }
    assert.equal(flowCount(plane), 2 * connections);
  });

  test('source ports that collide are changed, and given up when no try finds a free one → dropped and counted, nothing is left behind', () => {
    using plane = new TestPlane({ sizes: { ...testSizes, halfOpen: testSizes.connections } });
    for (let port = 1; port <= 41; port++) plane.serve('tcp', `${virtual}:${port}`, [`${server}:8080`]);
    const sources = new Set<string>();
    for (let port = 1; port <= 39; port++) {
      const { packet } = new Talk(plane, { virtualPort: port }).client('S');
      sources.add(tupleOf(packet).source);
    }
    assert.equal(sources.size, 39, 'each connection has a tuple of its own');
    takeAllSourcePorts(plane);
    const before = { flows: flowCount(plane), connections: connections(plane) };
    const exhausted = plane.reason('dropped_ports_exhausted');
    assert.equal(new Talk(plane, { virtualPort: 40 }).to('S'), 'drop');
    assert.equal(plane.reason('dropped_ports_exhausted'), exhausted + 1n);
    assert.deepEqual({ flows: flowCount(plane), connections: connections(plane) }, before);
  });
});

/** The client connects to the destination, by one more of its virtual services, from each of the ports that a colliding one may get. */
function takeAllSourcePorts(plane: TestPlane): void {
  for (let port = 32768; port < 61000; port++) {
    new Talk(plane, { port, virtualPort: 41 }).client('S');
  }
}

const walks: readonly (readonly [state: string, seconds: number, packets: readonly string[]])[] = [
  ['SYN_RECV', 60, ['>S']],
  ['SYN_RECV', 60, ['>S', '<SA']],
  ['ESTABLISHED', 900, ['>S', '<SA', '>A']],
  ['CLOSE_WAIT', 60, ['>S', '<SA', '>A', '>FA']],
  ['FIN_WAIT', 120, ['>S', '<SA', '>A', '<FA']],
  ['TIME_WAIT', 120, ['>S', '<SA', '>A', '>FA', '<FA']],
  ['CLOSE', 10, ['>S', '<SA', '>A', '>R']],
  ['CLOSE', 10, ['>S', '<RA']],
];

function walk(plane: TestPlane, packets: readonly string[]): Talk {
  const talk = new Talk(plane);
  for (const packet of packets) {
    if (packet.startsWith('>')) talk.client(packet.slice(1));
    else talk.server(packet.slice(1));
  }
  return talk;
}

suite('states and timeouts', { skip: missingForBpf() ?? false }, () => {
  for (const [state, seconds, packets] of walks) {
    test(`tcp ${packets.join(' ')}: ${state} for ${seconds} s, then gone with all that was counted`, () => {
      using plane = TestPlane.reuse();
      serve(plane);
      walk(plane, packets);
      assert.deepEqual(states(plane), [state]);
      assert.equal(connections(plane)[0]?.expiresInMs, seconds * 1000);
      const isActive = ['ESTABLISHED', 'SYN_RECV'].includes(state);
      assert.deepEqual(counts(plane), isActive ? [1, 0] : [0, 1]);
      plane.advance(seconds - 1);
      assert.deepEqual(states(plane), [state]);
      plane.advance(1);
      assert.deepEqual(states(plane), []);
      assert.deepEqual(counts(plane), [0, 0]);
      assert.equal(flowCount(plane), 0);
      assert.equal(plane.reason('expired'), 1n);
    });
  }

  test('every packet of either side restarts the timer', () => {
    using plane = TestPlane.reuse();
    serve(plane);
    const talk = new Talk(plane).establish();
    for (let n = 0; n < 4; n++) {
      plane.advance(800);
      if (n % 2) talk.client('A');
      else talk.server('A');
    }
    assert.deepEqual(states(plane), ['ESTABLISHED']);
    plane.advance(900);
    assert.deepEqual(states(plane), []);
  });

  test('a datagram of either side keeps its connection for 300 s, and it is never active', () => {
    using plane = TestPlane.reuse();
    serve(plane, [server], 'udp');
    const talk = new Talk(plane, { protocol: 'udp' });
    talk.client('');
    plane.advance(299);
    talk.server('');
    plane.advance(299);
    assert.deepEqual(states(plane), ['UDP']);
    assert.deepEqual(counts(plane), [0, 1]);
    plane.advance(1);
    assert.deepEqual(states(plane), []);
  });

  test('new timeouts hold for a connection from its next packet on', () => {
    using plane = TestPlane.reuse();
    serve(plane);
    const talk = new Talk(plane).establish();
    plane.plane.setTimeouts({ ...defaultTimeouts, tcpSeconds: 100, tcpFinSeconds: 20 });
    assert.equal(connections(plane)[0]?.expiresInMs, 900_000);
    talk.client('A');
    assert.equal(connections(plane)[0]?.expiresInMs, 100_000);
    talk.server('FA');
    assert.equal(connections(plane)[0]?.expiresInMs, 20_000);
    plane.advance(20);
    assert.deepEqual(states(plane), []);
  });
});

suite('a SYN on a connection that is there', { skip: missingForBpf() ?? false }, () => {
  const ended = { TIME_WAIT: ['>S', '<SA', '>A', '>FA', '<FA'], CLOSE: ['>S', '<SA', '>A', '>R'] };
  for (const [state, packets] of Object.entries(ended)) {
    test(`conn_reuse_mode 1: in ${state} it begins a new connection, scheduled anew`, () => {
      using plane = TestPlane.reuse();
      serve(plane, [server, other]);
      const talk = new Talk(plane);
      assert.equal(talk.to('S'), `${other}:8080`);
      for (const packet of packets.slice(1)) {
        if (packet.startsWith('>')) talk.client(packet.slice(1));
        else talk.server(packet.slice(1), other);
      }
      assert.deepEqual(states(plane), [state]);
      assert.equal(talk.to('S'), `${server}:8080`);
      assert.deepEqual(states(plane), ['SYN_RECV']);
      assert.equal(destination(plane, 0).statistics.connections, 1n);
      assert.equal(flowCount(plane), 2);
    });

    test(`conn_reuse_mode 0: in ${state} it goes to the same destination, and opens the old connection again`, () => {
      using plane = new TestPlane({ connReuseMode: 0 });
      serve(plane, [server]);
      walk(plane, packets);
      const talk = new Talk(plane);
      add(plane, { protocol: 'tcp', ...socketAddress(`${virtual}:80`) }, other);
      assert.equal(talk.to('S'), `${server}:8080`);
      assert.deepEqual(states(plane), ['SYN_RECV']);
      assert.equal(destination(plane, 0).statistics.connections, 1n);
      assert.deepEqual(counts(plane), [1, 0]);
    });
  }

  test('established: it stays, whatever conn_reuse_mode says', () => {
    for (const connReuseMode of [0, 1]) {
      using plane = new TestPlane({ connReuseMode });
      serve(plane, [server]);
      const talk = new Talk(plane).establish();
      add(plane, { protocol: 'tcp', ...socketAddress(`${virtual}:80`) }, other);
      assert.equal(talk.to('S'), `${server}:8080`);
      assert.deepEqual(states(plane), ['ESTABLISHED']);
    }
  });
});

suite('the pool of connections', { skip: missingForBpf() ?? false }, () => {
  test('entries that ended are used again before new ones are touched', () => {
    using plane = TestPlane.reuse();
    serve(plane);
    for (let round = 0; round < 50; round++) {
      new Talk(plane, { port: 1000 + round }).client('S');
      plane.advance(60);
    }
    const shared = plane.plane.programs.maps.get('shared').lookup(onlyKey);
    assert.ok(shared);
    assert.equal(decode(layouts.shared, shared).used_connections, 1);
  });
});
