// SPDX-License-Identifier: Apache-2.0
// Waiting for a condition that nothing announces.
import { setTimeout } from 'node:timers/promises';

/** Looks again and again; the last look is returned when it is as wanted, or when the time is up. */
export async function until<T>(
  look: () => T | Promise<T>,
  isWanted: (value: T) => boolean,
  timeoutMs = 10_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await look();
    if (isWanted(value) || performance.now() > deadline) return value;
    await setTimeout(50);
  }
}
