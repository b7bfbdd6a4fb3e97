// SPDX-License-Identifier: Apache-2.0
// Graceful termination of destinations.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatSave } from '../../../src/cli/format-save.ts';
import { MemoryDataPlane } from '../../../src/dataplane/memory/memory-data-plane.ts';
import type { Protocol, VirtualService } from '../../../src/model/virtual-service.ts';
import { Reconciler, type Reconciliation } from '../../../src/reconcile/reconciler.ts';
import { podOne, podTwo, serviceWeb } from '../../lib/cast.ts';

function web(addresses: readonly string[], protocol: Protocol = 'tcp', port = 80): VirtualService {
  return {
    protocol,
    address: serviceWeb.v4,
    port,
    scheduler: 'rr',
    schedulerFlags: [],
    noDestination: 'reject',
    destinations: addresses.map((address) => ({ address, port: 8080, weight: 3, forwarding: 'masq' })),
  };
}

/** A data plane where podOne's destinations have connections, and the timers that its reconciler has set. */
function setUp(dataPlane = new MemoryDataPlane(), drains = true) {
  let connections = 2;
  dataPlane.countConnections = (_service, { address }) => (address === podOne.v4 ? connections : 0);
  const timers = new Set<() => void>();
  const timing = {
    now: () => 0,
    after: (_delayMs: number, callback: () => void) => {
      timers.add(callback);
      return () => void timers.delete(callback);
    },
  };
  const reports: number[] = [];
  const failures: number[] = [];
  const report = (reconciliation: Reconciliation) => {
    reports.push(reconciliation.draining);
    failures.push(reconciliation.failures.length);
  };
  const reconciler = new Reconciler(dataPlane, timing, report, { drains });
  return {
    dataPlane,
    reconciler,
    reports,
    failures,
    timers,
    /** "10.244.1.2:8080 0" */
    weights: () =>
      formatSave(dataPlane.configuration())
        .filter((line) => line.startsWith('-a'))
        .map((line) => line.replace(/^.* -r (\S+) -m -w (\d+)$/, '$1 $2')),
    endConnections: () => {
      connections = 0;
    },
    look: () => {
      const due = [...timers];
      timers.clear();
      for (const callback of due) callback();
    },
  };
}

test('a TCP destination that is not wanted any more keeps its connections with weight 0, until they have ended', () => {
  const { reconciler, weights, look, endConnections, reports, timers } = setUp();
  reconciler.want([web([podOne.v4, podTwo.v4])]);
  reconciler.want([web([podTwo.v4])]);
  assert.deepEqual(weights(), ['10.244.1.2:8080 0', '10.244.1.3:8080 3']);
  look();
  reconciler.want([web([podTwo.v4])]);
  assert.deepEqual(weights(), ['10.244.1.2:8080 0', '10.244.1.3:8080 3']);
  endConnections();
  look();
  assert.deepEqual(weights(), ['10.244.1.3:8080 3']);
  assert.equal(timers.size, 0);
  assert.deepEqual(reports, [0, 1, 1, 0]);
});

test('the end of what drained does not hide what has failed and waits to be tried again', () => {
  const { reconciler, look, endConnections, failures, timers } = setUp(new MemoryDataPlane(1));
  reconciler.want([web([podOne.v4, podTwo.v4])]);
  reconciler.want([web([podTwo.v4]), web([], 'tcp', 81)]);
  assert.deepEqual(failures, [0, 1]);
  endConnections();
  timers.delete([...timers][0] ?? (() => {})); // the next try is later than the look
  look();
  assert.deepEqual(failures, [0, 1, 1]);
});

test('a destination that drains and is wanted again has its weight back, in its place', () => {
  const { dataPlane, reconciler, weights, look, endConnections } = setUp();
  reconciler.want([web([podOne.v4, podTwo.v4])]);
  reconciler.want([web([podTwo.v4])]);
  reconciler.want([web([podOne.v4, podTwo.v4])]);
  assert.deepEqual(
    dataPlane.configuration()[0]?.destinations.map(({ address, weight }) => [address, weight]),
    [
      [podOne.v4, 3],
      [podTwo.v4, 3],
    ],
  );
  endConnections();
  look();
  assert.equal(weights().length, 2);
});

test('without connections, of UDP and of SCTP, a destination goes at once', () => {
  for (const protocol of ['udp', 'sctp'] as const) {
    const { reconciler, weights } = setUp();
    reconciler.want([web([podOne.v4, podTwo.v4], protocol)]);
    reconciler.want([web([podTwo.v4], protocol)]);
    assert.deepEqual(weights(), ['10.244.1.3:8080 3'], protocol);
  }
  const { reconciler, weights } = setUp();
  reconciler.want([web([podOne.v4, podTwo.v4])]);
  reconciler.want([web([podOne.v4])]);
  assert.deepEqual(weights(), ['10.244.1.2:8080 3']);
});

test('a service that is deleted takes with it what drains', () => {
  const { dataPlane, reconciler, timers } = setUp();
  reconciler.want([web([podOne.v4])]);
  reconciler.want([web([])]);
  reconciler.want([]);
  assert.deepEqual(dataPlane.configuration(), []);
  assert.equal(timers.size, 0);
});

test('draining goes on in the process that follows', () => {
  const { dataPlane, reconciler } = setUp();
  reconciler.want([web([podOne.v4, podTwo.v4])]);
  reconciler.want([web([podTwo.v4])]);
  reconciler.close();
  const next = setUp(dataPlane);
  next.reconciler.want([web([podTwo.v4])]);
  assert.deepEqual(next.weights(), ['10.244.1.2:8080 0', '10.244.1.3:8080 3']);
  next.endConnections();
  next.look();
  assert.deepEqual(next.weights(), ['10.244.1.3:8080 3']);
});

test('what an unread manifest may want neither drains nor goes', () => {
  const { reconciler, dataPlane } = setUp();
  reconciler.want([web([podOne.v4, podTwo.v4])]);
  const next = setUp(dataPlane);
  next.reconciler.want([web([])], false);
  assert.deepEqual(next.weights(), ['10.244.1.2:8080 3', '10.244.1.3:8080 3']);
});

test('nothing drains where it is not asked for', () => {
  const { reconciler, weights } = setUp(new MemoryDataPlane(), false);
  reconciler.want([web([podOne.v4, podTwo.v4])]);
  reconciler.want([web([podTwo.v4])]);
  assert.deepEqual(weights(), ['10.244.1.3:8080 3']);
});
