// SPDX-License-Identifier: Apache-2.0
// C structs to records and back, for every layout that there is.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { enums, layouts } from '../../../src/dataplane/bpf/layouts.ts';
import { decode, encode, type FieldLayout, type StructLayout } from '../../../src/dataplane/bpf/struct.ts';

function arbitraryOf({ kind, size, count }: FieldLayout): fc.Arbitrary<unknown> {
  if (kind === 'bytes') return fc.uint8Array({ minLength: size, maxLength: size });
  const word = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
  if (count !== undefined) return fc.array(word, { minLength: count, maxLength: count });
  return size === 8 ? word : fc.integer({ min: 0, max: 2 ** (8 * size) - 1 });
}

suite('struct codecs', () => {
  for (const [name, layout] of Object.entries<StructLayout>(layouts)) {
    test(`struct ${name}: what is written is read again`, () => {
      const fields = Object.entries(layout.fields).map(
        ([field, each]) => [field, arbitraryOf(each)] as const,
      );
      fc.assert(
        fc.property(fc.record(Object.fromEntries(fields)), fc.nat(16), (value, at) => {
          const bytes = encode(layout, value as Parameters<typeof encode<StructLayout>>[1]);
          assert.equal(bytes.length, layout.size);
          const shifted = new Uint8Array(at + layout.size);
          shifted.set(bytes, at);
          assert.deepEqual(decode(layout, shifted, at), { ...value });
        }),
        { numRuns: 50 },
      );
    });

    test(`struct ${name}: fields lie within it, naturally aligned, and none over another`, () => {
      const fields = Object.values(layout.fields).toSorted((a, b) => a.offset - b.offset);
      let end = 0;
      for (const { offset, size, kind, count } of fields) {
        assert.ok(offset >= end);
        if (kind !== 'bytes') assert.equal(offset % (count === undefined ? size : 8), 0);
        end = offset + size;
      }
      assert.ok(end <= layout.size);
    });
  }

  test('a number of network order has its highest byte first', () => {
    const bytes = encode(layouts.service_key, { port: 0x1234, protocol: 6, family: 4 });
    const { offset } = layouts.service_key.fields.port;
    assert.deepEqual([bytes[offset], bytes[offset + 1]], [0x12, 0x34]);
  });

  test('fields that are not given are zero', () => {
    assert.ok(encode(layouts.connection, {}).every((byte) => byte === 0));
  });

  test('reasons are numbered without a gap', () => {
    const numbers = Object.values(enums.reason).toSorted((a, b) => a - b);
    assert.deepEqual(
      numbers,
      numbers.map((_, n) => n),
    );
  });
});
