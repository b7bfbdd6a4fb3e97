// SPDX-License-Identifier: Apache-2.0
// Maps: single elements, batches, walks, per-CPU values, pins and closing.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { SystemError } from '../../../src/errors.ts';
import { BpfMap, possibleCpus, unpin, updateFlags } from '../../../src/native/bpf-map.ts';
import { openObject } from '../../../src/native/bpf-object.ts';
import { compileSample, kernelTest, pinDirectory, u32 } from './sample.ts';

const path = compileSample();

function loadMap(name: string): BpfMap {
  using object = openObject(path);
  object.load();
  return object.map(name);
}

/** The numbers from `start` on, and their squares, laid end to end. */
function squaresFrom(start: number, count: number): { readonly keys: Buffer; readonly values: Buffer } {
  const numbers = Array.from({ length: count }, (_, i) => start + i);
  return {
    keys: Buffer.from(Uint32Array.from(numbers).buffer),
    values: Buffer.from(Uint32Array.from(numbers, (number) => number ** 2).buffer),
  };
}

kernelTest('a map tells its definition', () => {
  using squares = loadMap('squares');
  assert.equal(squares.name, 'squares');
  assert.equal(squares.type, 'hash');
  assert.equal(squares.keySize, 4);
  assert.equal(squares.valueSize, 4);
  assert.equal(squares.crossingSize, 4);
  assert.equal(squares.maxEntries, 100_000);
  assert(squares.id > 0);
});

kernelTest('an element is added, replaced, found and deleted', () => {
  using squares = loadMap('squares');
  assert.equal(squares.lookup(u32(3)), undefined);
  squares.update(u32(3), u32(8));
  squares.update(u32(3), u32(9));
  assert.deepEqual(squares.lookup(u32(3)), u32(9));
  assert.throws(() => squares.update(u32(3), u32(9), updateFlags.noExist), {
    name: 'SystemError',
    code: 'EEXIST',
    operation: 'bpf_map_update_elem squares',
    message: 'bpf_map_update_elem squares: File exists (EEXIST)',
  });
  assert.throws(() => squares.update(u32(4), u32(16), updateFlags.exist), { code: 'ENOENT' });
  assert.equal(squares.delete(u32(3)), true);
  assert.equal(squares.delete(u32(3)), false);
});

kernelTest('a key or value of the wrong length never reaches the kernel', () => {
  using squares = loadMap('squares');
  assert.throws(() => squares.lookup(Buffer.alloc(3)), {
    name: 'TypeError',
    message: 'Expected 4 bytes for key but received 3',
  });
  assert.throws(() => squares.update(u32(1), Buffer.alloc(8)), TypeError);
  assert.throws(() => squares.updateBatch(Buffer.alloc(8), Buffer.alloc(4), 2), TypeError);
  assert.throws(() => squares.updateBatch(Buffer.alloc(8), Buffer.alloc(8), 3), TypeError);
  assert.throws(() => squares.deleteBatch(Buffer.alloc(8), -1), TypeError);
});

kernelTest('a batch crosses once, and a walk of several batches meets every element once', () => {
  using object = openObject(path);
  object.setMaxEntries('squares', 500_000);
  object.load();
  using squares = object.map('squares');
  const count = 400_000;
  const { keys, values } = squaresFrom(0, count);
  assert.equal(squares.updateBatch(keys, values, count), count);
  const met = new Map<number, number>();
  for (const [key, value] of squares.entries()) met.set(key.readUInt32LE(), value.readUInt32LE());
  assert.equal(met.size, count);
  assert.equal(met.get(70), 4900);
  assert([...squares.chunks()].length > 2);
  assert.equal(squares.deleteBatch(keys, count), count);
  assert.deepEqual([...squares.entries()], []);
});

kernelTest('deleting a batch stops at the first key that is not there', () => {
  using squares = loadMap('squares');
  const { keys, values } = squaresFrom(0, 5);
  squares.updateBatch(keys.subarray(0, 8), values.subarray(0, 8), 2);
  assert.equal(squares.deleteBatch(keys, 5), 2);
});

kernelTest('a full map throws E2BIG', () => {
  using object = openObject(path);
  object.setMaxEntries('squares', 4);
  object.load();
  using squares = object.map('squares');
  const { keys, values } = squaresFrom(0, 5);
  assert.throws(() => squares.updateBatch(keys, values, 5), { code: 'E2BIG' });
});

kernelTest('a value of a per-CPU map holds each CPU’s, rounded up to 8 bytes', () => {
  using counters = loadMap('counters');
  assert.equal(counters.valueSize, 12);
  assert.equal(counters.crossingSize, 16 * possibleCpus());
  const value = Buffer.alloc(counters.crossingSize);
  for (let cpu = 0; cpu < possibleCpus(); cpu++) value.writeUInt32LE(cpu + 1, cpu * 16);
  counters.update(u32(1), value);
  assert.deepEqual(counters.lookup(u32(1)), value);
  const entries = [...counters.entries()];
  assert.deepEqual(
    entries.map(([key]) => key.readUInt32LE()),
    [0, 1, 2],
  );
  assert.deepEqual(entries[1]?.[1], value);
});

kernelTest('a map type without batches is walked element by element', () => {
  using object = openObject(path);
  object.load();
  using pass = object.program('pass');
  using programs = object.map('programs');
  programs.update(u32(2), u32(pass.fd));
  assert.deepEqual([...programs.entries()], [[u32(2), u32(pass.id)]]);
});

kernelTest('a map type without iteration throws when walked', () => {
  using queue = loadMap('queue');
  assert.throws(() => [...queue.entries()], SystemError);
});

kernelTest('a pin outlives its map’s descriptor and opens as the same map', () => {
  const pin = join(pinDirectory(), 'squares');
  const squares = loadMap('squares');
  squares.update(u32(5), u32(25));
  squares.pin(pin);
  assert.throws(() => squares.pin(pin), { code: 'EEXIST' });
  squares.close();
  using opened = BpfMap.openPinned(pin);
  assert.equal(opened.id, squares.id);
  assert.deepEqual(opened.lookup(u32(5)), u32(25));
  unpin(pin);
  assert.throws(() => BpfMap.openPinned(pin), { code: 'ENOENT' });
});

kernelTest('a closed map throws on every use, and closes again in peace', () => {
  const squares = loadMap('squares');
  squares.close();
  squares.close();
  const uses = [
    () => squares.lookup(u32(1)),
    () => squares.update(u32(1), u32(1)),
    () => squares.delete(u32(1)),
    () => squares.nextKey(),
    () => squares.updateBatch(u32(1), u32(1), 1),
    () => squares.deleteBatch(u32(1), 1),
    () => [...squares.entries()],
    () => squares.pin('/sys/fs/bpf/never'),
    () => squares.fd,
  ];
  for (const use of uses) assert.throws(use, { name: 'SystemError', code: 'EBADF' });
});
