// SPDX-License-Identifier: Apache-2.0
// Which failures of the data plane make the node unhealthy.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServiceSync } from '../../../src/agent/service-sync.ts';
import type { OperationFailure } from '../../../src/dataplane/data-plane.ts';
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

for (const [what, dataPlane, expected] of [
  ['nothing fails', new MemoryDataPlane(), true],
  ['a table is full', new MemoryDataPlane(0), true],
  ['an operation is refused', new FailingDataPlane(new OperationError('EINVAL', 'refused')), true],
  ['the system fails', new FailingDataPlane(new SystemError('bpf', 12, 'ENOMEM', 'no memory')), false],
] as const) {
  test(`a sync in which ${what} is ${expected ? '' : 'not '}complete for the health server`, () => {
    const told: boolean[] = [];
    const timing = {
      now: () => 0,
      after: (delayMs: number, callback: () => void) => {
        if (delayMs === 0) callback();
        return () => {};
      },
    };
    const observer = {
      queued: () => {},
      synced: (isComplete: boolean) => told.push(isComplete),
      planned: () => {},
    };
    const periods = { minMs: 0, maxMs: 30_000 };
    using sync = new ServiceSync(
      dataPlane,
      { node: 'node-1', scheduler: 'rr', observer, periods, drains: false },
      timing,
      () => {},
      { reconciled: () => {}, remarked: () => {} },
    );
    const change = emptyChange();
    const { services } = ingest([serviceManifest({ clusterIP: '10.96.0.1', ports: [{ port: 80 }] })], 'test');
    for (const service of services) change.services.set(`${service.namespace}/${service.name}`, service);
    sync.objectsChanged(change, []);
    assert.deepEqual(told, [expected]);
  });
}
