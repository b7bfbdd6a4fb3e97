// SPDX-License-Identifier: Apache-2.0
// How long to wait before trying again.

/** As client-go has it. */
const lastMs = 30_000;

/** Doubles from one failure to the next; spread, so that the nodes of a cluster do not come back all at once. */
export class Backoff {
  readonly #firstMs: number;
  readonly #random: () => number;
  #ms: number;

  /** `random` gives numbers from 0 to below 1. */
  constructor(firstMs: number, random: () => number = Math.random) {
    this.#firstMs = firstMs;
    this.#random = random;
    this.#ms = firstMs;
  }

  /** @param atLeastMs what the server asked for */
  next(atLeastMs = 0): number {
    const ms = this.#ms;
    this.#ms = Math.min(2 * ms, lastMs);
    return Math.max(ms, atLeastMs) * (1 + this.#random());
  }

  reset(): void {
    this.#ms = this.#firstMs;
  }
}
