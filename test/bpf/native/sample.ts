// SPDX-License-Identifier: Apache-2.0
// Compiles the addon's sample object, and gives directories for files and pins that go away with the test file.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isBpf, mountBpf } from '../../../src/native/bpf-filesystem.ts';

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
