// SPDX-License-Identifier: Apache-2.0
// What every replay of recordings has in common: the outcomes.

export interface Outcome {
  /** The scenario's name: "rr/v4-equal/a". */
  readonly name: string;
  readonly result: 'passed' | 'failed' | 'skipped';
  /** Of a skip: what the scenario needs; of a failure: the step and what differs; else what could not be compared. */
  readonly reason?: string;
}

/** Thrown by a replay at the first thing that is not there yet. */
export class Needs extends Error {}

/** Thrown by a replay at the first difference. */
export class Differs extends Error {}

/** Runs one replay and says how it ended. */
export async function replay(name: string, run: () => Promise<void>): Promise<Outcome> {
  try {
    await run();
    return { name, result: 'passed' };
  } catch (error) {
    if (error instanceof Needs) return { name, result: 'skipped', reason: error.message };
    if (error instanceof Differs) return { name, result: 'failed', reason: error.message };
    throw error;
  }
}

/** Throws Differs unless both print the same. */
export function expectSame(what: string, actual: unknown, expected: unknown): void {
  const [a, e] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== e) throw new Differs(`${what}: expected ${e} but received ${a}`);
}
