// SPDX-License-Identifier: Apache-2.0
// A client that uses one port for more connections than its bucket has slots (bpf/lib/flow.h).
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import { decode } from '../../src/dataplane/bpf/struct.ts';
import { tupleOf } from '../lib/packet.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';
import { connections, Talk, virtual } from '../lib/talk.ts';

const udpSeconds = 41;
const timeouts = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds };
const ports = Array.from({ length: 100 }, (_, i) => 1000 + i);
const destinations = ports.map((_, i) => `10.244.3.${i + 1}`);

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

suite('flows', { skip: missingForBpf() ?? false }, () => {
  test('one port of a client to 100 services: each connection is found both ways, and leaves nothing when it ends', () => {
    using plane = TestPlane.reuse({ timeouts });
    for (const [i, port] of ports.entries())
      plane.serve('udp', `${virtual}:${port}`, [`${destinations[i]}:8080`]);
    const talks = ports.map((virtualPort) => new Talk(plane, { protocol: 'udp', virtualPort }));
    for (let round = 0; round < 2; round++) {
      for (const [i, talk] of talks.entries()) {
        assert.equal(talk.to(''), `${destinations[i]}:8080`);
        const { source } = tupleOf(talk.server('', destinations[i]).packet);
        assert.equal(source, `${virtual}:${ports[i]}`);
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
});
