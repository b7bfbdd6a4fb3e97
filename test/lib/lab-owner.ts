// SPDX-License-Identifier: Apache-2.0
// Which labs this process must take with it when it ends.
import { spawnSync } from 'node:child_process';

const ownedLabs = new Set<string>();
const endingSignals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/** From now on the lab is removed when this process exits or is ended by a signal that can be caught. Idempotent. */
export function own(name: string): void {
  if (ownedLabs.size === 0) {
    process.once('exit', removeOwnedLabs);
    for (const signal of Object.keys(endingSignals)) process.once(signal, exitBySignal);
  }
  ownedLabs.add(name);
}

/** Undoes {@link own}. Idempotent. */
export function disown(name: string): void {
  if (!ownedLabs.delete(name) || ownedLabs.size > 0) return;
  process.off('exit', removeOwnedLabs);
  for (const signal of Object.keys(endingSignals)) process.off(signal, exitBySignal);
}

function exitBySignal(signal: keyof typeof endingSignals): void {
  process.exit(128 + endingSignals[signal]);
}

/** Nothing asynchronous can run in an exit handler, so another process does the work. */
function removeOwnedLabs(): void {
  const lab = new URL('lab.ts', import.meta.url);
  const names = JSON.stringify([...ownedLabs]);
  const program = `import { removeLab } from '${lab}'; await Promise.all(${names}.map((name) => removeLab(name)));`;
  spawnSync(process.execPath, ['--input-type=module', '--eval', program], { stdio: 'inherit' });
}
