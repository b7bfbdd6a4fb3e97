// SPDX-License-Identifier: Apache-2.0
// Destination hashing (ip_vs_dh.c): the address that the client asked for decides.
import type { Address } from '../address.ts';
import { fold, hash32 } from './hash.ts';
import { type Member, type Request, type Scheduled, type Scheduler, usable } from './scheduler.ts';

/** Places of the table of dh, and of sh (IP_VS_DH_TAB_BITS, IP_VS_SH_TAB_BITS: 8). */
export const hashPlaces = 256;
export const hashBits = 8;

/** Per place of the table a place of the list of `length` destinations, in turn; empty for an empty list. */
export function destinationHashTable(length: number): number[] {
  return length === 0 ? [] : Array.from({ length: hashPlaces }, (_, place) => place % length);
}

/** The place of the table for packets to an address. */
export function destinationHashPlace(destination: Address): number {
  return hash32(fold(destination), hashBits);
}

export class DestinationHashing<M extends Member> implements Scheduler<M> {
  #table: readonly (M | undefined)[] = [];

  bind({ destinations }: Scheduled<M>): void {
    this.#table = destinationHashTable(destinations.length).map((place) => destinations[place]);
  }

  destinationAdded(service: Scheduled<M>): void {
    this.bind(service);
  }

  destinationDeleted(service: Scheduled<M>): void {
    this.bind(service);
  }

  pick(_: Scheduled<M>, { destination }: Request): M | undefined {
    return usable(this.#table[destinationHashPlace(destination)]);
  }
}
