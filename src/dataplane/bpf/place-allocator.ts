// SPDX-License-Identifier: Apache-2.0
// Regions of the map `places`: a scheduler's table each, never changed while a packet may read it.

/** Longer than any packet's way through a program: what was given up longer ago is read by no one. */
const graceMs = 1000;

/** So much of the map is kept for tables that replace others: where nothing new fits, what is removed still goes. */
const reservedShare = 1 / 64;

interface Gap {
  readonly start: number;
  readonly end: number;
}

interface Retired {
  readonly start: number;
  readonly size: number;
  readonly atMs: number;
}

export class PlaceAllocator {
  readonly #now: () => number;
  /** Regions that were given up, by their size: most are taken again as they are. */
  readonly #free = new Map<number, number[]>();
  /** All other free places, in their order. */
  #gaps: Gap[];
  #retired: Retired[] = [];
  /** Places that could be taken now. */
  #unused: number;
  readonly #reserve: number;

  /** @param now milliseconds of a clock that never goes back */
  constructor(capacity: number, now: () => number) {
    this.#gaps = [{ start: 0, end: capacity }];
    this.#unused = capacity;
    this.#reserve = Math.floor(capacity * reservedShare);
    this.#now = now;
  }

  /** The size that a region of `words` really takes, so that regions can take one another's place. */
  static roundUp(words: number): number {
    const step = words < 64 ? 8 : 64;
    return Math.ceil(words / step) * step;
  }

  /**
   * @param replaced the words of the region that is to be given up for this one; 0 for a new one
   * @returns the first place of a region of that many words, or undefined when there is no room
   */
  take(words: number, replaced = 0): number | undefined {
    const size = PlaceAllocator.roundUp(words);
    const left = words > replaced ? this.#reserve : 0;
    return this.#find(size, left) ?? this.#findAgain(size, left);
  }

  /** Gives a region up; it is taken again only after every packet that may read it has passed. */
  retire(start: number, words: number): void {
    this.#retired.push({ start, size: PlaceAllocator.roundUp(words), atMs: this.#now() });
    if (this.#retired.length % 256 === 0) this.#settle();
  }

  /** Takes over the regions that an earlier process gave out, before any other is taken; what lies between them is free. */
  adopt(regions: readonly { readonly start: number; readonly words: number }[]): void {
    const capacity = this.#gaps.at(-1)?.end ?? 0;
    const gaps: Gap[] = [];
    let end = 0;
    for (const { start, words } of regions.toSorted((a, b) => a.start - b.start)) {
      if (start > end) gaps.push({ start: end, end: start });
      end = start + PlaceAllocator.roundUp(words);
    }
    if (capacity > end) gaps.push({ start: end, end: capacity });
    this.#gaps = gaps;
    this.#unused = gaps.reduce((sum, gap) => sum + gap.end - gap.start, 0);
  }

  /** @param left so many have to be left over */
  #find(size: number, left: number): number | undefined {
    if (this.#unused - size < left) return undefined;
    const found = this.#free.get(size)?.pop() ?? this.#carve(size);
    if (found !== undefined) this.#unused -= size;
    return found;
  }

  #findAgain(size: number, left: number): number | undefined {
    this.#settle();
    this.#merge();
    return this.#find(size, left);
  }

  /** From the first gap that is large enough. */
  #carve(size: number): number | undefined {
    const index = this.#gaps.findIndex(({ start, end }) => end - start >= size);
    const gap = this.#gaps[index];
    if (!gap) return undefined;
    if (gap.end - gap.start === size) this.#gaps.splice(index, 1);
    else this.#gaps[index] = { start: gap.start + size, end: gap.end };
    return gap.start;
  }

  /** What was given up has had its grace. */
  #settle(): void {
    const deadline = this.#now() - graceMs;
    const settled = this.#retired.filter((region) => region.atMs <= deadline);
    this.#retired = this.#retired.filter((region) => region.atMs > deadline);
    for (const { start, size } of settled) {
      this.#unused += size;
      const list = this.#free.get(size);
      if (list) list.push(start);
      else this.#free.set(size, [start]);
    }
  }

  /** Joins regions that lie side by side, so that larger ones fit where smaller ones were. */
  #merge(): void {
    const freed = [...this.#free].flatMap(([size, starts]) =>
      starts.map((start) => ({ start, end: start + size })),
    );
    if (freed.length === 0) return;
    this.#free.clear();
    const merged: Gap[] = [];
    for (const gap of [...this.#gaps, ...freed].sort((a, b) => a.start - b.start)) {
      const last = merged.at(-1);
      if (last?.end === gap.start) merged[merged.length - 1] = { start: last.start, end: gap.end };
      else merged.push(gap);
    }
    this.#gaps = merged;
  }
}
