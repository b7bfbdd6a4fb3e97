// SPDX-License-Identifier: Apache-2.0
// The table of flows (bpf/lib/flow.h): more connections of one client's port than a bucket has slots, and two CPUs that open the same.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { enums, layouts } from '../../src/dataplane/bpf/layouts.ts';
import { decode, encode } from '../../src/dataplane/bpf/struct.ts';
import { word } from '../../src/dataplane/bpf/words.ts';
import { formatAddressPort } from '../../src/model/address.ts';
import { buildPacket, tupleOf } from '../lib/packet.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';
import { connections } from '../lib/talk.ts';

const udpSeconds = 41;
const timeouts = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds };
const ports = Array.from({ length: 100 }, (_, i) => 1000 + i);

const rows = [
  { client: '10.244.1.10', virtual: '10.96.0.10', destinations: ports.map((_, i) => `10.244.3.${i + 1}`) },
  { client: 'fd00:1::10', virtual: 'fd00:96::10', destinations: ports.map((_, i) => `fd00:3::${i + 1}`) },
] as const;

/** Slots in use, and what buckets say of substitutes. */
function flowsOf(plane: TestPlane): { slots: number; overflowed: number } {
  const found = { slots: 0, overflowed: 0 };
  for (const [, value] of plane.plane.programs.maps.get('flows').entries()) {
    const { slots, overflowed } = decode(layouts.flow_bucket, value);
    found.slots += slots.filter((slot) => slot !== 0n).length;
    found.overflowed += Number(overflowed);
  }
  return found;
}

/** Puts another connection of the same tuples before the only one, as a CPU does that is opening it as well. */
function hideConnection(plane: TestPlane): void {
  const { maps } = plane.plane.programs;
  const [other, generation] = [1000n, 77n];
  const hide = (slot: bigint) => (slot & ~0xffff_ffff_ffffn) | (generation << 32n) | other;
  for (const [key, value] of maps.get('flows').entries()) {
    const bucket = decode(layouts.flow_bucket, value);
    const used = bucket.slots.filter((slot) => slot !== 0n);
    const [first] = used;
    if (first === undefined) continue;
    const connection = decode(
      layouts.connection,
      maps.get('connections').lookup(word(Number(first & 0xffff_ffffn))) ?? new Uint8Array(),
    );
    const opening = {
      ...connection,
      state: enums.connection_state.STATE_NONE,
      generation: Number(generation),
    };
    maps.get('connections').update(word(Number(other)), encode(layouts.connection, opening));
    const slots = bucket.slots.map((_, i) => [...used.map(hide), ...used][i] ?? 0n);
    maps.get('flows').update(key, encode(layouts.flow_bucket, { ...bucket, slots }));
  }
}

/** Puts slots of an unused entry, each with the tag of one that is there, where they are looked at first. */
function addRivals(plane: TestPlane, buckets: ReadonlyMap<string, readonly bigint[]>): void {
  const flows = plane.plane.programs.maps.get('flows');
  for (const [key, slots] of buckets) {
    const rivals = slots.map((slot) => slot && (slot & ~0xffff_ffff_ffffn) | (78n << 32n) | 1000n);
    flows.update(Buffer.from(key, 'hex'), encode(layouts.flow_bucket, { overflowed: 0n, slots: rivals }));
  }
}

