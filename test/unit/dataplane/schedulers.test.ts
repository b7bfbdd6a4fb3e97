// SPDX-License-Identifier: Apache-2.0
// Schedulers' tables against those of the kernel, and rr's cursor against a list that changes.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { buildTable, dependsOnWeights, moveCursor } from '../../../src/dataplane/bpf/schedulers.ts';
import { destinationHashTable } from '../../../src/model/schedulers/dh.ts';
import { sourceHashTable } from '../../../src/model/schedulers/sh.ts';

/** A, B and C were added in this order, so C comes first; their indexes are those of their letters. */
function tableText(scheduler: 'rr' | 'sh' | 'dh', [a, b, c]: readonly [number, number, number]): string {
  const list = [
    { index: 2, weight: c },
    { index: 1, weight: b },
    { index: 0, weight: a },
  ];
  return buildTable(scheduler, list)
    .map((index) => 'ABC'[index])
    .join('');
}

function totals(text: string): readonly number[] {
  return ['A', 'B', 'C'].map((letter) => text.split(letter).length - 1);
}

const known = [
  ['dh', [5, 0, 1], 'CBACBACBACBACBACBACBACBACBACBACBACBACBACBACBACBA', [85, 85, 86]],
  ['sh', [1, 1, 1], 'CBACBACBACBACBACBACBACBACBACBACBACBACBACBACBACBA', [85, 85, 86]],
  ['sh', [2, 1, 1], 'CBAACBAACBAACBAACBAACBAACBAACBAACBAACBAACBAACBAA', [128, 64, 64]],
  ['sh', [3, 0, 1], 'CBAAACBAAACBAAACBAAACBAAACBAAACBAAACBAAACBAAACBA', [153, 51, 52]],
] as const;

const lists = fc.uniqueArray(fc.record({ index: fc.nat(5000), weight: fc.nat(400) }), {
  selector: ({ index }) => index,
  maxLength: 300,
});

suite("schedulers' tables", () => {
  for (const [scheduler, weights, places, counts] of known) {
    test(`${scheduler} with weights ${weights.join(', ')} is the known table`, () => {
      const text = tableText(scheduler, weights);
      assert.equal(text.slice(0, 48), places);
      assert.deepEqual(totals(text), counts);
    });
  }

  test('rr has the destinations, newest first, whatever their weights', () => {
    assert.equal(tableText('rr', [0, 7, 1]), 'CBA');
  });

  test('sh and dh are as the model has them', () => {
    fc.assert(
      fc.property(lists, (list) => {
        const indexes = (table: readonly number[]) => table.map((place) => list[place]?.index);
        assert.deepEqual(buildTable('sh', list), indexes(sourceHashTable(list)));
        assert.deepEqual(buildTable('dh', list), indexes(destinationHashTable(list.length)));
      }),
    );
  });

  test('weights change the table of sh alone', () => {
    assert.deepEqual((['rr', 'sh', 'dh'] as const).map(dependsOnWeights), [false, true, false]);
  });
});

suite("rr's cursor", () => {
  const next = (list: readonly number[], cursor: number) => list[cursor % Math.max(list.length, 1)];

  test('goes with the destination chosen last, and if that is gone with its predecessor', () => {
    assert.equal(moveCursor(2, [30, 20, 10], [40, 30, 20, 10]), 3);
    assert.equal(moveCursor(2, [30, 20, 10], [30, 10]), 1);
    assert.equal(moveCursor(1, [30, 20, 10], [20, 10]), 0);
    assert.equal(moveCursor(0, [30, 20, 10], [40, 30, 20, 10]), 0);
    assert.equal(moveCursor(3, [30, 20, 10], []), 0);
  });

  test('after a removal the next choice is the one it would have been, or the one behind the removed', () => {
    const cases = fc
      .uniqueArray(fc.nat(100), { minLength: 2, maxLength: 10 })
      .chain((before) => fc.tuple(fc.constant(before), fc.nat(before.length - 1), fc.nat(before.length)));
    fc.assert(
      fc.property(cases, ([before, removed, cursor]) => {
        const after = before.filter((_, place) => place !== removed);
        const expected =
          next(before, cursor) === before[removed] ? next(before, cursor + 1) : next(before, cursor);
        assert.equal(next(after, moveCursor(cursor, before, after)), expected);
      }),
    );
  });
});
