// SPDX-License-Identifier: Apache-2.0
// Where programs of sockets cannot be attached: said in one line, before anything is changed.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { checkCgroup } from '../../../src/dataplane/bpf/attachments.ts';
import { EnvironmentError } from '../../../src/errors.ts';

const folder = mkdtempSync(join(tmpdir(), 'bpvs-cgroup-'));
after(() => rmSync(folder, { recursive: true }));
writeFileSync(join(folder, 'file'), '');
symlinkSync('loop', join(folder, 'loop'));

for (const [path, reason] of [
  ['missing', /there is no such folder/],
  ['file', /it is no folder/],
  ['.', /it is no control group of version 2/],
  ['loop', /ELOOP/],
] as const) {
  test(`the control group ${path} is refused with the reason`, () => {
    assert.throws(
      () => checkCgroup(join(folder, path)),
      (error: Error) =>
        error instanceof EnvironmentError && error.message.includes(folder) && reason.test(error.message),
    );
  });
}
