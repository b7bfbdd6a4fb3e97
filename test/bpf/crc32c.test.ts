// SPDX-License-Identifier: Apache-2.0
// The CRC of a packet whose ports change, against one that reads every byte.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openObject } from '../../src/native/bpf-object.ts';
import { missingForBpf } from '../lib/plane.ts';
import { Random } from '../lib/random.ts';
import { crc32c, crc32cRemainder } from '../lib/sctp.ts';

const object = fileURLToPath(new URL('../../build/bpf/crc32c.bpf.o', import.meta.url));
const longest = 65_535;

test('the CRC-32C that packets are checked with gives the examples of RFC 3720', () => {
  assert.equal(crc32c(new TextEncoder().encode('123456789')), 0xe306_9283);
  assert.equal(crc32c(new Uint8Array(32)), 0x8a91_36aa);
  assert.equal(crc32c(new Uint8Array(32).fill(255)), 0x62a8_ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd_794e);
});

suite('CRC-32C without reading the packet', { skip: missingForBpf() ?? false }, () => {
  test('a change of the first four bytes of a message of any length up to 65535', () => {
    using programs = openObject(object);
    programs.load();
    const program = programs.program('call_crc32c_difference');
    const random = new Random(20_261_121);
    const change = Buffer.alloc(4);
    const frame = Buffer.alloc(64);
    for (const value of [
      1,
      0x8000_0000,
      0xffff_ffff,
      ...Array.from({ length: 5 }, () => random.below(0xffff_ffff)),
    ]) {
      change.writeUInt32LE(value);
      // What the change alone leaves, then what each zero byte more behind it makes of that.
      let remainder = crc32cRemainder(change, 0);
      frame.writeUInt32LE(value, 14);
      for (let length = 4; length <= longest; length++) {
        if (length < 2000 || random.once(20) || length === longest) {
          frame.writeUInt32LE(length, 18);
          assert.equal(program.testRun({ data: frame }).returnValue, remainder, `${value}, ${length} bytes`);
        }
        remainder = crc32cRemainder(Uint8Array.of(0), remainder);
      }
    }
  });
});
