// SPDX-License-Identifier: Apache-2.0
// Destinations in the maps: their entries, and the trash where removed ones wait for the end of their connections.
import { OperationError } from '../../errors.ts';
import type { VersionProfile } from '../../model/schedulers/scheduler.ts';
import {
  type Destination,
  destinationId,
  type VirtualServiceKey,
  virtualServiceId,
} from '../../model/virtual-service.ts';
import type { BpfMap } from '../../native/bpf-map.ts';
import { AddressFilter } from './address-filter.ts';
import type { BpfMaps } from './bpf-maps.ts';
import { decodeDestination, encodeDestination } from './codec.ts';
import { layouts } from './layouts.ts';
import { Overloads } from './overloads.ts';
import type { SchedulerCaches } from './scheduler-caches.ts';
import type { ServiceKinds } from './service-kinds.ts';
import { decode } from './struct.ts';
import { word } from './words.ts';

/** A destination's place in the maps. */
export interface Slot {
  readonly index: number;
  readonly service: VirtualServiceKey;
  readonly serviceId: number;
  readonly destination: Destination;
  readonly added: bigint;
  /** The weight it was added with, or the last one since then that was not 0. */
  readonly lastWeight: number;
}

interface Removed {
  readonly slot: Slot;
  readonly atMs: number;
}

/** Kernel IPVS keeps a removed destination for 120 s at least, and while connections refer to it. */
const trashMs = 120_000;
const reclaimEveryMs = 60_000;

export class DestinationTable {
  readonly #destinations: BpfMap;
  readonly #loads: BpfMap;
  readonly #overloads: Overloads;
  readonly #zeroStatistics: (index: number) => void;
  /** Replies come from these addresses, also from those in the trash. */
  readonly #destinationFilter: AddressFilter;
  /** Requests of connections go to these addresses, also of services that are gone. */
  readonly #virtualFilter: AddressFilter;
  readonly #kinds: ServiceKinds;
  readonly #caches: SchedulerCaches;
  readonly #now: () => number;
  readonly #trash = new Map<string, Removed>();
  readonly #free: number[] = [];
  #end = 0;
  /** Places from here on are as the maps were made, all zeros. */
  #firstUnused: number;
  #added = 0n;
  #highestServiceId = -1;
  #reclaimedAtMs: number;
  #hasNewOrphans = false;

  /**
   * @param areMapsNew nobody has used them before
   * @param zeroStatistics has the counters of a place begin anew, after its service has got what was counted
   * @param now milliseconds of a clock that never goes back
   */
  constructor(
    maps: BpfMaps,
    areMapsNew: boolean,
    virtualFilter: AddressFilter,
    kinds: ServiceKinds,
    profile: VersionProfile,
    zeroStatistics: (index: number) => void,
    caches: SchedulerCaches,
    now: () => number,
  ) {
    this.#firstUnused = areMapsNew ? 0 : Number.POSITIVE_INFINITY;
    this.#overloads = new Overloads(maps, profile);
    this.#destinationFilter = new AddressFilter(maps.get('destination_addresses'));
    this.#virtualFilter = virtualFilter;
    this.#kinds = kinds;
    this.#destinations = maps.get('destinations');
    this.#loads = maps.get('destination_loads');
    this.#zeroStatistics = zeroStatistics;
    this.#caches = caches;
    this.#now = now;
    this.#reclaimedAtMs = now();
  }

  /** The highest id of a service that an adopted destination has, removed ones included; -1 if there is none. */
  get highestServiceId(): number {
    return this.#highestServiceId;
  }

