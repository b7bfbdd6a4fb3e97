// SPDX-License-Identifier: Apache-2.0
// When syncs count as late, and what that makes of /healthz and /livez.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { healthzAnswer, isNodeEligible, livezAnswer } from '../../../src/server/proxy-health.ts';
import { SyncHealth } from '../../../src/server/sync-health.ts';

const start = Date.UTC(2026, 0, 2, 3, 4, 5);
const time = (afterMs: number) => new Date(start + afterMs).toISOString();

function clock() {
  let ms = start;
  const health = new SyncHealth(60_000, () => ms);
  return { health, at: (afterMs: number) => (ms = start + afterMs) };
}

test('a family is healthy until something has waited for the whole timeout', () => {
  const { health, at } = clock();
  health.updated(4);
  health.queued(4);
  at(30_000);
  health.queued(4); // what waits already goes on waiting since its beginning
  at(59_999);
  assert.equal(health.read().isHealthy, true);
  at(60_000);
  assert.equal(health.read().isHealthy, false);
  health.updated(4);
  assert.equal(health.read().isHealthy, true);
});

test('with nothing queued, a family is healthy however old its last sync is', () => {
  const { health, at } = clock();
  health.updated(6);
  at(1e9);
  assert.equal(health.read().isHealthy, true);
});

test('one late family makes the whole unhealthy', () => {
  const { health, at } = clock();
  health.updated(4);
  health.updated(6);
  health.queued(6);
  at(60_000);
  const { isHealthy, families } = health.read();
  assert.equal(isHealthy, false);
  assert.equal(families.get(4)?.isHealthy, true);
  assert.equal(families.get(6)?.isHealthy, false);
});

test('before the first sync everything is healthy, and lastUpdated is now', () => {
  const { health } = clock();
  const { status, body } = livezAnswer(health.read());
  assert.equal(status, 200);
  assert.equal(body, `{"lastUpdated":"${time(0)}","currentTime":"${time(0)}","healthy":true}`);
});

test('/healthz of a healthy, eligible node has the fields of kube-proxy in their order', () => {
  const { health, at } = clock();
  health.updated(6);
  at(1000);
  health.updated(4);
  at(5000);
  const { status, body } = healthzAnswer(health.read(), true);
  assert.equal(status, 200);
  assert.equal(
    body,
    `{"lastUpdated":"${time(5000)}","currentTime":"${time(5000)}","nodeEligible":true,"healthy":true,` +
      `"status":{"IPv4":{"lastUpdated":"${time(1000)}","healthy":true},"IPv6":{"lastUpdated":"${time(0)}","healthy":true}}}`,
  );
});

test('/healthz of a node that is not eligible is 503 with the last real sync, /livez stays 200', () => {
  const { health, at } = clock();
  health.updated(4);
  at(5000);
  const { status, body } = healthzAnswer(health.read(), false);
  assert.equal(status, 503);
  assert.deepEqual(JSON.parse(body), {
    lastUpdated: time(0),
    currentTime: time(5000),
    nodeEligible: false,
    healthy: true,
    status: { IPv4: { lastUpdated: time(0), healthy: true } },
  });
  assert.equal(livezAnswer(health.read()).status, 200);
});

test('an unhealthy proxy that never synced tells the zero time', () => {
  const answer = healthzAnswer(clock().health.read(), false);
  assert.match(answer.body, /^\{"lastUpdated":"0001-01-01T00:00:00Z",/);
});

test('a node is eligible unless it is unknown, being deleted, or about to be removed', () => {
  const node = { isBeingDeleted: false, taints: ['node.kubernetes.io/unschedulable'] };
  assert.equal(isNodeEligible(node), true);
  assert.equal(isNodeEligible(undefined), false);
  assert.equal(isNodeEligible({ ...node, isBeingDeleted: true }), false);
  assert.equal(isNodeEligible({ ...node, taints: ['ToBeDeletedByClusterAutoscaler'] }), false);
});
