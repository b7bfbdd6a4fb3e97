// SPDX-License-Identifier: Apache-2.0
// Reconciling against a data plane that refuses, with a clock that the test moves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OperationFailure } from '../../../src/dataplane/data-plane.ts';
import { MemoryDataPlane } from '../../../src/dataplane/memory/memory-data-plane.ts';
import { OperationError } from '../../../src/errors.ts';
import type { Operation } from '../../../src/model/operation.ts';
import type { VirtualService } from '../../../src/model/virtual-service.ts';
import { Reconciler, type Reconciliation } from '../../../src/reconcile/reconciler.ts';

function service(port: number, ...addresses: readonly string[]): VirtualService {
  return {
    protocol: 'tcp',
    address: '10.96.0.80',
    port,
    scheduler: 'rr',
    schedulerFlags: [],
    noDestination: 'reject',
    destinations: addresses.map((address) => ({ address, port: 8080, weight: 1, forwarding: 'masq' })),
  };
}

/** A reconciler with what it reported, and the one timer that it has set. */
function setUp(dataPlane: MemoryDataPlane) {
  const reports: Reconciliation[] = [];
  let timer: { readonly delayMs: number; readonly callback: () => void } | undefined;
  const reconciler = new Reconciler(
    dataPlane,
    {
      now: () => 0,
      after: (delayMs, callback) => {
        const own = { delayMs, callback };
        timer = own;
        return () => {
          if (timer === own) timer = undefined;
        };
      },
    },
    (report) => reports.push(report),
  );
  const expire = () => {
    const due = timer;
    timer = undefined;
    due?.callback();
    return due?.delayMs;
  };
  return { reconciler, reports, expire, isWaiting: () => timer !== undefined };
}

const ports = (dataPlane: MemoryDataPlane) => dataPlane.services().map((each) => each.port);

test('the data plane becomes what is desired, and a second time nothing is done', () => {
  const dataPlane = new MemoryDataPlane();
  const { reconciler, reports, isWaiting } = setUp(dataPlane);
  reconciler.want([service(80, '10.244.1.2'), service(81)]);
  reconciler.want([service(80, '10.244.1.2'), service(81)]);
  reconciler.want([service(81, '10.244.1.3')]);
  assert.deepEqual(
    reports.map(({ services, operations, failures }) => [services, operations, failures.length]),
    [
      [2, 3, 0],
      [2, 0, 0],
      [1, 2, 0],
    ],
  );
  assert.deepEqual(ports(dataPlane), [81]);
  assert.equal(isWaiting(), false);
});

