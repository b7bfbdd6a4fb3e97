// SPDX-License-Identifier: Apache-2.0
// Virtual services in the maps: their entries, and their schedulers' tables.
import { BpvsError, OperationError } from '../../errors.ts';
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
import { buildTable, moveCursor } from './schedulers.ts';
import { ServiceStatistics } from './statistics.ts';

/** A virtual service as this process knows it. */
export interface ServiceEntry {
  definition: VirtualServiceDefinition;
  readonly id: number;
  /** Newest first, as the kernel's list. */
  slots: readonly Slot[];
  /** Where its table is; undefined until it is first written. */
  table: { readonly start: number; readonly members: readonly number[]; readonly size: number } | undefined;
  /** Scheduler that the table in the map was built for; another one begins anew. */
  builtFor: VirtualServiceDefinition['scheduler'] | undefined;
}

export class ServiceTableMap {
  readonly #services: BpfMap;
  readonly #places: BpfMap;
  readonly #statistics: ServiceStatistics;
  readonly #allocator: PlaceAllocator;
  readonly #filter: AddressFilter;
  readonly #hosted: HostedAddresses;
  readonly #entries = new Map<string, ServiceEntry>();
  /** Ids are not given twice: destinations in the trash keep that of a service that is gone. */
  #nextId = 0;

  /** @param now milliseconds of a clock that never goes back */
  constructor(maps: BpfMaps, filter: AddressFilter, hosted: HostedAddresses, now: () => number) {
    this.#filter = filter;
    this.#hosted = hosted;
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
      const members = slots.map((slot) => slot.index);
      this.#entries.set(virtualServiceId(definition), {
        definition,
        id,
        slots,
        table: { start: table, members, size: tableSize },
        builtFor: definition.scheduler,
      });
      this.#answer(definition);
      this.#nextId = Math.max(this.#nextId, id + 1);
      regions.push({ start: table, words: 1 + tableSize });
    }
    this.#allocator.adopt(regions);
    this.#statistics.adopt(new Set(Array.from(this.#entries.values(), ({ id }) => id)));
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
      builtFor: undefined,
    };
    this.#statistics.add(entry.id);
    this.#entries.set(virtualServiceId(definition), entry);
    this.#answer(definition);
    return entry;
  }

  delete(entry: ServiceEntry): void {
    this.#services.delete(encodeServiceKey(entry.definition));
    if (entry.table) this.#allocator.retire(entry.table.start, 1 + entry.table.size);
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
    const { definition, table: old } = entry;
    const members = entry.slots.map((slot) => slot.index);
    const table = buildTable(
      definition.scheduler,
      entry.slots.map(({ index, destination }) => ({ index, weight: destination.weight })),
    );
    const words = new Uint32Array(1 + table.length);
    words[0] = this.#state(entry, members);
    words.set(table, 1);
    const start = this.#allocator.take(words.length);
    if (start === undefined) {
      throw new OperationError(
        'ENOSPC',
        `The map places is full: no room for the table of ${virtualServiceId(definition)}`,
      );
    }
    const indexes = Uint32Array.from(words, (_, i) => start + i);
    this.#places.updateBatch(new Uint8Array(indexes.buffer), new Uint8Array(words.buffer), words.length);
    this.#writeEntry(
      definition,
      { id: entry.id, table: start, tableSize: table.length },
      start,
      words.length,
    );
    entry.table = { start, members, size: table.length };
    entry.builtFor = definition.scheduler;
    if (old) this.#allocator.retire(old.start, 1 + old.size);
  }

  #writeEntry(definition: VirtualServiceDefinition, where: ServiceTable, start: number, words: number): void {
    try {
      this.#services.update(encodeServiceKey(definition), encodeService(definition, where));
    } catch (error) {
      this.#allocator.retire(start, words);
      throw error instanceof BpvsError && error.code === 'E2BIG'
        ? new OperationError(
            'ENOSPC',
            `The map services is full with ${this.#services.maxEntries} virtual services`,
            { cause: error },
          )
        : error;
    }
  }

  /** The scheduler's state word for the new table. */
  #state({ definition, table, builtFor }: ServiceEntry, members: readonly number[]): number {
    if (definition.scheduler !== 'rr' || builtFor !== 'rr' || !table) return 0;
    const value = this.#places.lookup(new Uint8Array(Uint32Array.of(table.start).buffer));
    return moveCursor(value?.readUInt32LE() ?? 0, table.members, members);
  }
}
