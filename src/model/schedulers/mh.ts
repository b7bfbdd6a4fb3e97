// SPDX-License-Identifier: Apache-2.0
// Maglev hashing (ip_vs_mh.c): as sh, with a table in which few places change when destinations come and go.
import type { Address } from '../address.ts';
import { firstHashKey, fold, hsip, secondHashKey } from './hash.ts';
import {
  greatestCommonDivisor,
  type Member,
  type Request,
  type Scheduled,
  type Scheduler,
  usable,
} from './scheduler.ts';
import { clientNumber } from './sh.ts';

/** Places of the table (IP_VS_MH_TAB_INDEX: 12), and the most destinations that a service may have. */
export const maglevPlaces = 4093;
/** Weights are scaled down to numbers of at most so many bits (half of IP_VS_MH_TAB_INDEX). */
const weightBits = 6;

export interface MaglevMember {
  readonly address: Address;
  readonly port: number;
  readonly lastWeight: number;
}

/** Where a destination wants its places: the first one, and from each to the next. */
export function maglevPreference({ address, port }: MaglevMember): { first: number; step: number } {
  const x = (fold(address) + port) >>> 0;
  return {
    first: hsip(x, firstHashKey) % maglevPlaces,
    step: (hsip(x, secondHashKey) % (maglevPlaces - 1)) + 1,
  };
}

/** Places in a row that each destination takes in a round; all 0 if no one ever had a weight. */
function maglevTurns(list: readonly MaglevMember[]): number[] {
  const weights = list.map(({ lastWeight }) => lastWeight);
  const divisor = greatestCommonDivisor(weights) || 1;
  const highest = weights.reduce((a, b) => Math.max(a, b), 0) / divisor;
  const shift = Math.max(32 - Math.clz32(highest) - weightBits, 0);
  return weights.map((weight) => (weight === 0 ? 0 : Math.max((weight / divisor) >>> shift, 1)));
}

const free = -1;

/** Per place of the table a place of the list; empty if no destination gets any. */
export function maglevTable(list: readonly MaglevMember[]): number[] {
  const turnsOf = maglevTurns(list);
  const preferences = list.map(maglevPreference);
  const at = Int32Array.from(preferences, ({ first }) => first);
  const steps = Int32Array.from(preferences, ({ step }) => step);
  if (!turnsOf.some((turns) => turns > 0)) return [];
  const table = new Array<number>(maglevPlaces).fill(free);
  for (let left = maglevPlaces; ; ) {
    for (let place = 0; place < list.length; place++) {
      for (let turns = turnsOf[place] ?? 0; turns > 0; turns--) {
        const found = nextFree(table, at[place] ?? 0, steps[place] ?? 0);
        at[place] = found;
        table[found] = place;
        if (--left === 0) return table;
      }
    }
  }
}

function nextFree(table: readonly number[], from: number, step: number): number {
  let at = from;
  while (table[at] !== free) at = at + step < maglevPlaces ? at + step : at + step - maglevPlaces;
  return at;
}

export class MaglevHashing<M extends Member> implements Scheduler<M> {
  #table: readonly (M | undefined)[] = [];

  bind(service: Scheduled<M>): void {
    if (!this.#build(service)) {
      throw new RangeError(
        `Expected at most ${maglevPlaces} destinations for mh but received ${service.destinations.length}`,
      );
    }
  }

  destinationAdded(service: Scheduled<M>): void {
    this.#build(service);
  }

  destinationEdited(service: Scheduled<M>): void {
    this.#build(service);
  }

  destinationDeleted(service: Scheduled<M>): void {
    this.#build(service);
  }

  /** @returns false, and the table stays, if there are too many; the kernel ignores that but when it binds. */
  #build({ destinations }: Scheduled<M>): boolean {
    if (destinations.length > maglevPlaces) return false;
    this.#table = maglevTable(destinations).map((place) => destinations[place]);
    return true;
  }

  pick(service: Scheduled<M>, request: Request): M | undefined {
    const client = clientNumber(service, request);
    const at = (number: number) => this.#table[hsip(number >>> 0, firstHashKey) % maglevPlaces];
    const found = usable(at(client));
    if (found || !service.schedulerFlags.includes('flag-1')) return found;
    const first = hsip(client, firstHashKey) % maglevPlaces;
    for (let attempt = 0; attempt < maglevPlaces && this.#table.length > 0; attempt++) {
      const probed = usable(at(client + ((attempt + first) % maglevPlaces)));
      if (probed) return probed;
    }
    return undefined;
  }
}
