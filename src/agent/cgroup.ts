// SPDX-License-Identifier: Apache-2.0
// Where the control groups of version 2 are mounted.
import { readFileSync } from 'node:fs';
import { EnvironmentError } from '../errors.ts';

/** The root of the hierarchy as this process sees it. Throws EnvironmentError. */
export function findCgroupRoot(mounts: string = readFileSync('/proc/self/mounts', 'utf8')): string {
  for (const line of mounts.split('\n')) {
    const [, path, type] = line.split(' ');
    if (type === 'cgroup2' && path !== undefined) return path.replaceAll('\\040', ' ');
  }
  throw new EnvironmentError(
    'No control groups of version 2 are mounted, and programs of sockets need them: ' +
      '`mount -t cgroup2 none /sys/fs/cgroup/unified` mounts them beside version 1',
  );
}
