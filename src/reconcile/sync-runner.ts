// SPDX-License-Identifier: Apache-2.0
// When to sync: soon after something has changed, not too often, and regularly.
import type { Timing } from './reconciler.ts';

export interface SyncPeriods {
  /** From the end of one sync to the start of the next; 0: none. */
  readonly minMs: number;
  /** A sync without a request comes after this time. */
  readonly maxMs: number;
}

/**
 * A request is carried out in this call where the last sync is long enough ago, else as soon as it is; requests until then are
 * one. As kube-proxy's bounded frequency runner, but that a round that nobody asked for does not count against `minMs`.
 */
export class SyncRunner implements Disposable {
  readonly #sync: (isRequested: boolean) => void;
  readonly #periods: SyncPeriods;
  readonly #timing: Timing;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #isRequested = false;
  #isRunning = false;
  #cancel: () => void = () => {};

  /** @param sync whether somebody asked for it, or it is a regular one */
  constructor(sync: (isRequested: boolean) => void, periods: SyncPeriods, timing: Timing) {
    this.#sync = sync;
    this.#periods = periods;
    this.#timing = timing;
  }

  request(): void {
    if (this.#isRequested) return;
    this.#isRequested = true;
    if (this.#isRunning) return;
    const waitMs = this.#notBeforeMs - this.#timing.now();
    if (waitMs <= 0) this.#run();
    else this.#after(waitMs);
  }

  close(): void {
    this.#cancel();
    this.#isRequested = true; // nobody's request is heard any more
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #run(): void {
    const isRequested = this.#isRequested;
    this.#isRequested = false;
    this.#isRunning = true;
    try {
      this.#sync(isRequested);
    } finally {
      this.#isRunning = false;
      if (isRequested) this.#notBeforeMs = this.#timing.now() + this.#periods.minMs;
      this.#after(this.#isRequested ? this.#periods.minMs : this.#periods.maxMs);
    }
  }

  #after(delayMs: number): void {
    this.#cancel();
    this.#cancel = this.#timing.after(delayMs, () => this.#run());
  }
}
