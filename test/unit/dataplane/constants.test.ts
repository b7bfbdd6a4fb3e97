// SPDX-License-Identifier: Apache-2.0
// Load-time constants: what stands in the place of a placeholder.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadTimeConstants, tellsOffload } from '../../../src/dataplane/bpf/constants.ts';
import { enums } from '../../../src/dataplane/bpf/layouts.ts';
import { LayoutError } from '../../../src/errors.ts';
import { testOptions } from '../../lib/plane.ts';

const { CONSTANT_FLOW_SEED, CONSTANT_MAX_CONNECTIONS, CONSTANT_HAS_VIRTUAL_CLOCK } = enums.load_time_constant;

function placeholder(constant: number): bigint {
  return (BigInt(enums.placeholder.PLACEHOLDER_MARK) << 32n) | BigInt(constant);
}

test('a placeholder becomes its number, any other number stays, and an unknown placeholder is an error', () => {
  const substitute = loadTimeConstants(testOptions, (map) => map.length, 2n ** 64n - 3n);
  assert.equal(substitute(placeholder(CONSTANT_FLOW_SEED)), 2n ** 64n - 3n);
  assert.equal(substitute(placeholder(CONSTANT_MAX_CONNECTIONS)), BigInt('connections'.length));
  assert.equal(substitute(placeholder(CONSTANT_HAS_VIRTUAL_CLOCK)), 1n);
  assert.equal(substitute(7n), 7n);
  assert.throws(() => substitute(placeholder(1000)), LayoutError);
});

for (const [release, isTold] of [
  ['6.1.0-56-cloud-amd64', false],
  ['6.2.0', true],
  ['6.10.3-arch1', true],
  ['5.14.0-427.el9.x86_64', false],
  ['7.0-rc1', true],
  ['unknown', false],
] as const) {
  test(`Linux ${release} ${isTold ? 'says' : 'does not say'} what a packet’s checksum is`, () => {
    assert.equal(tellsOffload(release), isTold);
  });
}
