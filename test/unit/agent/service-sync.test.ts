// SPDX-License-Identifier: Apache-2.0
// Which failures of the data plane make the node unhealthy.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServiceSync } from '../../../src/agent/service-sync.ts';
import type { DataPlane, OperationFailure } from '../../../src/dataplane/data-plane.ts';
import { MemoryDataPlane } from '../../../src/dataplane/memory/memory-data-plane.ts';
import { OperationError, SystemError } from '../../../src/errors.ts';
import { emptyChange } from '../../../src/kube/cluster-source.ts';
import { ingest } from '../../../src/kube/ingest.ts';
import type { Operation } from '../../../src/model/operation.ts';
import { serviceManifest } from '../../lib/manifests/objects.ts';

class FailingDataPlane extends MemoryDataPlane {
  readonly error: Error;

  constructor(error: Error) {
    super();
    this.error = error;
  }

  override apply(operations: readonly Operation[]): readonly OperationFailure[] {
    return operations.map((operation) => ({ operation, error: this.error }));
  }
}

/** A sync of Services by name, what its observer was told, and its timers. */
function setUp(dataPlane: DataPlane, minMs = 0) {
  const told: boolean[] = [];
  const timers = new Set<{ readonly delayMs: number; readonly callback: () => void }>();
  const timing = {
    now: () => 0,
    after: (delayMs: number, callback: () => void) => {
      const timer = { delayMs, callback };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
  };
  const observer = {
    queued: () => {},
    synced: (isComplete: boolean) => told.push(isComplete),
    planned: () => {},
  };
  const periods = { minMs, maxMs: 30_000 };
  const sync = new ServiceSync(
    dataPlane,
    { node: 'node-1', scheduler: 'rr', observer, periods, drains: false },
    timing,
    () => {},
    { reconciled: () => {}, remarked: () => {} },
  );
  return {
    sync,
    told,
    serve: (name: string, clusterIP: string) => {
      const change = emptyChange();
      const { services } = ingest([serviceManifest({ name, clusterIP, ports: [{ port: 80 }] })], 'test');
      for (const service of services) change.services.set(`${service.namespace}/${service.name}`, service);
      sync.objectsChanged(change, []);
    },
    /** Lets the timer of this delay run out. */
    expire: (delayMs: number) => {
      const timer = [...timers].find((each) => each.delayMs === delayMs);
      assert.ok(timer);
      timers.delete(timer);
      timer.callback();
    },
  };
}

for (const [what, dataPlane, expected] of [
  ['nothing fails', new MemoryDataPlane(), true],
  ['a table is full', new MemoryDataPlane(0), true],
  ['an operation is refused', new FailingDataPlane(new OperationError('EINVAL', 'refused')), true],
  ['the system fails', new FailingDataPlane(new SystemError('bpf', 12, 'ENOMEM', 'no memory')), false],
] as const) {
  test(`a sync in which ${what} is ${expected ? '' : 'not '}complete for the health server`, () => {
    const { sync, told, serve } = setUp(dataPlane);
    using _ = sync;
    serve('web', '10.96.0.1');
    assert.deepEqual(told, [expected]);
  });
}

test('what is tried again while a change waits does not make that change done', () => {
  const retryMs = 1000;
  const minMs = 10_000;
  const { sync, told, serve, expire } = setUp(new MemoryDataPlane(0), minMs);
  using _ = sync;
  serve('web', '10.96.0.1');
  serve('other', '10.96.0.2');
  expire(retryMs);
  assert.deepEqual(told, [true]);
  expire(minMs);
  assert.deepEqual(told, [true, true]);
});