  /** Takes over what an earlier process wrote. @returns the live destinations by service id, newest first */
  adopt(): ReadonlyMap<number, readonly Slot[]> {
    const live = new Map<number, Slot[]>();
    const used = new Set<number>();
    for (const { index, isAvailable, ...slot } of readDestinations(this.#destinations)) {
      used.add(index);
      this.#pass({ index, ...slot });
      this.#end = Math.max(this.#end, index + 1);
      if (slot.added > this.#added) this.#added = slot.added;
      this.#highestServiceId = Math.max(this.#highestServiceId, slot.serviceId);
      if (!isAvailable) this.#trash.set(identity(slot), { slot: { index, ...slot }, atMs: this.#now() });
      else if (live.get(slot.serviceId)?.push({ index, ...slot }) === undefined)
        live.set(slot.serviceId, [{ index, ...slot }]);
    }
    for (let index = 0; index < this.#end; index++) if (!used.has(index)) this.#free.push(index);
    for (const slots of live.values()) slots.sort((a, b) => (a.added < b.added ? 1 : -1));
    return live;
  }

  /**
   * Writes a new destination, or revives the removed one of the same identity with its connections and counters; if its service
   * was deleted meanwhile, counting begins anew (ip_vs_ctl.c: __ip_vs_update_dest).
   * @returns its place, and what undoes the adding as long as no packet was shown it
   */
  add(
    service: VirtualServiceKey,
    serviceId: number,
    destination: Destination,
  ): { slot: Slot; takeBack: () => void } {
    const id = identity({ service, destination });
    const removed = this.#trash.get(id);
    const index = removed?.slot.index ?? this.#take();
    const lastWeight = destination.weight;
    const slot = { index, service, serviceId, destination, added: ++this.#added, lastWeight };
    const isUnused = index >= this.#firstUnused;
    if (isUnused) this.#firstUnused = index + 1;
    if (removed) this.#hasNewOrphans = true;
    else {
      if (!isUnused) this.#clear(index);
      this.#pass(slot);
    }
    if (removed?.slot.serviceId !== serviceId && !isUnused) this.#zeroStatistics(index);
    this.#write(slot, true);
    const restore =
      removed && this.#overloads.thresholdsChanged(index, removed.slot.destination, destination);
    this.#trash.delete(id);
    const takeBack = () => {
      if (!removed) return this.#release(slot);
      this.remove(removed.slot);
      restore?.();
    };
    return { slot, takeBack };
  }

  #clear(index: number): void {
    this.#loads.update(word(index), new Uint8Array(this.#loads.valueSize));
    this.#overloads.clear(index);
  }

  /** Gives a destination another weight, other thresholds or another method, in its place. @returns as {@link add} */
  edit(slot: Slot, destination: Destination): { slot: Slot; takeBack: () => void } {
    const edited = { ...slot, destination, lastWeight: destination.weight || slot.lastWeight };
    this.#write(edited, true);
    const restore = this.#overloads.thresholdsChanged(slot.index, slot.destination, destination);
    const takeBack = () => {
      this.#write(slot, true);
      restore();
    };
    return { slot: edited, takeBack };
  }

  /** Active and inactive ones. */
  connections(slot: Slot): number {
    return this.#load(slot).total;
  }

  /** To the trash: it gets no new connections, and ends those it has as expire_nodest_conn says. */
  remove(slot: Slot): void {
    this.#write(slot, false);
    this.#trash.set(identity(slot), { slot, atMs: this.#now() });
    this.#hasNewOrphans = true;
    if (this.#now() - this.#reclaimedAtMs > reclaimEveryMs) this.#reclaim();
  }

  /** Whether since the last call connections have lost their destination, or found it again. */
  takeNewOrphans(): boolean {
    const hasNewOrphans = this.#hasNewOrphans;
    this.#hasNewOrphans = false;
    return hasNewOrphans;
  }

  #take(): number {
    if (this.#free.length === 0 && this.#end >= this.#destinations.maxEntries) this.#reclaim();
    const index = this.#free.pop();
    if (index !== undefined) return index;
    if (this.#end >= this.#destinations.maxEntries) {
      throw new OperationError(
        'ENOSPC',
        `The map destinations is full with ${this.#destinations.maxEntries} real servers`,
      );
    }
    return this.#end++;
  }

  /** Empties the trash of those that have waited long enough and that no connection and no scheduler's cache refers to. */
  #reclaim(): void {
    const now = this.#now();
    this.#reclaimedAtMs = now;
    const old = [...this.#trash].filter(([, { atMs }]) => now - atMs >= trashMs);
    const cached = old.length > 0 ? this.#caches.destinations() : new Set();
    for (const [id, { slot }] of old) {
      if (this.#isReferredTo(slot) || cached.has(slot.index)) continue;
      this.#trash.delete(id);
      this.#release(slot);
    }
  }

  #isReferredTo(slot: Slot): boolean {
    const { total, persistent } = this.#load(slot);
    return total > 0 || persistent > 0;
  }

  #load(slot: Slot) {
    const value = this.#loads.lookup(word(slot.index)) ?? new Uint8Array(this.#loads.valueSize);
    return decode(layouts.destination_load, value);
  }

  /** Frees the place of a destination that no connection refers to. */
  #release(slot: Slot): void {
    this.#destinations.update(word(slot.index), new Uint8Array(layouts.destination.size));
    this.#destinationFilter.remove(slot.destination.address);
    this.#virtualFilter.removeService(slot.service);
    this.#kinds.removeDestination(slot.destination.address);
    this.#free.push(slot.index);
  }

  /** Lets the packets of its connections through the filters. */
  #pass(slot: Slot): void {
    this.#kinds.addDestination(slot.destination.address);
    this.#destinationFilter.add(slot.destination.address);
    this.#virtualFilter.addService(slot.service);
  }

  #write(slot: Slot, isAvailable: boolean): void {
    this.#destinations.update(word(slot.index), encodeDestination({ ...slot, isAvailable }));
  }
}

/** All entries in use, those in the trash included. */
export function* readDestinations(map: BpfMap): Generator<Slot & { readonly isAvailable: boolean }> {
  for (const { count, keys, values } of map.chunks()) {
    for (let i = 0; i < count; i++) {
      const entry = decodeDestination(values, i * map.crossingSize);
      if (entry) yield { index: keys.readUInt32LE(4 * i), ...entry };
    }
  }
}

function identity(slot: Pick<Slot, 'service' | 'destination'>): string {
  return `${virtualServiceId(slot.service)} ${destinationId(slot.destination)}`;
}
