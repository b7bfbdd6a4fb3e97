// SPDX-License-Identifier: Apache-2.0
// The folder that holds the pins: whose it is, where it may be, and what of it is there.
import { existsSync, lstatSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { EnvironmentError, InputError, SystemError } from '../../errors.ts';
import { isBpf, mountBpf } from '../../native/bpf-filesystem.ts';

/** Whether a pin or folder is there. Throws SystemError EACCES where this process may not look, which existsSync hides. */
export function pinExists(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
    throw new SystemError(`stat ${path}`, 13, 'EACCES', `stat ${path}: EACCES: Permission denied`);
  }
}

/** include/uapi/linux/capability.h */
const capabilities = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_PERFMON: 38, CAP_BPF: 39 } as const;

/** Throws EnvironmentError where this process may not load programs: before it has left anything behind. */
export function requireRights(): void {
  const effective = BigInt(`0x${/^CapEff:\s*(\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]}`);
  const has = (name: keyof typeof capabilities) => (effective >> BigInt(capabilities[name])) & 1n;
  const mayLoad = has('CAP_SYS_ADMIN') || (has('CAP_BPF') && has('CAP_PERFMON'));
  if (mayLoad && has('CAP_NET_ADMIN')) return;
  throw new EnvironmentError('Loading BPF programs needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON');
}

/**
 * Makes the folder, for its owner alone, and mounts the BPF file system at its usual place if it is missing.
 * Throws EnvironmentError where that is not possible or the folder is another user's, InputError for a name that cannot be.
 */
export function preparePins(pinDirectory: string): void {
  const wanted = resolve(pinDirectory);
  let present = wanted;
  while (!existsSync(present)) present = dirname(present);
  try {
    if (present === '/sys/fs/bpf' && !isBpf(present)) mountBpf(present);
    if (!isBpf(present)) throw new Error(`${present} is in another file system`);
    refuseDots(wanted, present);
    for (const folder of ['', '/maps', '/programs', '/links']) {
      mkdirSync(`${wanted}${folder}`, { recursive: true, mode: 0o700 });
      refuseForeign(`${wanted}${folder}`);
    }
  } catch (error) {
    if (error instanceof InputError || error instanceof EnvironmentError) throw error;
    throw new EnvironmentError(
      `${pinDirectory} cannot hold the pins of maps and programs (${error instanceof Error ? error.message : error}): ` +
        'a BPF file system is needed there, `mount -t bpf -o mode=0700 bpf /sys/fs/bpf` as root makes one',
      { cause: error },
    );
  }
}

/** kernel/bpf/inode.c, bpf_lookup: names with a dot are kept for the file system itself. */
function refuseDots(wanted: string, present: string): void {
  if (!wanted.slice(present.length).includes('.')) return;
  throw new InputError(
    `Expected a folder whose name has no dot for --pin-dir but received "${wanted}": BPF file systems refuse dots`,
  );
}

/** Whoever owns a folder could put other maps and programs in the place of ours. */
function refuseForeign(folder: string): void {
  const own = process.geteuid?.();
  const owner = [lstatSync(folder), statSync(folder)].find(({ uid }) => uid !== own)?.uid;
  if (owner === undefined) return;
  throw new EnvironmentError(
    `${folder} belongs to user ${owner}, not to user ${own} who runs this, so what is pinned there cannot be trusted: ` +
      `\`rm -r ${folder}\` as root removes it, or use another --pin-dir`,
  );
}
