// SPDX-License-Identifier: Apache-2.0
// Object files: their types, what may be set before loading, loading and its failure.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LayoutError, SystemError } from '../../../src/errors.ts';
import { openObject } from '../../../src/native/bpf-object.ts';
import { compileSample, kernelTest, u32 } from './sample.ts';

const path = compileSample();

test('layout gives each field its offset, size and kind, those of unnamed unions as their parent’s', () => {
  using object = openObject(path);
  assert.deepEqual(object.layout('place'), {
    name: 'place',
    size: 64,
    fields: [
      { name: 'family', offset: 0, size: 1, kind: 'unsigned' },
      { name: 'padding', offset: 1, size: 3, kind: 'bytes' },
      { name: 'color', offset: 4, size: 4, kind: 'unsigned' },
      { name: 'v4', offset: 8, size: 4, kind: 'unsigned', isNetworkOrder: true },
      { name: 'v6', offset: 8, size: 16, kind: 'bytes' },
      { name: 'points', offset: 24, size: 8, kind: 'struct', struct: 'point', count: 2 },
      { name: 'times.first', offset: 32, size: 8, kind: 'unsigned' },
      { name: 'times.second', offset: 40, size: 8, kind: 'signed' },
      { name: 'is_open', offset: 48, size: 1, kind: 'unsigned' },
      { name: 'scores', offset: 52, size: 12, kind: 'unsigned', count: 3 },
    ],
  });
  assert.deepEqual(object.layout('point').fields, [
    { name: 'x', offset: 0, size: 2, kind: 'unsigned' },
    { name: 'y', offset: 2, size: 2, kind: 'signed' },
  ]);
  assert.throws(() => object.layout('nothing'), RangeError);
});

test('enumeration gives names their values, negative ones too', () => {
  using object = openObject(path);
  assert.deepEqual(object.enumeration('color'), { COLOR_RED: 0, COLOR_GREEN: 5, COLOR_BLUE: 6 });
  assert.deepEqual(object.enumeration('level'), { LEVEL_LOW: -3, LEVEL_HIGH: 3 });
});

test('an object lists its maps and programs before it is loaded', () => {
  using object = openObject(path);
  const squares = object.maps().find(({ name }) => name === 'squares');
  assert.equal(squares?.type, 'hash');
  assert.equal(squares.maxEntries, 100_000);
  assert.deepEqual(object.mapTypes('places'), { key: 'point', value: 'place' });
  assert.deepEqual(object.mapTypes('squares'), { key: undefined, value: undefined });
  const allow = object.programs().find(({ name }) => name === 'allow');
  assert.equal(allow?.section, 'cgroup/connect4');
  assert.equal(allow.type, 'cgroup_sock_addr');
  assert.equal(object.programs().find(({ name }) => name === 'refused')?.isAutoload, false);
});

kernelTest('what is set before loading is what the program meets: entries of maps, an immediate', () => {
  using object = openObject(path, (immediate) =>
    immediate === 0x6661637400000000n ? 0x0000000800000002n : immediate,
  );
  object.setMaxEntries('squares', 32);
  object.load();
  using squares = object.map('squares');
  assert.equal(squares.maxEntries, 32);
  using answer = object.program('answer');
  const { context } = answer.testRun({ context: Buffer.concat([u32(4), u32(0)]) });
  assert.equal(context.readUInt32LE(4), 4 * (8 - 2));
});

kernelTest('a refused program throws the verifier’s log, and nothing is printed', () => {
  using object = openObject(path);
  object.setAutoload('refused', true);
  assert.throws(
    () => object.load(),
    (error: unknown) => {
      assert(error instanceof SystemError);
      assert.equal(error.code, 'EACCES');
      assert.equal(error.errno, 13);
      assert.match(error.operation, /^bpf_object__load .*sample\.bpf\.o$/);
      assert.match(error.log ?? '', /invalid mem access 'scalar'/);
      return true;
    },
  );
});

kernelTest('a map of another object is used in place of the own one when their sizes agree', () => {
  using first = openObject(path);
  first.setMaxEntries('squares', 8);
  first.load();
  using squares = first.map('squares');
  using places = first.map('places');
  using second = openObject(path);
  second.reuseMap('squares', squares);
  assert.throws(() => second.reuseMap('places', squares), LayoutError);
  assert.throws(() => second.reuseMap('squares', places), LayoutError);
  second.load();
  using reused = second.map('squares');
  assert.equal(reused.id, squares.id);
  assert.equal(reused.maxEntries, 8);
});

test('what is not there or no object throws, and so does use after close', () => {
  assert.throws(() => openObject('/nonexistent.o'), {
    name: 'EnvironmentError',
    message: /^The BPF object \/nonexistent\.o cannot be read: npm run build:bpf makes it \(ENOENT/,
  });
  assert.throws(() => openObject('/etc/passwd'), SystemError);
  const object = openObject(path);
  assert.throws(() => object.map('squares'), { code: 'EBADF' });
  assert.throws(() => object.setMaxEntries('nothing', 1), { code: 'ENOENT' });
  object.close();
  object.close();
  assert.throws(() => object.load(), { code: 'EBADF' });
  assert.throws(() => object.maps(), { code: 'EBADF' });
});
