// SPDX-License-Identifier: Apache-2.0
// Regions of the map `places`: never two at once, never one that a packet may still read.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { PlaceAllocator } from '../../../src/dataplane/bpf/place-allocator.ts';

const capacity = 4096;
const graceMs = 1000;

interface Region {
  readonly start: number;
  readonly words: number;
  /** When it was given up; undefined while in use. */
  readonly atMs?: number;
}

const endOf = ({ start, words }: Region) => start + PlaceAllocator.roundUp(words);
const overlap = (a: Region, b: Region) => a.start < endOf(b) && b.start < endOf(a);

const action = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('take' as const), words: fc.integer({ min: 1, max: 400 }) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('retire' as const), which: fc.nat() }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 1500 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('adopt' as const) }) },
);

suite('the allocator of places', () => {
  test('a region lies within the map, and overlaps none that is in use or was given up within a second', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
        let now = 0;
        let allocator = new PlaceAllocator(capacity, () => now);
        let used: Region[] = [];
        let retired: Region[] = [];
        for (const step of actions) {
          if (step.do === 'wait') now += step.ms;
          else if (step.do === 'retire') {
            const [region] = used.splice(step.which % Math.max(used.length, 1), 1);
            if (!region) continue;
            allocator.retire(region.start, region.words);
            retired.push({ ...region, atMs: now });
          } else if (step.do === 'adopt') {
            now += graceMs;
            retired = [];
            allocator = new PlaceAllocator(capacity, () => now);
            allocator.adopt(used);
          } else {
            const start = allocator.take(step.words);
            if (start === undefined) continue;
            const region = { start, words: step.words };
            assert.ok(endOf(region) <= capacity, 'within the map');
            const recent = retired.filter(({ atMs = 0 }) => now - atMs < graceMs);
            for (const other of [...used, ...recent]) assert.ok(!overlap(region, other), 'no overlap');
            used = [...used, region];
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  test('a full map has room again a second after a region was given up', () => {
    let now = 0;
    const allocator = new PlaceAllocator(192, () => now);
    assert.equal(allocator.take(100), 0);
    assert.equal(allocator.take(100), undefined);
    allocator.retire(0, 100);
    now = graceMs - 1;
    assert.equal(allocator.take(100), undefined);
    now = graceMs;
    assert.equal(allocator.take(100), 0);
  });

  test('larger regions find room where smaller ones lay side by side', () => {
    let now = 0;
    const allocator = new PlaceAllocator(512, () => now);
    const small = Array.from({ length: 64 }, () => allocator.take(8) ?? -1);
    for (const start of small) allocator.retire(start, 8);
    now = graceMs;
    assert.notEqual(allocator.take(257), undefined);
    assert.notEqual(allocator.take(8), undefined);
  });

  test('a sixty-fourth is kept for regions that replace others and are no longer', () => {
    let now = 0;
    const allocator = new PlaceAllocator(4096, () => now);
    for (let taken = 0; taken < 63; taken++) assert.notEqual(allocator.take(64), undefined);
    assert.equal(allocator.take(8), undefined);
    assert.equal(allocator.take(64, 56), undefined);
    assert.equal(allocator.take(64, 64), 63 * 64);
    allocator.retire(0, 64);
    now = graceMs;
    assert.equal(allocator.take(8), undefined);
    assert.equal(allocator.take(64, 64), 0);
  });

  test('a table of 256 places and its state finds room in what a process before gave up', () => {
    const allocator = new PlaceAllocator(1024, () => 0);
    allocator.adopt([{ start: 640, words: 257 }]);
    assert.notEqual(allocator.take(257), undefined);
    assert.notEqual(allocator.take(257), undefined);
  });
});
