// SPDX-License-Identifier: Apache-2.0
// Virtual services in the maps: their entries, and their schedulers' tables.
import { BpvsError, OperationError } from '../../errors.ts';
import {
  type ClientSide,
  serviceFamily,
  type VirtualServiceDefinition,
  type VirtualServiceKey,
  virtualServiceId,
} from '../../model/virtual-service.ts';
import type { BpfMap } from '../../native/bpf-map.ts';
import type { AddressFilter } from './address-filter.ts';
import type { BpfMaps } from './bpf-maps.ts';
import {
  decodeService,
  encodeService,
  encodeServiceKey,
  hasSourceRanges,
  type ServiceTable,
  sideOfKey,
} from './codec.ts';
import type { Slot } from './destination-table.ts';
import type { HostedAddresses } from './hosted-addresses.ts';
import { PlaceAllocator } from './place-allocator.ts';
import type { SchedulerCaches } from './scheduler-caches.ts';
import { isPlainList } from './schedulers.ts';
import type { ServiceKinds } from './service-kinds.ts';
import { SourceRanges } from './source-ranges.ts';
import { ServiceStatistics } from './statistics.ts';
import { type SchedulerEvent, ViewTables, type WrittenTable } from './view-table.ts';

/** A virtual service as this process knows it. */
export interface ServiceEntry {
  definition: VirtualServiceDefinition;
  readonly id: number;
  /** Newest first, as the kernel's list. */
  slots: readonly Slot[];
  /** Of each view that it has; undefined until it is first written. */
  tables: Readonly<Partial<Record<ClientSide, WrittenTable | undefined>>>;
  /** What its scheduler has been told since then: it takes one after the other, as the kernel's does. */
  events: readonly SchedulerEvent[];
}

export class ServiceTableMap {
  readonly #services: BpfMap;
  readonly #tables: ViewTables;
  readonly ranges: SourceRanges;
  readonly #statistics: ServiceStatistics;
  readonly #allocator: PlaceAllocator;
  readonly #filter: AddressFilter;
  readonly #hosted: HostedAddresses;
  readonly #kinds: ServiceKinds;
  readonly #caches: SchedulerCaches;
  readonly #entries = new Map<string, ServiceEntry>();
  /** Ids are not given twice: destinations in the trash keep that of a service that is gone. */
  #nextId = 0;

  /** @param now milliseconds of a clock that never goes back */
  constructor(
    maps: BpfMaps,
    filter: AddressFilter,
    hosted: HostedAddresses,
    kinds: ServiceKinds,
    caches: SchedulerCaches,
    now: () => number,
  ) {
    this.#filter = filter;
    this.#hosted = hosted;
    this.#kinds = kinds;
    this.#caches = caches;
    this.#services = maps.get('services');
    this.#statistics = new ServiceStatistics(maps);
    this.ranges = new SourceRanges(maps.get('source_ranges'));
    this.#allocator = new PlaceAllocator(maps.get('places').maxEntries, now);
    this.#tables = new ViewTables(maps.get('places'), this.#allocator, caches);
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
    const outside = new Map<number, WrittenTable>();
    const written = [...this.#services.entries()];
    for (const [key, value] of written) {
      const { id, table, tableSize, ...definition } = decodeService(key, value);
      if (sideOfKey(key) === 'outside')
        outside.set(id, this.#tables.adopt(definition, table, tableSize, slotsOf.get(id) ?? []));
      this.#nextId = Math.max(this.#nextId, id + 1);
      regions.push({ start: table, words: 1 + tableSize });
    }
    for (const [key, value] of written) {
      if (sideOfKey(key) === 'outside') continue;
      const { id, table, tableSize, ...terms } = decodeService(key, value);
      const sourceRanges = hasSourceRanges(value) && this.ranges.adopted(id, serviceFamily(terms));
      const definition = { ...terms, ...(sourceRanges && { sourceRanges }) };
      const slots = slotsOf.get(id) ?? [];
      const inside = this.#tables.adopt(definition, table, tableSize, slots);
      const tables = { inside, outside: outside.get(id) };
      this.#entries.set(virtualServiceId(definition), { definition, id, slots, tables, events: [] });
      this.#answer(definition);
    }
    this.#allocator.adopt(regions);
    const withRanges = [...this.entries()].filter(({ definition }) => definition.sourceRanges);
    this.ranges.forgetOthers(new Set(withRanges.map(({ id }) => id)));
    this.#statistics.adopt(new Set(Array.from(this.#entries.values(), ({ id }) => id)));
    const caches = [...this.entries()].flatMap(({ tables: { inside, outside } }) =>
      [inside?.cache, outside?.cache].filter((cache) => cache !== undefined),
    );
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
      tables: {},
      events: [{ kind: 'bound', list: [] }],
    };
    this.#statistics.add(entry.id);
    this.#entries.set(virtualServiceId(definition), entry);
    this.#answer(definition);
    return entry;
  }

  delete(entry: ServiceEntry): void {
    this.#services.delete(encodeServiceKey(entry.definition));
    this.#deleteOutside(entry);
    if (entry.tables.inside) this.#tables.retire(entry.tables.inside);
    this.ranges.keepOnly(entry.id, []);
    this.#entries.delete(virtualServiceId(entry.definition));
    this.#statistics.delete(entry.id);
    this.#kinds.remove(entry.definition);
    this.#filter.removeService(entry.definition);
    if (entry.definition.mark === undefined) this.#hosted.remove(entry.definition.address);
  }

  /** Lets a service's packets pass the filter, and what else a host answers at its address. */
  #answer(service: VirtualServiceKey): void {
    this.#kinds.add(service);
    this.#filter.addService(service);
    if (service.mark === undefined) this.#hosted.add(service.address);
  }

