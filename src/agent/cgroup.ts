// SPDX-License-Identifier: Apache-2.0
// Where the control groups of version 2 are mounted.
import { existsSync, readFileSync } from 'node:fs';
import { EnvironmentError } from '../errors.ts';

/** The root of the hierarchy as this process sees it: of several mounts the first that no other one hides. Throws EnvironmentError. */
export function findCgroupRoot(
  mounts: string = readFileSync('/proc/self/mounts', 'utf8'),
  isReachable: (path: string) => boolean = (path) => existsSync(`${path}/cgroup.controllers`),
): string {
  for (const line of mounts.split('\n')) {
    const [, escaped, type] = line.split(' ');
    const path = escaped?.replaceAll('\\040', ' ');
    if (type === 'cgroup2' && path !== undefined && isReachable(path)) return path;
  }
  throw new EnvironmentError(
    'No control groups of version 2 are mounted, and programs of sockets need them: ' +
      '`mount -t cgroup2 none /sys/fs/cgroup/unified` mounts them beside version 1',
  );
}
