// SPDX-License-Identifier: Apache-2.0
// Schedulers' tables and states as the programs read them, against those of the kernel.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  buildTable,
  knownSchedulers,
  moveCursor,
  stateAfterBind,
  stateAfterChange,
  type TableList,
  watchesEdits,
} from '../../../src/dataplane/bpf/schedulers.ts';
import type { SchedulerName } from '../../../src/model/scheduler.ts';
import { WeightedRoundRobin } from '../../../src/model/schedulers/wrr.ts';

const letters = 'ABC';

/** A=10.0.1.1:80, B and C, as far as there are weights, were added in this order, so C comes first. */
function listOf(weights: readonly number[]): TableList {
  return weights
    .map((weight, index) => {
      const destination = { address: `10.0.1.${index + 1}`, port: 80, weight };
      return { index, lastWeight: weight, destination };
    })
    .reverse();
}

/** The lower halves of a table's words, as letters. */
function tableText(scheduler: SchedulerName, weights: readonly number[]): string {
  const words = buildTable(scheduler, listOf(weights));
  return Array.from({ length: words.length / 2 }, (_, place) => letters[words[2 * place] ?? 0]).join('');
}

function totals(text: string): readonly number[] {
  return [...letters].map((letter) => text.split(letter).length - 1);
}

const known = [
  ['dh', [5, 0, 1], 'CBACBACBACBACBACBACBACBACBACBACBACBACBACBACBACBA', [85, 85, 86]],
  ['sh', [1, 1, 1], 'CBACBACBACBACBACBACBACBACBACBACBACBACBACBACBACBA', [85, 85, 86]],
  ['sh', [2, 1, 1], 'CBAACBAACBAACBAACBAACBAACBAACBAACBAACBAACBAACBAA', [128, 64, 64]],
  ['sh', [3, 0, 1], 'CBAAACBAAACBAAACBAAACBAAACBAAACBAAACBAAACBAAACBA', [153, 51, 52]],
  ['mh', [2, 1, 1], 'AACBACBACCAAAAABABAABAACCBCBABAABAAAAACBCCCCBABA', [2046, 1023, 1024]],
  ['mh', [3, 0, 1], 'AACAACCACCAAAAAAAAAACAACCACAAAAAAAAAAAAACCCCAAAA', [3069, 0, 1024]],
] as const;

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

  test('weights change what wrr, sh and mh have prepared, and nothing else', () => {
    assert.deepEqual(knownSchedulers.filter(watchesEdits), ['wrr', 'sh', 'mh']);
  });
});

suite("wrr's cycle", () => {
  const heading = 2;
  const cycleOf = (weights: readonly number[]) => [...buildTable('wrr', listOf(weights))].slice(heading);
  const choice = (cycle: readonly number[], place: number) =>
    `${letters[cycle[2 * place] ?? 0]}/${cycle[2 * place + 1]}`;
  const textOf = (weights: readonly number[]) => {
    const cycle = cycleOf(weights);
    return cycle.map((_, i) => (i % 2 === 0 ? choice(cycle, i / 2) : '')).filter(Boolean);
  };

  test('is that of the kernel, each choice with the weight of its pass', () => {
    assert.deepEqual(textOf([4, 3, 2]), 'A/4 B/3 A/3 C/2 B/2 A/2 C/1 B/1 A/1'.split(' '));
    assert.deepEqual(textOf([6, 4, 2]), 'A/5 B/3 A/3 C/1 B/1 A/1'.split(' '));
    assert.deepEqual(textOf([0, 0]), []);
  });

  test('begins anew for a list that is there, in its last pass for one that grows', () => {
    let [state, before] = [stateAfterBind('wrr', []), listOf([])];
    for (const weights of [[4], [4, 3], [4, 3, 2]]) {
      state = stateAfterChange('wrr', state, before, listOf(weights));
      before = listOf(weights);
    }
    assert.equal(choice(cycleOf([4, 3, 2]), Number(state & 0xffffn)), 'C/1');
    assert.equal(stateAfterBind('wrr', listOf([4, 3, 2])), 4n << 32n);
  });

  test('is a list with the step where the sum of the weights is large', () => {
    assert.deepEqual([...buildTable('wrr', listOf([65_535, 2 * 65_535, 7]))], [1, 0, 2, 0, 1, 0, 0, 0]);
  });

  test('is what the model chooses, after any change of the list', () => {
    const weights = fc.array(fc.nat(12), { maxLength: 3 });
    fc.assert(
      fc.property(fc.array(weights, { minLength: 1, maxLength: 5 }), fc.nat(20), (lists, picks) => {
        const model = new WeightedRoundRobin();
        const members = (list: readonly number[]) => ({
          schedulerFlags: [],
          destinations: listOf(list).map(({ index, destination }) => ({
            ...destination,
            index,
            lastWeight: destination.weight,
            activeConnections: 0,
            totalConnections: 0,
            isOverloaded: false,
            isAvailable: true,
          })),
        });
        let state = stateAfterBind('wrr', []);
        model.bind(members([]));
        for (const list of lists) {
          state = stateAfterChange('wrr', state, [], listOf(list));
          model.destinationAdded(members(list));
          const cycle = cycleOf(list);
          for (let pick = 0; pick < picks && cycle.length > 0; pick++) {
            const place = Number(state & 0xffff_ffffn) % (cycle.length / 2);
            const picked: unknown = model.pick(members(list));
            assert.equal(cycle[2 * place], (picked as { index: number }).index);
            state = (BigInt(cycle[2 * place + 1] ?? 0) << 32n) | BigInt(place + 1);
          }
        }
      }),
    );
  });
});

suite("rr's cursor", () => {
  const moved = (next: number, before: readonly number[], after: readonly number[]) => {
    const members = (list: readonly number[]) => list.map((index) => ({ index }));
    return moveCursor(next, members(before), members(after));
  };
  const next = (list: readonly number[], cursor: number) => list[cursor % Math.max(list.length, 1)];

  test('goes with the destination chosen last, and if that is gone with its predecessor', () => {
    assert.equal(moved(2, [30, 20, 10], [40, 30, 20, 10]), 3);
    assert.equal(moved(2, [30, 20, 10], [30, 10]), 1);
    assert.equal(moved(1, [30, 20, 10], [20, 10]), 0);
    assert.equal(moved(0, [30, 20, 10], [40, 30, 20, 10]), 0);
    assert.equal(moved(3, [30, 20, 10], []), 0);
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
        assert.equal(next(after, moved(cursor, before, after)), expected);
      }),
    );
  });
});
