// SPDX-License-Identifier: Apache-2.0
// What this process must take with it when it ends.
import { spawnSync } from 'node:child_process';

/** A call that another process can make: of a function that a module exports, with plain data. */
export interface Removal {
  readonly module: string;
  readonly call: string;
  readonly argument: unknown;
}

const removals = new Set<string>();
const endingSignals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/**
 * From now on the call is made when this process exits, by an exception too, or is ended by a signal that can be caught;
 * what was owned first is removed first. Idempotent.
 */
export function own(removal: Removal): void {
  if (removals.size === 0) {
    process.once('exit', removeOwned);
    for (const signal of Object.keys(endingSignals)) process.on(signal, exitBySignal);
  }
  removals.add(JSON.stringify(removal));
}

/** Undoes {@link own}. Idempotent. */
export function disown(removal: Removal): void {
  if (!removals.delete(JSON.stringify(removal)) || removals.size > 0) return;
  process.off('exit', removeOwned);
  for (const signal of Object.keys(endingSignals)) process.off(signal, exitBySignal);
}

function exitBySignal(signal: keyof typeof endingSignals): void {
  process.exit(128 + endingSignals[signal]);
}

/**
 * Nothing asynchronous can run in an exit handler, so another process does the work: in a session of its own, where a
 * terminal's second Ctrl-C does not reach it.
 */
function removeOwned(): void {
  const program = `for (const { module, call, argument } of [${[...removals]}]) {
    await (await import(module))[call](argument).catch(console.error);
  }`;
  const argv = ['--wait', process.execPath, '--input-type=module', '--eval', program];
  spawnSync('setsid', argv, { stdio: ['ignore', 'ignore', 'inherit'] });
}
