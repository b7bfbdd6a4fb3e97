// SPDX-License-Identifier: Apache-2.0
// What a run of the tests could leave on the machine: namespaces, pins, control groups, labs and processes.
import { existsSync, readdirSync, readFileSync } from 'node:fs';

const mark = 'BPVS_TEST_RUN';

/** Every process started from now on, and what those start, counts as ours. */
export function markRun(): void {
  process.env[mark] = String(process.pid);
}

/** What there is now, each a line of its own; a second call tells what came since. */
export function leftovers(): readonly string[] {
  const isOurs = (name: string) => name.startsWith('bpvs');
  return [
    ...list('/run/netns').map((name) => `namespace ${name}`),
    ...list('/run/bpvs-lab').map((name) => `lab ${name}`),
    ...list('/sys/fs/bpf')
      .filter(isOurs)
      .map((name) => `pins /sys/fs/bpf/${name}`),
    ...cgroupRoots().flatMap((root) =>
      list(root)
        .filter(isOurs)
        .map((name) => `control group ${root}/${name}`),
    ),
    ...list('/proc')
      .filter(isOurProcess)
      .map((pid) => `process ${pid} (${commandOf(pid)})`),
  ];
}

function list(folder: string): readonly string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function cgroupRoots(): readonly string[] {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return mounts
    .map((line) => line.split(' '))
    .flatMap(([, path, type]) => (type === 'cgroup2' && path ? [path] : []));
}

function isOurProcess(pid: string): boolean {
  return /^\d+$/.test(pid) && read(`/proc/${pid}/environ`).split('\0').includes(`${mark}=${process.pid}`);
}

function commandOf(pid: string): string {
  return read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
}

/** Empty for a process that has ended meanwhile, or is another user's. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
