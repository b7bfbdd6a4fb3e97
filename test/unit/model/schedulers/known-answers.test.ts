// SPDX-License-Identifier: Apache-2.0
// The schedulers' hashes and tables against numbers that are known of the kernel's.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { destinationHashTable } from '../../../../src/model/schedulers/dh.ts';
import { firstHashKey, fold, hash32, hsip, secondHashKey } from '../../../../src/model/schedulers/hash.ts';
import { maglevPreference, maglevTable } from '../../../../src/model/schedulers/mh.ts';
import { sourceHashTable } from '../../../../src/model/schedulers/sh.ts';
import { letterOf, letters, member } from '../../../lib/model-cast.ts';

const [A, B, C] = [0, 1, 2].map((n) => member(n, 1));

suite('hashes of the schedulers', () => {
  const clients = [
    ['10.0.0.1', 0, 0x0a000001, 39, 0x03080ce4],
    ['10.0.0.2', 0, 0x0a000002, 137, 0x41cfde13],
    ['192.168.1.50', 0, 0xc0a80132, 64, 0x984cd253],
    ['10.0.0.1', 40000, 0x0a009c41, 203, 0xf458b244],
    ['10.0.0.1', 40001, 0x0a009c42, 45],
    ['255.255.255.255', 1, 0, 0, 0x1d5a77c2],
    ['2001:db8::1', 0, 0x20010db9, 63, 0xcdc3f189],
    ['2001:db8::1', 40000, 0x2001a9f9, 226],
    ['2001:db8:1234:5678:9abc:def0:1234:5678', 0, 0xbabdd348, 127],
    ['10.96.0.10', 0, 0x0a60000a, 242],
  ] as const;
  for (const [address, port, x, place, tag] of clients) {
    test(`${address} with port ${port} is hashed to place ${place}`, () => {
      assert.equal((fold(address) + port) >>> 0, x);
      assert.equal(hash32(x, 8), place);
      if (tag !== undefined) assert.equal(hsip(x, firstHashKey), tag);
    });
  }

  test('the hashes of 10 bits and of the second key are the known ones', () => {
    assert.equal(hash32(0x0a000001, 10), 159);
    assert.equal(hsip(0, secondHashKey), 0xf882433f);
  });

  test('destinations prefer the known places of the table of mh', () => {
    const preferences = [A, B, C].map((each) => each && maglevPreference({ ...each, lastWeight: 1 }));
    assert.deepEqual(preferences, [
      { first: 1011, step: 1586 },
      { first: 1584, step: 2508 },
      { first: 9, step: 209 },
    ]);
  });
});

suite('tables of the models', () => {
  const builders = {
    dh: (list: readonly { weight: number }[]) => destinationHashTable(list.length),
    sh: sourceHashTable,
    mh: (list: readonly { address: string; port: number; weight: number }[]) =>
      maglevTable(list.map((each) => ({ ...each, lastWeight: each.weight }))),
  };
  const tables = [
    ['dh', [5, 0, 1], 'CBACBACBACBACBACBACBACBACBACBACBACBACBACBACBACBA', [85, 85, 86]],
    ['sh', [1, 1, 1], 'CBACBACBACBACBACBACBACBACBACBACBACBACBACBACBACBA', [85, 85, 86]],
    ['sh', [2, 1, 1], 'CBAACBAACBAACBAACBAACBAACBAACBAACBAACBAACBAACBAA', [128, 64, 64]],
    ['sh', [3, 0, 1], 'CBAAACBAAACBAAACBAAACBAAACBAAACBAAACBAAACBAAACBA', [153, 51, 52]],
    ['mh', [1, 1, 1], 'CBCBACBCCCAAABBBABAABCACCBCBABAABAACAACBCCCCBABA', [1364, 1364, 1365]],
    ['mh', [2, 1, 1], 'AACBACBACCAAAAABABAABAACCBCBABAABAAAAACBCCCCBABA', [2046, 1023, 1024]],
    ['mh', [100, 50, 1], 'AAABABBABCAAAAABABAABAAAABCBABAABAAAAAABBBABBABA', [2689, 1350, 54]],
    ['mh', [3, 0, 1], 'AACAACCACCAAAAAAAAAACAACCACAAAAAAAAAAAAACCCCAAAA', [3069, 0, 1024]],
  ] as const;
  for (const [scheduler, weights, places, totals] of tables) {
    test(`the table of ${scheduler} for weights ${weights.join(', ')} is the known one`, () => {
      const list = weights.map((weight, n) => member(n, weight)).reverse();
      const text = builders[scheduler](list)
        .map((place) => letterOf(list[place] ?? { address: '' }))
        .join('');
      assert.equal(text.slice(0, 48), places);
      assert.deepEqual(
        [...letters].map((each) => text.split(each).length - 1),
        totals,
      );
    });
  }

  test('a list without destinations, and for mh one without weights, has no table', () => {
    assert.deepEqual([destinationHashTable(0), sourceHashTable([]), maglevTable([])], [[], [], []]);
    assert.deepEqual(maglevTable([{ address: '10.0.1.1', port: 80, lastWeight: 0 }]), []);
  });
});
