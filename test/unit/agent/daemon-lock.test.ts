// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { daemonOf, lockPins } from '../../../src/agent/daemon-lock.ts';

const folder = mkdtempSync(join(tmpdir(), 'bpvs-lock-'));
const other = `${folder}-other`;
symlinkSync(folder, other);
after(() => {
  rmSync(other);
  rmSync(folder, { recursive: true });
});

for (const [what, above] of [
  ['the same path', folder],
  ['another path to the same folder', other],
] as const) {
  test(`pins have one daemon, whoever asks by ${what}`, async () => {
    {
      using lock = await lockPins(join(folder, 'pins'));
      assert.ok(lock);
      assert.equal(await lockPins(join(above, 'pins')), undefined);
      assert.equal(await daemonOf(join(above, 'pins')), process.pid);
      assert.equal(await daemonOf(join(above, 'others')), undefined);
    }
    assert.equal(await daemonOf(join(above, 'pins')), undefined);
  });
}

test('pins whose folder is not there yet are locked by their path', async () => {
  const pins = join(folder, 'none/pins');
  using lock = await lockPins(pins);
  assert.ok(lock);
  assert.equal(await lockPins(pins), undefined);
});
