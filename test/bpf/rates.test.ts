// SPDX-License-Identifier: Apache-2.0
// The estimator of rates against the kernel's formula.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { buildPacket } from '../lib/packet.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';

function open(plane: TestPlane, count: number, firstPort: number): void {
  for (let i = 0; i < count; i++) {
    plane.ingress(
      buildPacket({
        source: '10.244.1.10',
        sourcePort: firstPort + i,
        destination: '10.96.0.10',
        destinationPort: 80,
        protocol: 'tcp',
        flags: 'S',
      }),
    );
  }
}

suite('rates', { skip: missingForBpf() ?? false }, () => {
  test('200 connections in every 2 seconds approach 100 a second as the kernel shows it', () => {
    using plane = new TestPlane();
    plane.serve('tcp', '10.96.0.10:80', ['10.244.2.20:8080', '10.244.2.21:8080']);
    const shown: bigint[] = [];
    for (let round = 0; round < 15; round++) {
      open(plane, 200, 1024 + 200 * round);
      plane.plane.programs.run('estimate');
      shown.push(plane.plane.services()[0]?.rates.connections ?? -1n);
    }
    assert.deepEqual(shown.map(Number), [25, 44, 58, 68, 76, 82, 87, 90, 92, 94, 96, 97, 98, 98, 99]);
  });

  test('200 connections once fade away as the kernel shows it', () => {
    using plane = new TestPlane();
    plane.serve('tcp', '10.96.0.10:80', ['10.244.2.20:8080']);
    open(plane, 200, 1024);
    const shown = Array.from({ length: 8 }, () => {
      plane.plane.programs.run('estimate');
      return Number(plane.plane.services()[0]?.rates.connections);
    });
    assert.deepEqual(shown, [25, 19, 14, 11, 8, 6, 4, 3]);
  });
});
