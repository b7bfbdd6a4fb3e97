// SPDX-License-Identifier: Apache-2.0
// The data plane that only remembers answers as the kernel does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryDataPlane } from '../../../src/dataplane/memory/memory-data-plane.ts';
import type { Operation } from '../../../src/model/operation.ts';
import type { Destination, VirtualServiceDefinition } from '../../../src/model/virtual-service.ts';

const service: VirtualServiceDefinition = {
  protocol: 'tcp',
  address: '10.96.0.80',
  port: 80,
  scheduler: 'rr',
  schedulerFlags: [],
  noDestination: 'reject',
};
const destination: Destination = { address: '10.244.1.2', port: 8080, weight: 1, forwarding: 'masq' };

const addService: Operation = { do: 'add-service', service };
const addDestination: Operation = { do: 'add-destination', service, destination };

/** The codes of the failures when these are carried out in turn. */
function failures(dataPlane: MemoryDataPlane, ...operations: readonly Operation[]): readonly unknown[] {
  return dataPlane.apply(operations).map(({ error }) => (error as NodeJS.ErrnoException).code);
}

test('operations that do not fit the state are refused with the errno of kernel IPVS', () => {
  const dataPlane = new MemoryDataPlane();
  assert.deepEqual(failures(dataPlane, addDestination, { do: 'edit-service', service }), ['ESRCH', 'ESRCH']);
  assert.deepEqual(failures(dataPlane, { do: 'delete-service', service }), ['ESRCH']);
  assert.deepEqual(failures(dataPlane, addService, addService), ['EEXIST']);
  assert.deepEqual(failures(dataPlane, { do: 'delete-destination', service, destination }), ['ENOENT']);
  assert.deepEqual(failures(dataPlane, { do: 'edit-destination', service, destination }), ['ENOENT']);
  assert.deepEqual(failures(dataPlane, addDestination, addDestination), ['EEXIST']);
});

test('a refused operation changes nothing, and those behind it are carried out', () => {
  const dataPlane = new MemoryDataPlane(1);
  const other: Operation = { do: 'add-service', service: { ...service, port: 81 } };
  assert.deepEqual(failures(dataPlane, addService, other, addDestination), ['ENOSPC']);
  const [only] = dataPlane.services();
  assert.equal(dataPlane.services().length, 1);
  assert.equal(only?.port, 80);
  assert.deepEqual(
    only?.destinations.map((each) => each.address),
    ['10.244.1.2'],
  );
});

test('destinations keep their order when they are edited, and go to the end when they are added anew', () => {
  const dataPlane = new MemoryDataPlane();
  const second = { ...destination, address: '10.244.1.3' };
  dataPlane.apply([
    addService,
    addDestination,
    { do: 'add-destination', service, destination: second },
    { do: 'edit-destination', service, destination: { ...destination, weight: 0 } },
  ]);
  const list = () => dataPlane.services()[0]?.destinations.map(({ address, weight }) => [address, weight]);
  assert.deepEqual(list(), [
    ['10.244.1.2', 0],
    ['10.244.1.3', 1],
  ]);
  dataPlane.apply([{ do: 'delete-destination', service, destination }, addDestination]);
  assert.deepEqual(list(), [
    ['10.244.1.3', 1],
    ['10.244.1.2', 1],
  ]);
});
