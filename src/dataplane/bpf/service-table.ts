// SPDX-License-Identifier: Apache-2.0
// Virtual services in the maps: their entries, and their schedulers' tables.
import { BpvsError, OperationError } from '../../errors.ts';
import type { SchedulerName } from '../../model/scheduler.ts';
import {
  type VirtualServiceDefinition,
  type VirtualServiceKey,
  virtualServiceId,
} from '../../model/virtual-service.ts';
import type { BpfMap } from '../../native/bpf-map.ts';
import type { AddressFilter } from './address-filter.ts';
import type { BpfMaps } from './bpf-maps.ts';
import { decodeService, encodeService, encodeServiceKey, type ServiceTable } from './codec.ts';
import type { Slot } from './destination-table.ts';
import type { HostedAddresses } from './hosted-addresses.ts';
import { PlaceAllocator } from './place-allocator.ts';
import type { SchedulerCaches } from './scheduler-caches.ts';
import {
  buildTable,
  hasCache,
  isPlainList,
  stateAfterBind,
  stateAfterChange,
  type TableList,
  type TableWords,
} from './schedulers.ts';
import { ServiceStatistics } from './statistics.ts';

/** A virtual service as this process knows it. */
export interface ServiceEntry {
  definition: VirtualServiceDefinition;
  readonly id: number;
  /** Newest first, as the kernel's list. */
  slots: readonly Slot[];
  /** Where its table is, and the list it was made from; undefined until it is first written. */
  table: { readonly start: number; readonly size: number; readonly list: TableList } | undefined;
  /** The number of its scheduler's cache, if it has one. */
  cache: bigint | undefined;
  /** What its scheduler has been told since then: it takes one after the other, as the kernel's does. */
  events: readonly SchedulerEvent[];
}

/** It was given to the service with this list, or the list has become this. */
export interface SchedulerEvent {
  readonly kind: 'bound' | 'changed';
  readonly list: TableList;
}

export class ServiceTableMap {
  readonly #services: BpfMap;
  readonly #places: BpfMap;
  readonly #statistics: ServiceStatistics;
  readonly #allocator: PlaceAllocator;
  readonly #filter: AddressFilter;
  readonly #hosted: HostedAddresses;
  readonly #caches: SchedulerCaches;
  readonly #entries = new Map<string, ServiceEntry>();
  /** Ids are not given twice: destinations in the trash keep that of a service that is gone. */
  #nextId = 0;

  /** @param now milliseconds of a clock that never goes back */
  constructor(
    maps: BpfMaps,
    filter: AddressFilter,
    hosted: HostedAddresses,
    caches: SchedulerCaches,
    now: () => number,
  ) {
    this.#filter = filter;
    this.#hosted = hosted;
    this.#caches = caches;
    this.#services = maps.get('services');
    this.#statistics = new ServiceStatistics(maps);
    this.#places = maps.get('places');
    this.#allocator = new PlaceAllocator(this.#places.maxEntries, now);
  }

  get(key: VirtualServiceKey): ServiceEntry | undefined {
    return this.#entries.get(virtualServiceId(key));
  }

  entries(): Iterable<ServiceEntry> {
    return this.#entries.values();
  }

