// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SyncRunner } from '../../../src/reconcile/sync-runner.ts';

/** A runner whose syncs take `tookMs`, with what it did when, in a time that the test moves. */
function setUp(minMs: number, tookMs = 0) {
  let nowMs = 0;
  let due: { readonly atMs: number; readonly callback: () => void } | undefined;
  const did: string[] = [];
  const timing = {
    now: () => nowMs,
    after: (delayMs: number, callback: () => void) => {
      const own = { atMs: nowMs + delayMs, callback };
      due = own;
      return () => {
        if (due === own) due = undefined;
      };
    },
  };
  const runner = new SyncRunner(
    (isRequested) => {
      did.push(`${nowMs} ${isRequested ? 'requested' : 'regular'}`);
      nowMs += tookMs;
    },
    { minMs, maxMs: 30_000 },
    timing,
  );
  const until = (ms: number) => {
    while (due && due.atMs <= ms) {
      const { atMs, callback } = due;
      due = undefined;
      nowMs = Math.max(nowMs, atMs);
      callback();
    }
    nowMs = ms;
  };
  return { runner, did, until };
}

test('the first request is carried out at once, those soon after it together and late enough', () => {
  const { runner, did, until } = setUp(1000, 10);
  runner.request();
  until(100);
  runner.request();
  runner.request();
  until(5000);
  runner.request();
  until(6000);
  assert.deepEqual(did, ['0 requested', '1010 requested', '5000 requested']);
});

test('without a minimum every request is carried out at once', () => {
  const { runner, did } = setUp(0);
  runner.request();
  runner.request();
  assert.deepEqual(did, ['0 requested', '0 requested']);
});

test('a round comes regularly after the last sync, and holds no request up', () => {
  const { runner, did, until } = setUp(1000);
  runner.request();
  until(70_000);
  runner.request();
  until(80_000);
  runner.close();
  until(200_000);
  runner.request();
  assert.deepEqual(did, ['0 requested', '30000 regular', '60000 regular', '70000 requested']);
});