test('what failed is reported and tried again, ever more seldom, until it succeeds', () => {
  const dataPlane = new MemoryDataPlane(1);
  const { reconciler, reports, expire, isWaiting } = setUp(dataPlane);
  reconciler.want([service(80), service(81)]);
  assert.deepEqual(
    reports[0]?.failures.map(({ operation }) => [operation.do, operation.service.port]),
    [['add-service', 81]],
  );
  assert.deepEqual(Array.from({ length: 7 }, expire), [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  dataPlane.maxServices = 2;
  expire();
  assert.deepEqual(ports(dataPlane), [80, 81]);
  assert.equal(isWaiting(), false);
});

test('while some of it succeeds, what failed is tried again soon', () => {
  class OneAtATime extends MemoryDataPlane {
    override apply([first, ...others]: readonly Operation[]): readonly OperationFailure[] {
      const error = new OperationError('ENOSPC', 'full');
      return [...super.apply(first ? [first] : []), ...others.map((operation) => ({ operation, error }))];
    }
  }
  const dataPlane = new OneAtATime();
  const { reconciler, expire, isWaiting } = setUp(dataPlane);
  reconciler.want([service(80), service(81), service(82), service(83)]);
  assert.deepEqual([expire(), expire(), expire()], [1000, 1000, 1000]);
  assert.deepEqual(ports(dataPlane), [80, 81, 82, 83]);
  assert.equal(isWaiting(), false);
});

test('a newer wish takes the place of the one that is being tried again', () => {
  const dataPlane = new MemoryDataPlane(1);
  const { reconciler, reports, isWaiting } = setUp(dataPlane);
  reconciler.want([service(80), service(81)]);
  reconciler.want([service(80)]);
  assert.equal(isWaiting(), false);
  assert.deepEqual(reports.at(-1)?.failures, []);
});

test('while not all that is desired is known, services that never were desired stay', () => {
  const dataPlane = new MemoryDataPlane();
  setUp(dataPlane).reconciler.want([service(80, '10.244.1.2'), service(81, '10.244.1.2'), service(82)]);
  const { reconciler, reports } = setUp(dataPlane);
  reconciler.want([service(80, '10.244.1.3'), service(82)], false);
  assert.deepEqual(ports(dataPlane), [80, 81, 82]);
  assert.deepEqual(
    dataPlane.services().map(({ destinations }) => destinations.map(({ address }) => address)),
    [['10.244.1.3'], ['10.244.1.2'], []],
  );
  assert.equal(reports.at(-1)?.withheld, 1);
  reconciler.want([service(80, '10.244.1.3')], false);
  assert.deepEqual(ports(dataPlane), [80, 81]);
  reconciler.want([service(80, '10.244.1.3')]);
  assert.deepEqual(ports(dataPlane), [80]);
});

test('while not all that is desired is known, a service without any known destination keeps those it has', () => {
  const dataPlane = new MemoryDataPlane();
  setUp(dataPlane).reconciler.want([service(80, '10.244.1.2')]);
  const { reconciler } = setUp(dataPlane);
  const addresses = () => dataPlane.services()[0]?.destinations.map(({ address }) => address);
  reconciler.want([service(80)], false);
  assert.deepEqual(addresses(), ['10.244.1.2']);
  reconciler.want([service(80, '10.244.1.3')], false);
  assert.deepEqual(addresses(), ['10.244.1.3']);
  reconciler.want([service(80)], false);
  assert.deepEqual(addresses(), []);
});

test('what was desired when all was known may go when not all is', () => {
  const dataPlane = new MemoryDataPlane();
  const { reconciler } = setUp(dataPlane);
  reconciler.want([service(80), service(81)]);
  reconciler.want([service(81)], false);
  assert.deepEqual(ports(dataPlane), [81]);
});

test('a closed reconciler tries nothing again', () => {
  const dataPlane = new MemoryDataPlane(0);
  const { reconciler, isWaiting } = setUp(dataPlane);
  reconciler.want([service(80)]);
  assert.equal(isWaiting(), true);
  reconciler.close();
  assert.equal(isWaiting(), false);
});

test('what someone else changed in the data plane is put right', () => {
  const dataPlane = new MemoryDataPlane();
  const { reconciler } = setUp(dataPlane);
  reconciler.want([service(80)]);
  dataPlane.apply([
    { do: 'delete-service', service: service(80) },
    { do: 'add-service', service: service(99) },
  ]);
  reconciler.want([service(80)]);
  assert.deepEqual(ports(dataPlane), [80]);
});

test('a change is carried out without a look at anything else', () => {
  const dataPlane = new MemoryDataPlane();
  const { reconciler, reports } = setUp(dataPlane);
  reconciler.want([service(80, '10.244.1.2'), service(81), service(82)]);
  dataPlane.apply([{ do: 'delete-service', service: service(82) }]);
  reconciler.change([service(80, '10.244.1.3'), service(83)], [service(81)]);
  assert.deepEqual(ports(dataPlane).sort(), [80, 83]);
  assert.deepEqual(reports.at(-1), { ...reports.at(-1), services: 3, operations: 4 });
  reconciler.check();
  assert.deepEqual(ports(dataPlane).sort(), [80, 82, 83]);
});

test('a change after a failure tries that again, too', () => {
  const dataPlane = new MemoryDataPlane(1);
  const { reconciler, isWaiting } = setUp(dataPlane);
  reconciler.want([service(80), service(81)]);
  assert.ok(isWaiting());
  dataPlane.maxServices = 3;
  reconciler.change([service(82)], []);
  assert.deepEqual(ports(dataPlane).sort(), [80, 81, 82]);
  assert.ok(!isWaiting());
});
