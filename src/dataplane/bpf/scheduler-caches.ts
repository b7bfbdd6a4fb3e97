// SPDX-License-Identifier: Apache-2.0
// Caches of the schedulers lblc and lblcr: programs fill them, this process says which there are.
import type { BpfMap } from '../../native/bpf-map.ts';
import type { BpfMaps } from './bpf-maps.ts';
import { layouts } from './layouts.ts';
import { decode, encode } from './struct.ts';

export class SchedulerCaches {
  readonly #caches: BpfMap;
  readonly #addresses: BpfMap;
  readonly #destinations: BpfMap;
  readonly #programsNow: () => bigint;
  #last = 0n;

  /** @param programsNow nanoseconds of the clock that programs go by */
  constructor(maps: BpfMaps, programsNow: () => bigint) {
    this.#caches = maps.get('caches');
    this.#addresses = maps.get('cached_addresses');
    this.#destinations = maps.get('cached_destinations');
    this.#programsNow = programsNow;
  }

  /**
   * An empty cache.
   * @returns its number, which no cache had since the node was started: entries of an earlier one may be left for a while
   */
  open(): bigint {
    const now = process.hrtime.bigint();
    this.#last = now > this.#last ? now : this.#last + 1n;
    const cache = encode(layouts.cache, { bound: this.#programsNow(), entries: 0, surplus: 0 });
    this.#caches.update(keyOf(this.#last), cache);
    return this.#last;
  }

  /** Programs forget it at once; what it holds is removed within a minute. */
  drop(number: bigint): void {
    this.#caches.delete(keyOf(number));
  }

  /** Drops what an earlier process left that no service has. */
  dropOthers(numbers: ReadonlySet<bigint>): void {
    for (const key of [...this.#caches.keys()]) {
      if (!numbers.has(key.readBigUInt64LE())) this.#caches.delete(key);
    }
  }

  /** Indexes of the destinations that any cache may lead to: kernel IPVS keeps these in its trash. */
  destinations(): ReadonlySet<number> {
    const indexes = new Set<number>();
    for (const [, value] of this.#addresses.entries()) {
      indexes.add(decode(layouts.cached_address, value).destination);
    }
    for (const [key] of this.#destinations.entries()) {
      indexes.add(decode(layouts.cached_destination_key, key).destination);
    }
    return indexes;
  }
}

function keyOf(number: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(number).buffer);
}
