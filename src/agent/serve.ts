// SPDX-License-Identifier: Apache-2.0
// A daemon from its start to its end.
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import type { CommandOutput } from './commands/common.ts';
import type { DaemonOptions } from './daemon.ts';
import type { Log } from './log.ts';

/**
 * Says on stdout when everything is programmed; runs until SIGTERM or SIGINT, which leave data plane and attachments in place, or until
 * `failed` rejects, which is what this rejects with then.
 */
export async function serve(
  options: DaemonOptions,
  log: Log,
  io: CommandOutput,
  failed?: Promise<never>,
): Promise<void> {
  setFlagsFromString('--optimize-for-size'); // a third less memory with 10,000 Services
  const { Daemon } = await import('./daemon.ts');
  const ending = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => ending.abort(byRequest));
  failed?.catch((error: unknown) => ending.abort(error));
  const alive = setInterval(() => {}, 1 << 30); // the daemon's own timers may all be unreferenced
  try {
    await using daemon = await Daemon.start(options, log, ending.signal);
    io.stdout(`bpvs: ready, ${daemon.services} virtual services, ${daemon.devices} devices\n`);
    await ended(ending.signal);
  } catch (error) {
    if (error !== byRequest) throw error;
  } finally {
    clearInterval(alive);
  }
}

/** What a start is given up for that somebody ended by a signal. */
const byRequest = new Error('ended by a signal');

/** Rejects with the signal's reason. */
async function ended(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, 'abort');
  throw signal.reason;
}
