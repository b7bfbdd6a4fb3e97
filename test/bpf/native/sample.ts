// SPDX-License-Identifier: Apache-2.0
// Compiles the addon's sample object, and gives directories and a network namespace that go away with the test file.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isBpf, mountBpf } from '../../../src/native/bpf-filesystem.ts';
import { missingForBpf } from '../../lib/plane.ts';

const skip = missingForBpf() ?? false;

/** A test that loads programs or makes maps: skipped, with the reason, where the machine does not let it. */
export function kernelTest(title: string, run: () => void): void {
  test(title, { skip }, run);
}

const pinRoot = '/sys/fs/bpf';

/** A directory that the end of the test file removes. */
export function temporaryDirectory(under = tmpdir()): string {
  const directory = mkdtempSync(join(under, 'bpvs-native-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A directory for pins, its file system mounted if need be. */
export function pinDirectory(): string {
  if (!isBpf(pinRoot)) mountBpf(pinRoot);
  return temporaryDirectory(pinRoot);
}

/** The path of the compiled sample. */
export function compileSample(): string {
  const object = join(temporaryDirectory(), 'sample.bpf.o');
  const source = fileURLToPath(new URL('sample.bpf.c', import.meta.url));
  const machine = execFileSync('uname', ['-m'], { encoding: 'utf8' }).trim();
  const includes = `-I/usr/include/${machine}-linux-gnu`;
  execFileSync('clang-19', ['-O2', '-g', '-target', 'bpf', includes, '-c', source, '-o', object]);
  return object;
}

/** The four bytes of a number as this machine stores it. */
export function u32(value: number): Buffer {
  return Buffer.from(Uint32Array.of(value).buffer);
}

/** Runs a test file's tests in a network namespace of their own: the file runs once more, as a child in there. */
export function inNetworkNamespace(file: string, defineTests: () => void): void {
  if (process.env.BPVS_TEST_NAMESPACE !== undefined) {
    defineTests();
    return;
  }
  test(`${basename(file)} passes in a network namespace of its own`, { skip }, () => {
    const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
    const env = { ...inherited, BPVS_TEST_NAMESPACE: 'yes' };
    const run = spawnSync('unshare', ['--net', process.execPath, file], {
      env,
      encoding: 'utf8',
      timeout: 115_000,
    });
    assert.equal(run.status, 0, `${run.error ?? ''}${run.stdout}${run.stderr}`);
  });
}

/** Runs ip(8) and returns what it prints. */
export function ip(command: string): string {
  return execFileSync('ip', command.split(' '), { encoding: 'utf8' });
}
