// SPDX-License-Identifier: Apache-2.0
// The folder of the pins: who may make it, whose it has to be, and what is said where it cannot be.
import assert from 'node:assert/strict';
import { chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, suite, test } from 'node:test';
import { BpfMaps } from '../../src/dataplane/bpf/bpf-maps.ts';
import { removeDataPlane } from '../../src/dataplane/bpf/cleanup.ts';
import { EnvironmentError, InputError } from '../../src/errors.ts';
import { missingForBpf, TestPlane } from '../lib/plane.ts';

const pinDirectory = `/sys/fs/bpf/bpvs-test-pins-${process.pid}`;
const nobody = 65534;
const tiny = { services: 4, destinations: 4, places: 64, connections: 64, halfOpen: 16 };

/** Files and rights as another user has them, without root's capabilities. */
function asNobody<T>(call: () => T): T {
  process.seteuid?.(nobody);
  try {
    return call();
  } finally {
    process.seteuid?.(0);
  }
}

suite('the folder of the pins', { skip: missingForBpf() ?? false }, () => {
  afterEach(() => rmSync(pinDirectory, { recursive: true, force: true }));

  test('whoever may not load programs leaves no folder behind', () => {
    assert.throws(
      () => asNobody(() => new TestPlane({ pinDirectory, sizes: tiny })),
      (error) => error instanceof EnvironmentError && /needs root, or CAP_BPF/.test(error.message),
    );
    assert.equal(existsSync(pinDirectory), false);
  });

  test('a new folder is closed to other users', () => {
    using _plane = new TestPlane({ pinDirectory, sizes: tiny });
    for (const folder of ['', '/maps', '/programs', '/links']) {
      assert.equal(statSync(`${pinDirectory}${folder}`).mode & 0o777, 0o700, folder);
    }
  });

  for (const folder of ['', '/maps']) {
    test(`pins are not put where ${folder || 'the folder'} is another user's`, () => {
      mkdirSync(`${pinDirectory}${folder}`, { recursive: true });
      chownSync(`${pinDirectory}${folder}`, nobody, nobody);
      assert.throws(
        () => new TestPlane({ pinDirectory, sizes: tiny }),
        (error) => error instanceof EnvironmentError && /user 65534, .*`rm -r /.test(error.message),
      );
    });
  }

  test('a name with a dot is refused with the reason', () => {
    assert.throws(
      () => new TestPlane({ pinDirectory: `${pinDirectory}.b`, sizes: tiny }),
      (error) => error instanceof InputError && /refuse dots/.test(error.message),
    );
  });

  test('a table that no memory is large enough for names the option', () => {
    assert.throws(
      () => new TestPlane({ sizes: { ...tiny, connections: 0x7fff_ffff } }),
      (error) => error instanceof EnvironmentError && /lower --max-connections/.test(error.message),
    );
  });

  test('pins that may not be looked at are not taken for missing', (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'bpvs-pins-')); // of mode 0700
    t.after(() => rmSync(folder, { recursive: true }));
    assert.throws(() => asNobody(() => BpfMaps.openPinned(`${folder}/bpvs`)), { code: 'EACCES' });
    assert.throws(() => asNobody(() => removeDataPlane(`${folder}/bpvs`)), { code: 'EACCES' });
    assert.throws(() => BpfMaps.openPinned(`${folder}/bpvs`), EnvironmentError);
  });
});