suite('flows', { skip: missingForBpf() ?? false }, () => {
  for (const { client, virtual, destinations } of rows) {
    test(`${client}: one port to 100 services: each connection is found both ways, and leaves nothing when it ends`, () => {
      using plane = TestPlane.reuse({ timeouts });
      const services = ports.map((port) => formatAddressPort(virtual, port));
      const servers = destinations.map((address) => formatAddressPort(address, 8080));
      for (const [i, service] of services.entries()) plane.serve('udp', service, [servers[i] ?? '']);
      const from = { source: client, sourcePort: 40000 };
      const to = { destination: client, destinationPort: 40000 };
      const protocol = 'udp';
      for (let round = 0; round < 2; round++) {
        for (const [i, address] of destinations.entries()) {
          const request = {
            ...from,
            protocol,
            destination: virtual,
            destinationPort: ports[i] ?? 0,
          } as const;
          const reply = { ...to, protocol, source: address, sourcePort: 8080 } as const;
          assert.equal(tupleOf(plane.ingress(buildPacket(request)).packet).destination, servers[i]);
          assert.equal(tupleOf(plane.egress(buildPacket(reply)).packet).source, services[i]);
        }
      }
      assert.equal(connections(plane).length, ports.length);
      const { slots, overflowed } = flowsOf(plane);
      assert.equal(slots, 2 * ports.length);
      assert.ok(overflowed >= slots - 7, `${overflowed} of ${slots} are elsewhere`);
      plane.advance(udpSeconds + 1);
      assert.deepEqual(connections(plane), []);
      assert.deepEqual(flowsOf(plane), { slots: 0, overflowed: 0 });
    });
  }

  test('a connection that is being opened does not hide the one that another CPU has opened', () => {
    using plane = TestPlane.reuse({ timeouts });
    plane.serve('udp', '10.96.0.10:53', ['10.244.3.1:8080']);
    const from = { source: '10.244.1.10', sourcePort: 40000, protocol: 'udp' } as const;
    const request = buildPacket({ ...from, destination: '10.96.0.10', destinationPort: 53 });
    plane.ingress(request);
    hideConnection(plane);
    assert.equal(tupleOf(plane.ingress(request).packet).destination, '10.244.3.1:8080');
    const to = { destination: '10.244.1.10', destinationPort: 40000, protocol: 'udp' } as const;
    const reply = buildPacket({ ...to, source: '10.244.3.1', sourcePort: 8080 });
    assert.equal(tupleOf(plane.egress(reply).packet).source, '10.96.0.10:53');
  });

  test('a request that looks like the reply of a connection that is being opened, to a pod by itself, is not opened as well', () => {
    using plane = TestPlane.reuse({ timeouts });
    const pod = '10.244.1.10';
    const virtual = '10.96.0.10';
    plane.serve('udp', `${virtual}:80`, [`${pod}:8080`]);
    plane.serve('udp', `${virtual}:1000`, ['10.244.3.1:8080']);
    const ends = { source: pod, destination: virtual, protocol: 'udp' } as const;
    plane.ingress(buildPacket({ ...ends, sourcePort: 1000, destinationPort: 80 }));
    const alike = buildPacket({ ...ends, sourcePort: 8080, destinationPort: 1000 });
    const turned = plane.ingress(alike);
    assert.deepEqual([turned.verdict, tupleOf(turned.packet).source], ['redirect', `${virtual}:80`]);
    const entries = plane.plane.programs.maps.get('connections');
    const { STATE_NONE } = enums.connection_state;
    const isOpen = (value: Uint8Array) => decode(layouts.connection, value).state !== STATE_NONE;
    const [key, opened] = [...entries.entries()].find(([, value]) => isOpen(value)) ?? [];
    assert.ok(key && opened);
    entries.update(
      key,
      encode(layouts.connection, { ...decode(layouts.connection, opened), state: STATE_NONE }),
    );
    assert.equal(plane.ingress(alike).verdict, 'drop');
    assert.equal(plane.reason('dropped_being_opened'), 1n);
    entries.update(key, opened);
    assert.deepEqual(plane.ingress(alike), turned);
    assert.equal(connections(plane).length, 1);
  });

  test('slots that only have the tag of its tuples do not keep a connection out, nor go with it', () => {
    using plane = TestPlane.reuse({ timeouts });
    plane.serve('udp', '10.96.0.10:53', ['10.244.3.1:8080']);
    const from = { source: '10.244.1.10', sourcePort: 40000, protocol: 'udp' } as const;
    const request = buildPacket({ ...from, destination: '10.96.0.10', destinationPort: 53 });
    const to = { destination: '10.244.1.10', destinationPort: 40000, protocol: 'udp' } as const;
    const reply = buildPacket({ ...to, source: '10.244.3.1', sourcePort: 8080 });
    plane.ingress(request);
    const buckets = new Map<string, readonly bigint[]>();
    for (const [key, value] of plane.plane.programs.maps.get('flows').entries()) {
      const { slots } = decode(layouts.flow_bucket, value);
      if (slots.some((slot) => slot !== 0n)) buckets.set(Buffer.from(key).toString('hex'), slots);
    }
    assert.equal(buckets.size, 1, 'both flows are at home in one bucket');
    plane.advance(udpSeconds + 1);
    addRivals(plane, buckets);
    const rivals = flowsOf(plane);
    assert.equal(tupleOf(plane.ingress(request).packet).destination, '10.244.3.1:8080');
    assert.equal(tupleOf(plane.egress(reply).packet).source, '10.96.0.10:53');
    assert.equal(connections(plane).length, 1);
    assert.deepEqual(flowsOf(plane), { slots: rivals.slots + 2, overflowed: 0 });
    plane.advance(udpSeconds + 1);
    assert.deepEqual(connections(plane), []);
    assert.deepEqual(flowsOf(plane), rivals);
  });
});
