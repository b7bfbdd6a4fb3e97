// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProgrammingLatency } from '../../../src/agent/programming-latency.ts';

test('latency counts from the first trigger of a slice, and none from before the process', () => {
  let nowMs = 10_000;
  const latency = new ProgrammingLatency(() => nowMs);
  latency.triggered('default/old', 9_999);
  assert.deepEqual(latency.programmed(), []);
  assert.equal(latency.summary, undefined);
  latency.triggered('default/a', 10_000);
  latency.triggered('default/a', 10_050);
  latency.triggered('default/b', 10_070);
  nowMs = 10_100;
  assert.deepEqual(latency.programmed(), [100, 30]);
  assert.deepEqual(latency.programmed(), []);
  assert.deepEqual(latency.summary, { count: 2, p50: 30, p99: 100 });
});

test('a trigger in the second of the start counts, as triggers have whole seconds', () => {
  let nowMs = 10_456;
  const latency = new ProgrammingLatency(() => nowMs);
  latency.triggered('default/before', 9_000);
  latency.triggered('default/a', 10_000);
  nowMs = 10_600;
  assert.deepEqual(latency.programmed(), [600]);
});

test('the summary is about the last thousand', () => {
  let nowMs = 0;
  const latency = new ProgrammingLatency(() => nowMs);
  for (let i = 1; i <= 1100; i++) {
    latency.triggered('default/a', nowMs);
    nowMs += i <= 100 ? 5000 : 10;
    latency.programmed();
  }
  assert.deepEqual(latency.summary, { count: 1100, p50: 10, p99: 10 });
});