  /**
   * Takes over what an earlier process wrote.
   * @param slotsOf the live destinations by service id, newest first
   * @param highestId the highest id that any destination has
   */
  adopt(slotsOf: ReadonlyMap<number, readonly Slot[]>, highestId: number): void {
    this.#nextId = highestId + 1;
    const regions: { start: number; words: number }[] = [];
    for (const [key, value] of this.#services.entries()) {
      const { id, table, tableSize, ...definition } = decodeService(key, value);
      const slots = slotsOf.get(id) ?? [];
      this.#entries.set(virtualServiceId(definition), {
        definition,
        id,
        slots,
        table: { start: table, size: tableSize, list: slots },
        cache: hasCache(definition.scheduler) ? this.#readState(table) : undefined,
        events: [],
      });
      this.#answer(definition);
      this.#nextId = Math.max(this.#nextId, id + 1);
      regions.push({ start: table, words: 1 + tableSize });
    }
    this.#allocator.adopt(regions);
    this.#statistics.adopt(new Set(Array.from(this.#entries.values(), ({ id }) => id)));
    const caches = [...this.entries()].flatMap(({ cache }) => cache ?? []);
    this.#caches.dropOthers(new Set(caches));
  }

  /** A new service without destinations, known here only until it is written. */
  add(definition: VirtualServiceDefinition): ServiceEntry {
    if (this.#entries.size >= this.#services.maxEntries) {
      throw new OperationError(
        'ENOSPC',
        `The map services is full with ${this.#services.maxEntries} virtual services`,
      );
    }
    const entry: ServiceEntry = {
      definition,
      id: this.#nextId++,
      slots: [],
      table: undefined,
      cache: undefined,
      events: [{ kind: 'bound', list: [] }],
    };
    this.#statistics.add(entry.id);
    this.#entries.set(virtualServiceId(definition), entry);
    this.#answer(definition);
    return entry;
  }

  delete(entry: ServiceEntry): void {
    this.#services.delete(encodeServiceKey(entry.definition));
    if (entry.table) this.#allocator.retire(entry.table.start, 1 + entry.table.size);
    if (entry.cache !== undefined) this.#caches.drop(entry.cache);
    this.#entries.delete(virtualServiceId(entry.definition));
    this.#statistics.delete(entry.id);
    this.#filter.removeService(entry.definition);
    if (entry.definition.mark === undefined) this.#hosted.remove(entry.definition.address);
  }

  /** Lets a service's packets pass the filter, and what else a host answers at its address. */
  #answer(service: VirtualServiceKey): void {
    this.#filter.addService(service);
    if (service.mark === undefined) this.#hosted.add(service.address);
  }

  /** Writes a service so that packets see either all that was or all that is: a new table first, the entry that points to it last. */
  write(entry: ServiceEntry): void {
    if (entry.events.length > 0) this.#writeTable(entry, buildTable(entry.definition.scheduler, entry.slots));
    else if (entry.table) this.#writeEntry(entry, entry.table);
  }

  /** An earlier process may have ended between writing a destination and the table that holds it. */
  refresh(entry: ServiceEntry): void {
    const { scheduler } = entry.definition;
    const { table: old, slots } = entry;
    if (!old || (isPlainList(scheduler) && old.size === slots.length)) return;
    const table = buildTable(scheduler, slots);
    if (old.size !== table.length / 2) entry.events = [{ kind: 'changed', list: slots }];
    this.#writeTable(entry, table);
  }

  #writeTable(entry: ServiceEntry, table: TableWords): void {
    const state = this.#state(entry);
    const before = entry.cache;
    const cache = hasCache(entry.definition.scheduler) ? state : undefined;
    try {
      this.#place(entry, state, table);
    } catch (error) {
      if (cache !== undefined && cache !== before) this.#caches.drop(cache);
      throw error;
    }
    entry.cache = cache;
    if (before !== undefined && before !== cache) this.#caches.drop(before);
  }

  /** Finds a place for the table, writes it there, and makes the entry point to it. */
  #place(entry: ServiceEntry, state: bigint, table: TableWords): void {
    const old = entry.table;
    const size = table.length / 2;
    const start = this.#allocator.take(1 + size);
    if (start === undefined) {
      throw new OperationError(
        'ENOSPC',
        `The map places is full: no room for the table of ${virtualServiceId(entry.definition)}`,
      );
    }
    const words = new Uint32Array(2 + table.length);
    words[0] = Number(state & 0xffff_ffffn);
    words[1] = Number(state >> 32n);
    words.set(table, 2);
    const indexes = new Uint32Array(1 + size);
    for (let i = 0; i < indexes.length; i++) indexes[i] = start + i;
    this.#places.updateBatch(new Uint8Array(indexes.buffer), new Uint8Array(words.buffer), indexes.length);
    try {
      this.#writeEntry(entry, { start, size });
    } catch (error) {
      this.#allocator.retire(start, 1 + size);
      throw error;
    }
    entry.table = { start, size, list: entry.slots };
    entry.events = [];
    if (old) this.#allocator.retire(old.start, 1 + old.size);
  }

  #writeEntry({ definition, id }: ServiceEntry, where: { start: number; size: number }): void {
    const table: ServiceTable = { id, table: where.start, tableSize: where.size };
    try {
      this.#services.update(encodeServiceKey(definition), encodeService(definition, table));
    } catch (error) {
      throw error instanceof BpvsError && error.code === 'E2BIG'
        ? new OperationError(
            'ENOSPC',
            `The map services is full with ${this.#services.maxEntries} virtual services`,
            { cause: error },
          )
        : error;
    }
  }

  /** The scheduler's state for the new table: what packets made of it, then what it has been told. */
  #state({ definition: { scheduler }, table, events }: ServiceEntry): bigint {
    let list = table?.list ?? [];
    let state = table && events[0]?.kind !== 'bound' ? this.#readState(table.start) : 0n;
    for (const event of events) {
      state =
        event.kind === 'bound'
          ? this.#stateAfterBind(scheduler, event.list)
          : stateAfterChange(scheduler, state, list, event.list);
      list = event.list;
    }
    return state;
  }

  #stateAfterBind(scheduler: SchedulerName, list: TableList): bigint {
    return hasCache(scheduler) ? this.#caches.open() : stateAfterBind(scheduler, list);
  }

  #readState(start: number): bigint {
    return this.#places.lookup(new Uint8Array(Uint32Array.of(start).buffer))?.readBigUInt64LE() ?? 0n;
  }
}
