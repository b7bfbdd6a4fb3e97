// SPDX-License-Identifier: Apache-2.0
// The scheduler's table of one view of a virtual service: that of clients inside, which most services have alone, or outside.
import { OperationError } from '../../errors.ts';
import type { SchedulerName } from '../../model/scheduler.ts';
import {
  type ClientSide,
  type VirtualServiceDefinition,
  virtualServiceId,
} from '../../model/virtual-service.ts';
import type { BpfMap } from '../../native/bpf-map.ts';
import type { Slot } from './destination-table.ts';
import type { PlaceAllocator } from './place-allocator.ts';
import type { SchedulerCaches } from './scheduler-caches.ts';
import { buildTable, hasCache, isPlainList, stateAfterBind, stateAfterChange } from './schedulers.ts';
import { word } from './words.ts';

/** What a scheduler is told: it was given to the service with this list, or the list has become this. */
export interface SchedulerEvent {
  readonly kind: 'bound' | 'changed';
  readonly list: readonly Slot[];
}

/** Where a table is, and the service's destinations when it was made. */
export interface WrittenTable {
  readonly start: number;
  readonly size: number;
  readonly list: readonly Slot[];
  /** The number of its scheduler's cache, if it has one. */
  readonly cache: bigint | undefined;
}

/** Those of a service's destinations, in their order, that the view has. */
export function slotsOf(
  slots: readonly Slot[],
  { outside }: VirtualServiceDefinition,
  side: ClientSide,
): readonly Slot[] {
  if (!outside) return slots;
  return slots.filter(({ destination: { clients } }) => clients === undefined || clients === side);
}

export class ViewTables {
  readonly #places: BpfMap;
  readonly #allocator: PlaceAllocator;
  readonly #caches: SchedulerCaches;

  constructor(places: BpfMap, allocator: PlaceAllocator, caches: SchedulerCaches) {
    this.#places = places;
    this.#allocator = allocator;
    this.#caches = caches;
  }

  /** What an earlier process wrote. */
  adopt(
    { scheduler }: VirtualServiceDefinition,
    start: number,
    size: number,
    list: readonly Slot[],
  ): WrittenTable {
    return { start, size, list, cache: hasCache(scheduler) ? this.#read(start) : undefined };
  }

  /**
   * Makes a table where no packet looks yet; whoever does not show it to packets then takes it back with {@link retire}.
   * Throws OperationError (ENOSPC).
   * @param old the one that it takes the place of
   * @param events what the scheduler has been told since that was made
   */
  make(
    definition: VirtualServiceDefinition,
    side: ClientSide,
    slots: readonly Slot[],
    old: WrittenTable | undefined,
    events: readonly SchedulerEvent[],
  ): WrittenTable {
    const table = buildTable(definition.scheduler, slotsOf(slots, definition, side));
    const state = this.#state(definition, side, old, events);
    const size = table.length / 2;
    const cache = hasCache(definition.scheduler) ? state : undefined;
    const start = this.#allocator.take(1 + size, old ? 1 + old.size : 0);
    if (start === undefined) {
      this.#dropCache(cache, [old]);
      throw new OperationError(
        'ENOSPC',
        `The map places is full: no room for the table of ${virtualServiceId(definition)}`,
      );
    }
    const words = new Uint32Array(2 + table.length);
    words[0] = Number(state & 0xffff_ffffn);
    words[1] = Number(state >> 32n);
    words.set(table, 2);
    const indexes = new Uint32Array(1 + size);
    for (let i = 0; i < indexes.length; i++) indexes[i] = start + i;
    this.#places.updateBatch(new Uint8Array(indexes.buffer), new Uint8Array(words.buffer), indexes.length);
    return { start, size, list: slots, cache };
  }

  /**
   * Packets that have just read where it was may still look there.
   * @param staying tables that may have the same cache
   */
  retire({ start, size, cache }: WrittenTable, staying: readonly (WrittenTable | undefined)[] = []): void {
    this.#allocator.retire(start, 1 + size);
    this.#dropCache(cache, staying);
  }

  #dropCache(cache: bigint | undefined, staying: readonly (WrittenTable | undefined)[]): void {
    if (cache !== undefined && !staying.some((table) => table?.cache === cache)) this.#caches.drop(cache);
  }

  /** Whether an earlier process wrote the table for these destinations, as far as its size can tell. */
  isCurrent(
    definition: VirtualServiceDefinition,
    side: ClientSide,
    slots: readonly Slot[],
    { size }: WrittenTable,
  ): boolean {
    const own = slotsOf(slots, definition, side);
    if (isPlainList(definition.scheduler)) return size === own.length;
    return size === buildTable(definition.scheduler, own).length / 2;
  }

  /** The scheduler's state for the new table: what packets made of it, then what it has been told. */
  #state(
    definition: VirtualServiceDefinition,
    side: ClientSide,
    old: WrittenTable | undefined,
    events: readonly SchedulerEvent[],
  ): bigint {
    const { scheduler } = definition;
    let list = slotsOf(old?.list ?? [], definition, side);
    let state = old && events[0]?.kind !== 'bound' ? this.#read(old.start) : 0n;
    for (const event of events) {
      const next = slotsOf(event.list, definition, side);
      state =
        event.kind === 'bound'
          ? this.#stateAfterBind(scheduler, next)
          : stateAfterChange(scheduler, state, list, next);
      list = next;
    }
    return state;
  }

  #stateAfterBind(scheduler: SchedulerName, list: readonly Slot[]): bigint {
    return hasCache(scheduler) ? this.#caches.open() : stateAfterBind(scheduler, list);
  }

  #read(start: number): bigint {
    return this.#places.lookup(word(start))?.readBigUInt64LE() ?? 0n;
  }
}
