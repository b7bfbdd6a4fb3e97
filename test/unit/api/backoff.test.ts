// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from '../../../src/api/backoff.ts';

test('waits double up to half a minute, are no shorter than asked for, and begin anew after a success', () => {
  const backoff = new Backoff(800, () => 0);
  const waits = [1, 2, 3, 4, 5, 6, 7, 8].map(() => backoff.next());
  assert.deepEqual(waits, [800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
  assert.equal(backoff.next(45_000), 45_000);
  backoff.reset();
  assert.equal(backoff.next(), 800);
});

test('waits are spread over as much again', () => {
  const backoff = new Backoff(1000, () => 0.5);
  assert.equal(backoff.next(), 1500);
});
