// SPDX-License-Identifier: Apache-2.0
// The program behind `bpvs explain`, which is run on a node that serves.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { buildPacket } from '../lib/packet.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';
import { connections, other, serve, server, states, Talk, virtual } from '../lib/talk.ts';

const tiny = { services: 4, destinations: 4, places: 64, connections: 64, halfOpen: 16 };

suite('explain', { skip: missingForBpf() ?? false }, () => {
  test('changes nothing: no connection, no counter, no cursor, no packet', () => {
    using plane = new TestPlane({ sizes: tiny });
    serve(plane, [server, other]);
    new Talk(plane).establish();
    const contents = (name: 'destinations' | 'places') =>
      [...plane.plane.programs.maps.get(name).entries()].map(([, value]) => value.toString('hex'));
    const state = () => ({
      services: plane.plane.services(),
      connections: connections(plane),
      reasons: plane.plane.view.reasons(),
      destinations: contents('destinations'),
      places: contents('places'),
    });
    const before = state();
    const program = plane.plane.programs.program('explain');
    for (const flags of ['S', 'A', 'R']) {
      for (const port of [40000, 40001]) {
        const packet = buildPacket({ ...new Talk(plane, { port }).request, flags });
        const { data } = program.testRun({ data: packet, context: new Uint8Array(192) });
        assert.deepEqual([...data], [...packet]);
      }
    }
    assert.deepEqual(state(), before);
    assert.deepEqual(states(plane), ['ESTABLISHED']);
    assert.equal(virtual, before.services[0]?.address);
  });
});
