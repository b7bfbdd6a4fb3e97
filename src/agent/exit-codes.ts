// SPDX-License-Identifier: Apache-2.0
// How a command ends: its exit code, and the one line that says why.
import { CommanderError } from 'commander';
import { BpvsError, EnvironmentError, InputError, LayoutError, SystemError } from '../errors.ts';

export const exitCodes = { ok: 0, failed: 1, usage: 2, environment: 3 } as const;

export const exitCodesHelp =
  '\nExit codes: 0 all well, 1 failed, or some input was invalid, 2 wrong usage, ' +
  '3 this machine lacks something (root, a BPF file system, a feature of the kernel).';

/** errno of what the machine does not allow or have, wherever it comes from. */
const environmentCodes: ReadonlySet<string> = new Set([
  'EPERM',
  'EACCES',
  'ENOSYS',
  'EOPNOTSUPP',
  'ENOTSUPP',
]);

export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (error instanceof InputError) return exitCodes.usage;
  if (error instanceof EnvironmentError || error instanceof LayoutError) return exitCodes.environment;
  if (error instanceof SystemError && environmentCodes.has(error.code)) return exitCodes.environment;
  return exitCodes.failed;
}

/** One line: what, why, and the remedy where there is one. Errors that nobody foresaw keep their stack. */
export function describeError(error: unknown): string {
  if (!(error instanceof BpvsError))
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  const isDenied = error instanceof SystemError && (error.code === 'EPERM' || error.code === 'EACCES');
  const remedy = isDenied && process.getuid?.() !== 0 ? ': run it as root' : '';
  return `${error.message}${remedy}`.replaceAll('\n', ' ');
}
