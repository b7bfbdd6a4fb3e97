// SPDX-License-Identifier: Apache-2.0
// Rare packets are handed over to programs of their own, whose map outlives the process that filled it.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, suite, test } from 'node:test';
import { mapPin } from '../../src/dataplane/bpf/bpf-maps.ts';
import { BpfPrograms } from '../../src/dataplane/bpf/bpf-programs.ts';
import { removeDataPlane } from '../../src/dataplane/bpf/cleanup.ts';
import { enums } from '../../src/dataplane/bpf/layouts.ts';
import { BpfMap } from '../../src/native/bpf-map.ts';
import { buildPacket } from '../lib/packet.ts';
import { missingForBpf, TestPlane, testOptions } from '../lib/plane.ts';

const pinDirectory = `/sys/fs/bpf/bpvs-test-handlers-${process.pid}`;
const sizes = { services: 4, destinations: 4, places: 64, connections: 64, halfOpen: 16 };
const rejected = buildPacket({
  source: '10.244.1.10',
  sourcePort: 40000,
  destination: '10.96.0.99',
  destinationPort: 99,
  protocol: 'udp',
});
const slotOfReject = new Uint8Array(Uint32Array.of(enums.handler.HANDLER_REJECT).buffer);

after(() => {
  if (existsSync(pinDirectory)) removeDataPlane(pinDirectory);
});

/** The programs in the slots, by identifier. */
function slots(): (number | undefined)[] {
  using handlers = BpfMap.openPinned(mapPin(pinDirectory, 'handlers'));
  return Array.from({ length: enums.handler.HANDLER_COUNT }, (_, slot) =>
    handlers.lookup(new Uint8Array(Uint32Array.of(slot).buffer))?.readUInt32LE(),
  );
}

suite('handlers of rare packets', { skip: missingForBpf() ?? false }, () => {
  test('a packet whose handler is missing is dropped and counted', () => {
    using plane = new TestPlane();
    plane.serve('udp', '10.96.0.99:99', []);
    assert.equal(plane.ingress(rejected).verdict, 'redirect');
    plane.plane.programs.maps.get('handlers').delete(slotOfReject);
    assert.equal(plane.ingress(rejected).verdict, 'drop');
    assert.equal(plane.reason('dropped_handler_missing'), 1n);
  });

  test('handlers stay when the process ends, and serve the programs of the last process as those of the next', () => {
    {
      using plane = new TestPlane({ pinDirectory, sizes, redirectsLocally: true });
      plane.serve('udp', '10.96.0.99:99', []);
    }
    const left = slots();
    assert.equal(left.includes(undefined), false);
    using old = new TestPlane({ pinDirectory, sizes, redirectsLocally: true });
    const replaced = slots();
    using next = new TestPlane({ pinDirectory, sizes, redirectsLocally: true });
    for (const [slot, id] of slots().entries()) {
      assert.notEqual(id, replaced[slot]);
      assert.notEqual(id, left[slot]);
    }
    assert.equal(old.ingress(rejected).verdict, 'redirect');
    assert.equal(next.ingress(rejected).verdict, 'redirect');
  });

  test('a process that ends before it attaches anything leaves the handlers of the one before', () => {
    {
      using plane = new TestPlane({ pinDirectory, sizes });
      plane.advance(0);
    }
    const before = slots();
    BpfPrograms.load({ ...testOptions, pinDirectory, sizes }).close();
    assert.deepEqual(slots(), before);
  });
});
