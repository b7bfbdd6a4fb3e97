// SPDX-License-Identifier: Apache-2.0
// Which destinations have come to their upper threshold: kept by the programs (bpf/lib/overload.h), but for edits.
import type { VersionProfile } from '../../model/schedulers/scheduler.ts';
import type { Destination } from '../../model/virtual-service.ts';
import type { BpfMap } from '../../native/bpf-map.ts';
import type { BpfMaps } from './bpf-maps.ts';
import { layouts } from './layouts.ts';
import { decode } from './struct.ts';
import { word } from './words.ts';

type Thresholds = Pick<Destination, 'upperThreshold' | 'lowerThreshold'>;

export class Overloads {
  readonly #overloads: BpfMap;
  readonly #loads: BpfMap;
  readonly #profile: VersionProfile;

  constructor(maps: BpfMaps, profile: VersionProfile) {
    this.#overloads = maps.get('overloads');
    this.#loads = maps.get('destination_loads');
    this.#profile = profile;
  }

  /** Of a place that no connection refers to. */
  clear(index: number): void {
    this.#write(index, false);
  }

  /**
   * What an edit makes of it, after the new thresholds are there for the programs (ip_vs_ctl.c: __ip_vs_update_dest).
   * @returns what brings back what was, should the edit be taken back
   */
  thresholdsChanged(index: number, before: Thresholds, after: Thresholds): () => void {
    const was = this.#read(index);
    const becomes = this.#verdict(index, before, after);
    if (becomes === undefined) return () => {};
    this.#write(index, becomes);
    /* A packet may have come between the number and the verdict: the programs look once more, too. */
    if (this.#profile === 'recent') {
      const again = this.#verdict(index, before, after);
      if (again !== undefined && again !== becomes) this.#write(index, again);
    }
    return () => this.#write(index, was);
  }

  /** Undefined where it stays as it is. */
  #verdict(index: number, before: Thresholds, after: Thresholds): boolean | undefined {
    const { upperThreshold: upper = 0, lowerThreshold: lower = 0 } = after;
    const { upperThreshold: upperBefore = 0, lowerThreshold: lowerBefore = 0 } = before;
    if (this.#profile === 'classic') return upper === 0 || upper > upperBefore ? false : undefined;
    if (upper === upperBefore && lower === lowerBefore) return undefined;
    if (upper === 0) return false;
    const total = this.#total(index);
    if (total >= upper) return true;
    return total < (lower || upper - (upper >>> 2)) ? false : undefined;
  }

  #total(index: number): number {
    const load = this.#loads.lookup(word(index));
    return load ? decode(layouts.destination_load, load).total : 0;
  }

  #read(index: number): boolean {
    return (this.#overloads.lookup(word(index))?.readUInt32LE() ?? 0) !== 0;
  }

  #write(index: number, isOverloaded: boolean): void {
    this.#overloads.update(word(index), word(isOverloaded ? 1 : 0));
  }
}
