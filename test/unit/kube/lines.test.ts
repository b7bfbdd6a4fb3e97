// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { lines } from '../../../src/kube/lines.ts';

async function* pieces(text: string, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let rest = Buffer.from(text);
  for (let i = 0; rest.length > 0; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield rest.subarray(0, size);
    rest = rest.subarray(size);
  }
}

async function allOf(values: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = [];
  for await (const value of values) all.push(value);
  return all;
}

test('lines come out whole, however the bytes come in', async () => {
  const line = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', ''));
  await fc.assert(
    fc.asyncProperty(
      fc.array(line),
      fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }),
      async (all, sizes) => {
        const text = all.map((each) => `${each}\n`).join('');
        assert.deepEqual(await allOf(lines(pieces(text, sizes))), all);
      },
    ),
  );
});

test('a line that was cut off does not come out', async () => {
  assert.deepEqual(await allOf(lines(pieces('one\ntwo', [2]))), ['one']);
});
