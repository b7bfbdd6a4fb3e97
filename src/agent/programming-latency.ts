// SPDX-License-Identifier: Apache-2.0
// How long changes of endpoints take, from what triggered them until they are programmed.

/** The last so many; enough for a 99th percentile that one change does not decide. */
const kept = 1000;

export interface LatencySummary {
  /** Since the start. */
  readonly count: number;
  /** Of the last 1000, in milliseconds. */
  readonly p50: number;
  readonly p99: number;
}

/** Triggers are creation and transition times of objects, which the API has in whole seconds, rounded down. */
const triggerUnitMs = 1000;

/** Source: kube-proxy's network_programming_duration_seconds, which leaves out what is older than the process. */
export class ProgrammingLatency {
  readonly #now: () => number;
  readonly #startMs: number;
  readonly #pending = new Map<string, number>();
  readonly #samples: number[] = [];
  #count = 0;

  /** `now` tells milliseconds since 1970. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
    this.#startMs = Math.floor(now() / triggerUnitMs) * triggerUnitMs;
  }

  /** Of several triggers of one slice until the next sync the first counts. */
  triggered(slice: string, atMs: number): void {
    if (atMs >= this.#startMs && !this.#pending.has(slice)) this.#pending.set(slice, atMs);
  }

  /** All that was triggered before is programmed. @returns what each took, in milliseconds */
  programmed(): readonly number[] {
    const nowMs = this.#now();
    const took = Array.from(this.#pending.values(), (atMs) => Math.max(0, nowMs - atMs));
    this.#pending.clear();
    for (const ms of took) {
      this.#samples[this.#count % kept] = ms;
      this.#count++;
    }
    return took;
  }

  /** Undefined before the first sample. */
  get summary(): LatencySummary | undefined {
    if (this.#count === 0) return undefined;
    const sorted = this.#samples.toSorted((a, b) => a - b);
    const at = (share: number) => sorted[Math.ceil(share * sorted.length) - 1] ?? 0;
    return { count: this.#count, p50: at(0.5), p99: at(0.99) };
  }
}
