// SPDX-License-Identifier: Apache-2.0
// The file system that holds pins.
import { addon } from './addon.ts';

/** Mounts a BPF file system, readable by root only, on a directory. Throws SystemError. */
export function mountBpf(path: string): void {
  addon.mountBpf(path);
}

/** Whether a path lies in a BPF file system. Throws SystemError: ENOENT. */
export function isBpf(path: string): boolean {
  return addon.isBpf(path);
}
