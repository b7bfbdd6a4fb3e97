// SPDX-License-Identifier: Apache-2.0
// Source hashing (ip_vs_sh.c): the client's address, and with sh-port its port, decides.
import { hashBits, hashPlaces } from './dh.ts';
import { fold, hash32 } from './hash.ts';
import { type Member, type Request, type Scheduled, type Scheduler, usable } from './scheduler.ts';

/**
 * Per place of the table a place of the list: each destination as many in a row as its weight, one at least, round and round
 * until all are given; empty for an empty list.
 */
export function sourceHashTable(list: readonly { readonly weight: number }[]): number[] {
  const table: number[] = [];
  while (list.length > 0 && table.length < hashPlaces) {
    for (const [place, { weight }] of list.entries()) {
      const turns = Math.min(Math.max(weight, 1), hashPlaces - table.length);
      for (let turn = 0; turn < turns; turn++) table.push(place);
    }
  }
  return table;
}

/** What a client is hashed by; flag-2 is sh-port and mh-port. */
export function clientNumber({ schedulerFlags }: Scheduled, { source, sourcePort }: Request): number {
  return (fold(source) + (schedulerFlags.includes('flag-2') ? sourcePort : 0)) >>> 0;
}

/** The place of the table that sh-fallback looks at in its attempt number `attempt`, from 0. */
export function sourceHashFallback(first: number, attempt: number): number {
  return (first + ((attempt + first) % hashPlaces)) % hashPlaces;
}

export class SourceHashing<M extends Member> implements Scheduler<M> {
  #table: readonly (M | undefined)[] = [];

  bind({ destinations }: Scheduled<M>): void {
    this.#table = sourceHashTable(destinations).map((place) => destinations[place]);
  }

  destinationAdded(service: Scheduled<M>): void {
    this.bind(service);
  }

  destinationEdited(service: Scheduled<M>): void {
    this.bind(service);
  }

  destinationDeleted(service: Scheduled<M>): void {
    this.bind(service);
  }

  pick(service: Scheduled<M>, request: Request): M | undefined {
    const first = hash32(clientNumber(service, request), hashBits);
    const found = usable(this.#table[first]);
    if (found || !service.schedulerFlags.includes('flag-1')) return found;
    for (let attempt = 0; attempt < hashPlaces; attempt++) {
      const probed = usable(this.#table[sourceHashFallback(first, attempt)]);
      if (probed) return probed;
    }
    return undefined;
  }
}
