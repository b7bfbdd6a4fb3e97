// SPDX-License-Identifier: Apache-2.0
// What happens when a map has no room.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Operation } from '../../src/model/operation.ts';
import type { VirtualServiceKey } from '../../src/model/virtual-service.ts';
import { buildPacket } from '../lib/packet.ts';
import { missingForBpf, socketAddress, TestPlane } from '../lib/plane.ts';
import { other, server } from '../lib/talk.ts';

const tiny = { services: 4, destinations: 4, places: 64, connections: 64, halfOpen: 16 };

/** Of all services, in their order. */
function addresses(plane: TestPlane): string[] {
  return plane.plane.services().flatMap(({ destinations }) => destinations.map(({ address }) => address));
}

function operationsFor(
  at: string,
  destinations: readonly string[],
  scheduler: 'rr' | 'sh' | 'mh' = 'rr',
): Operation[] {
  const service: VirtualServiceKey = { protocol: 'tcp', ...socketAddress(at) };
  return [
    { do: 'add-service', service: { ...service, scheduler, schedulerFlags: [], noDestination: 'reject' } },
    ...destinations.map((address): Operation => {
      const destination = { ...socketAddress(`${address}:8080`), weight: 1, forwarding: 'masq' as const };
      return { do: 'add-destination', service, destination };
    }),
  ];
}

/** The operations that failed, each with its code. */
function failed(plane: TestPlane, operations: readonly Operation[]): [number, string][] {
  return plane.plane.apply(operations).map(({ operation, error }) => {
    assert.ok('code' in error);
    return [operations.indexOf(operation), String(error.code)];
  });
}

function to(plane: TestPlane, at: string, port: number): string {
  const { address, port: virtualPort } = socketAddress(at);
  const packet = { source: '10.9.9.9', sourcePort: port, destination: address, destinationPort: virtualPort };
  return plane.ingress(buildPacket({ ...packet, protocol: 'tcp', flags: 'S' })).verdict;
}

/** What must be the same before and after an operation that failed. */
function everything(plane: TestPlane) {
  const { maps } = plane.plane.programs;
  return {
    services: plane.plane.services(),
    destinations: [...maps.get('destinations').entries()].map(([, value]) => value.toString('hex')),
  };
}

