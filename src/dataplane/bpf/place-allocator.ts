// SPDX-License-Identifier: Apache-2.0
// Regions of the map `places`: a scheduler's table each, never changed while a packet may read it.

/** Longer than any packet's way through a program: what was given up longer ago is read by no one. */
const graceMs = 1000;

interface Retired {
  readonly start: number;
  readonly size: number;
  readonly atMs: number;
}

export class PlaceAllocator {
  readonly #capacity: number;
  readonly #now: () => number;
  #end = 0;
  readonly #free = new Map<number, number[]>();
  #retired: Retired[] = [];

  /** @param now milliseconds of a clock that never goes back */
  constructor(capacity: number, now: () => number) {
    this.#capacity = capacity;
    this.#now = now;
  }

  /** The size that a region of `words` really takes, so that regions can take one another's place. */
  static roundUp(words: number): number {
    const step = words < 64 ? 8 : 64;
    return Math.ceil(words / step) * step;
  }

  /** @returns the first place of a region of that many words, or undefined when there is no room */
  take(words: number): number | undefined {
    const size = PlaceAllocator.roundUp(words);
    const reused = this.#free.get(size)?.pop();
    if (reused !== undefined) return reused;
    if (this.#end + size <= this.#capacity) {
      this.#end += size;
      return this.#end - size;
    }
    return this.#settle() ? this.#free.get(size)?.pop() : undefined;
  }

  /** Gives a region up; it is taken again only after every packet that may read it has passed. */
  retire(start: number, words: number): void {
    this.#retired.push({ start, size: PlaceAllocator.roundUp(words), atMs: this.#now() });
    if (this.#retired.length % 256 === 0) this.#settle();
  }

  /** Takes over the regions that an earlier process gave out; all others below the highest are free. */
  adopt(regions: readonly { readonly start: number; readonly words: number }[]): void {
    const sorted = regions.toSorted((a, b) => a.start - b.start);
    for (const { start, words } of sorted) {
      this.#addGap(this.#end, start);
      this.#end = start + PlaceAllocator.roundUp(words);
    }
  }

  #addGap(start: number, end: number): void {
    for (let at = start; at < end; at += 8) this.#addFree(at, 8);
  }

  #addFree(start: number, size: number): void {
    const list = this.#free.get(size);
    if (list) list.push(start);
    else this.#free.set(size, [start]);
  }

  #settle(): boolean {
    const deadline = this.#now() - graceMs;
    const settled = this.#retired.filter((region) => region.atMs <= deadline);
    this.#retired = this.#retired.filter((region) => region.atMs > deadline);
    for (const region of settled) this.#addFree(region.start, region.size);
    return settled.length > 0;
  }
}
