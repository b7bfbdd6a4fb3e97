// SPDX-License-Identifier: Apache-2.0
// Durations as Go reads and prints them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatDuration, parseDuration } from '../../../src/config/go-duration.ts';

for (const [text, ns] of [
  ['0', 0],
  ['-0', 0],
  ['0s', 0],
  ['5s', 5e9],
  ['1h30m', 5400e9],
  ['-1m0.5s', -60.5e9],
  ['1.5h', 5400e9],
  ['.5s', 0.5e9],
  ['1.s', 1e9],
  ['100ms', 1e8],
  ['3us', 3000],
  ['3µs', 3000],
  ['1.5ns', 1],
  ['876000h', 876000 * 3600e9],
] as const) {
  test(`the duration "${text}" is ${ns} ns`, () => assert.equal(parseDuration(text), ns));
}

for (const text of ['', '5', '1d', 's', '.s', '1 s', '5S', '1h 5m', '--1s', '3000000h']) {
  test(`"${text}" is no duration`, () => assert.equal(parseDuration(text), undefined));
}

for (const [ns, text] of [
  [0, '0s'],
  [1, '1ns'],
  [1500, '1.5µs'],
  [2_500_000, '2.5ms'],
  [1e9, '1s'],
  [1_500_000_001, '1.500000001s'],
  [900e9, '15m0s'],
  [10 * 60e9 + 10e9, '10m10s'],
  [86_400e9, '24h0m0s'],
  [-3e9, '-3s'],
] as const) {
  test(`${ns} ns print as "${text}"`, () => assert.equal(formatDuration(ns), text));
}

test('what is printed of a duration is read as the same duration', () => {
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 52), max: 2 ** 52 }), (ns) => {
      assert.equal(parseDuration(formatDuration(ns)), ns);
    }),
  );
});