suite('a map that is full', { skip: missingForBpf() ?? false }, () => {
  test('services: ENOSPC for the service that does not fit, ESRCH for its destinations, the others work on', () => {
    using plane = new TestPlane({ sizes: { ...tiny, services: 2 } });
    const operations = [
      ...operationsFor('10.96.0.1:80', [server]),
      ...operationsFor('10.96.0.2:80', [server]),
      ...operationsFor('10.96.0.3:80', [server]),
    ];
    assert.deepEqual(failed(plane, operations), [
      [4, 'ENOSPC'],
      [5, 'ESRCH'],
    ]);
    assert.equal(plane.plane.services().length, 2);
    assert.equal(to(plane, '10.96.0.2:80', 1000), 'pass');
    plane.apply({ do: 'delete-service', service: { protocol: 'tcp', ...socketAddress('10.96.0.1:80') } });
    assert.deepEqual(failed(plane, operationsFor('10.96.0.3:80', [])), []);
  });

  test('destinations: ENOSPC for those that do not fit, the others of the same service are there', () => {
    using plane = new TestPlane({ sizes: tiny });
    const list = ['10.244.2.1', '10.244.2.2', '10.244.2.3', '10.244.2.4', '10.244.2.5', '10.244.2.6'];
    assert.deepEqual(failed(plane, operationsFor('10.96.0.1:80', list)), [
      [5, 'ENOSPC'],
      [6, 'ENOSPC'],
    ]);
    assert.deepEqual(addresses(plane), list.slice(0, 4));
    assert.equal(to(plane, '10.96.0.1:80', 1000), 'pass');
  });

  test('places: a new service whose first destination does not fit is there without it, and leaves no destination behind', () => {
    using plane = new TestPlane({ sizes: { ...tiny, places: 400 } });
    assert.deepEqual(failed(plane, operationsFor('10.96.0.1:80', [server], 'sh')), []);
    const before = everything(plane);
    const second = operationsFor('10.96.0.2:80', [server], 'sh');
    assert.deepEqual(failed(plane, second), [[1, 'ENOSPC']]);
    assert.equal(plane.plane.services().length, 2);
    assert.deepEqual(everything(plane).destinations, before.destinations);
    assert.equal(to(plane, '10.96.0.1:80', 1000), 'pass');
    assert.equal(to(plane, '10.96.0.2:80', 1000), 'redirect');
    assert.deepEqual(failed(plane, second.slice(1)), [[0, 'ENOSPC']]);
  });

  test('places: a new service that does not fit at all leaves nothing behind', () => {
    using plane = new TestPlane({ sizes: { ...tiny, places: 8 } });
    assert.deepEqual(failed(plane, operationsFor('10.96.0.1:80', [])), []);
    const before = everything(plane);
    const second = operationsFor('10.96.0.2:80', [server]);
    for (let times = 0; times < 2; times++) {
      assert.deepEqual(failed(plane, second), [
        [0, 'ENOSPC'],
        [1, 'ESRCH'],
      ]);
      assert.deepEqual(everything(plane), before);
      assert.deepEqual(
        plane.plane.configuration().map(({ address }) => address),
        ['10.96.0.1'],
      );
    }
    assert.equal(to(plane, '10.96.0.2:80', 1000), 'pass');
  });

  test('places: where nothing new fits, a destination is removed all the same', () => {
    using plane = new TestPlane({ sizes: { ...tiny, services: 70, destinations: 140, places: 64 * 4096 } });
    const services = Array.from({ length: 64 }, (_, i) =>
      operationsFor(`10.96.0.${1 + i}:80`, [server, other], 'mh'),
    );
    assert.deepEqual(failed(plane, services.slice(0, 63).flat()), []);
    assert.deepEqual(failed(plane, services[63] ?? []), [
      [0, 'ENOSPC'],
      [1, 'ESRCH'],
      [2, 'ESRCH'],
    ]);
    const service: VirtualServiceKey = { protocol: 'tcp', ...socketAddress('10.96.0.1:80') };
    const destination = socketAddress(`${server}:8080`);
    assert.deepEqual(failed(plane, [{ do: 'delete-destination', service, destination }]), []);
    const first = plane.plane.services().find((each) => each.address === service.address);
    assert.deepEqual(
      first?.destinations.map(({ address }) => address),
      [other],
    );
  });

  test('places: an edit or a removal whose table does not fit changes nothing', () => {
    using plane = new TestPlane({ sizes: { ...tiny, places: 336 } });
    const [addService, ...destinations] = operationsFor('10.96.0.1:80', [server, other], 'sh');
    assert.ok(addService?.do === 'add-service');
    assert.deepEqual(failed(plane, [addService, ...destinations]), []);
    assert.deepEqual(failed(plane, operationsFor('10.96.0.2:80', [])), []);
    const before = everything(plane);
    const { service } = addService;
    const first = { ...socketAddress(`${server}:8080`), weight: 7, forwarding: 'masq' as const };
    assert.deepEqual(
      failed(plane, [
        { do: 'edit-destination', service, destination: first },
        { do: 'delete-destination', service, destination: first },
        { do: 'add-destination', service, destination: { ...first, port: 9090 } },
        { do: 'edit-service', service: { ...service, scheduler: 'dh' } },
      ]),
      [
        [0, 'ENOSPC'],
        [1, 'ENOSPC'],
        [2, 'ENOSPC'],
        [3, 'ENOSPC'],
      ],
    );
    assert.deepEqual(everything(plane), before);
    assert.deepEqual(failed(plane, [{ do: 'add-destination', service, destination: first }]), [
      [0, 'EEXIST'],
    ]);
  });
});
