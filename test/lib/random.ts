// SPDX-License-Identifier: Apache-2.0
// Numbers that look random and come again with the same seed, so that a failure can be repeated.

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer in 0..below-1. mulberry32, by Tommy Ettinger. */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000) * below);
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  /** Throws RangeError for an empty list. */
  pick<T>(list: readonly T[]): T {
    const found = list[this.below(list.length)];
    if (found === undefined) throw new RangeError('Expected a list to pick from but received an empty one');
    return found;
  }
}

/** The seed that an environment variable gives, or `otherwise`; for test titles and failures. */
export function numberFrom(variable: string, otherwise: number): number {
  const text = process.env[variable];
  return text === undefined || text === '' ? otherwise : Number(text);
}