  /**
   * Writes a service so that packets see either all that was or all that is: new tables first, then the entry of clients
   * outside, last the one that points to it. Clients are let in before the entry asks for whom it is, others sent away after.
   * @param needsTables false where the tables that are there go on
   */
  write(entry: ServiceEntry, needsTables: boolean = entry.events.length > 0): void {
    const { definition, slots, events, id } = entry;
    const ranges = definition.sourceRanges ?? [];
    this.ranges.add(id, ranges);
    const made: WrittenTable[] = [];
    const current = (side: ClientSide): WrittenTable => {
      const old = entry.tables[side];
      if (old && !needsTables) return old;
      const knowsAll = old !== undefined || events[0]?.kind === 'bound';
      const told: readonly SchedulerEvent[] = knowsAll ? events : [{ kind: 'bound', list: slots }];
      const table = this.#tables.make(definition, side, slots, old, told);
      made.push(table);
      return table;
    };
    const former = entry.tables;
    try {
      const outside = definition.outside && current('outside');
      const inside = current('inside');
      if (outside) this.#writeEntry(entry, 'outside', outside);
      this.#writeEntry(entry, 'inside', inside);
      entry.tables = { inside, outside: outside ?? former.outside };
    } catch (error) {
      for (const table of made) this.#tables.retire(table, [former.inside, former.outside]);
      if (definition.outside && !former.outside)
        this.#services.delete(encodeServiceKey(definition, 'outside'));
      throw error;
    }
    entry.events = [];
    if (!definition.outside) this.#deleteOutside(entry);
    this.ranges.keepOnly(id, ranges);
    for (const old of [former.inside, definition.outside && former.outside])
      if (old && old !== entry.tables.inside && old !== entry.tables.outside)
        this.#tables.retire(old, [entry.tables.inside, entry.tables.outside]);
  }

  /** An earlier process may have ended between writing a destination and the table that holds it. */
  refresh(entry: ServiceEntry): void {
    const { definition, slots, tables } = entry;
    if (!tables.inside) return;
    const isCurrent = (side: ClientSide, table: WrittenTable | undefined) =>
      table !== undefined && this.#tables.isCurrent(definition, side, slots, table);
    const areSizesRight =
      isCurrent('inside', tables.inside) &&
      (definition.outside ? isCurrent('outside', tables.outside) : !tables.outside);
    if (areSizesRight && isPlainList(definition.scheduler)) return;
    if (!areSizesRight) entry.events = [{ kind: 'changed', list: slots }];
    this.write(entry, true);
  }

  /** Nobody is sent there any more. */
  #deleteOutside(entry: ServiceEntry): void {
    const { outside } = entry.tables;
    if (!outside) return;
    this.#services.delete(encodeServiceKey(entry.definition, 'outside'));
    this.#tables.retire(outside);
    entry.tables = { ...entry.tables, outside: undefined };
  }

  #writeEntry({ definition, id }: ServiceEntry, side: ClientSide, { start, size }: WrittenTable): void {
    const table: ServiceTable = { id, table: start, tableSize: size };
    try {
      this.#services.update(encodeServiceKey(definition, side), encodeService(definition, table, side));
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
}
