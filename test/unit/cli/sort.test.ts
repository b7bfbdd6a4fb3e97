// SPDX-License-Identifier: Apache-2.0
// The order of listings where addresses are far apart.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mergeSort, sortDestinations } from '../../../src/cli/sort.ts';
import { noRates, noStatistics } from '../../../src/model/statistics.ts';

test('addresses are ordered by signed differences of their words', () => {
  assert.deepEqual(sorted('10.0.0.1', '192.168.0.1', '172.16.0.1'), [
    '172.16.0.1',
    '192.168.0.1',
    '10.0.0.1',
  ]);
  assert.deepEqual(sorted('2001:db8::1', 'fd00::10', 'fd00::9'), ['fd00::9', 'fd00::10', '2001:db8::1']);
});

test('where that order runs in a circle, the result is that of the merge sort from the order before', () => {
  // 10 < 100.64 < 192.168 < 10: the first item is compared with the lesser of the other two, then the rest follows.
  const [a, b, c] = ['10.0.0.1', '100.64.0.1', '192.168.0.1'];
  assert.deepEqual(sorted(a, b, c), [a, b, c]);
  assert.deepEqual(sorted(a, c, b), [a, b, c]);
  assert.deepEqual(sorted(b, a, c), [b, c, a]);
  assert.deepEqual(sorted(c, b, a), [c, a, b]);
});

test('the merge sort keeps the order of equal items and splits as glibc does', () => {
  const items = [3, 1, 2, 1, 3, 2, 0].map((value, id) => ({ value, id }));
  const compared: string[] = [];
  const result = mergeSort(items, (x, y) => {
    compared.push(`${x.id}${y.id}`);
    return x.value - y.value;
  });
  assert.deepEqual(
    result.map(({ id }) => id),
    [6, 1, 3, 2, 5, 0, 4],
  );
  assert.deepEqual(compared.slice(0, 2), ['12', '01']);
});

function sorted(...addresses: readonly string[]): readonly string[] {
  const counts = { activeConnections: 0, inactiveConnections: 0, persistentConnections: 0 };
  const numbers = { ...counts, statistics: noStatistics, rates: noRates };
  const destinations = addresses.map((address) => {
    return { address, port: 80, weight: 1, forwarding: 'masq' as const, ...numbers };
  });
  return sortDestinations(destinations).map(({ address }) => address);
}
