// SPDX-License-Identifier: Apache-2.0
// Reading the maps: what ipvsadm's listings need, with or without a daemon.
import type { Connection } from '../../model/connection.ts';
import { addStatistics, noRates, noStatistics, type Rates } from '../../model/statistics.ts';
import { type BpfMap, possibleCpus } from '../../native/bpf-map.ts';
import type { DataPlaneView, DestinationStatus, VirtualServiceStatus } from '../data-plane.ts';
import { BpfMaps, onlyKey } from './bpf-maps.ts';
import {
  decodeConnection,
  decodeEstimate,
  decodeService,
  decodeStatistics,
  reasonNames,
  roundRates,
  type Settings,
} from './codec.ts';
import { readDestinations } from './destination-table.ts';
import { layouts } from './layouts.ts';
import { runPinned } from './program-pins.ts';
import { decode } from './struct.ts';

/** Opens the maps pinned under a folder for reading. Throws EnvironmentError where nothing is pinned, LayoutError. */
export function openBpfView(pinDirectory: string): BpfView {
  return new BpfView(BpfMaps.openPinned(pinDirectory), () => runPinned(pinDirectory, 'flush'));
}

export class BpfView implements DataPlaneView {
  readonly #maps: BpfMaps;
  readonly #flush: () => void;

  /**
   * Takes the maps over: closing the view closes them.
   * @param flush brings destinations' statistics up to date; without it they are as old as the last sweep
   */
  constructor(maps: BpfMaps, flush: () => void = () => {}) {
    this.#maps = maps;
    this.#flush = flush;
  }

  get connectionTableSize(): number {
    return this.#maps.get('connections').maxEntries;
  }

  services(): readonly VirtualServiceStatus[] {
    this.#flush();
    const destinations = this.#destinationsByService();
    return [...this.#maps.get('services').entries()].map(([key, value]) => {
      const { id, table, tableSize, ...definition } = decodeService(key, value);
      const own = destinations.get(id) ?? [];
      return {
        ...definition,
        destinations: own.filter((entry) => entry.isAvailable).map((entry) => entry.status),
        statistics: own.reduce((sum, entry) => addStatistics(sum, entry.status.statistics), noStatistics),
        rates: roundRates(own.reduce((sum, entry) => addStatistics(sum, entry.scaledRates), noRates)),
      };
    });
  }

  *connections(): Generator<Connection> {
    const map = this.#maps.get('connections');
    const settings = this.#settings();
    const now = this.now();
    let left = this.#shared().used_connections;
    const addresses6 = this.#maps.get('addresses6');
    for (const { count, keys, values } of map.chunks()) {
      for (let i = 0; i < count && left > 0; i++, left--) {
        const addresses = () => lookup(addresses6, keys.readUInt32LE(4 * i));
        const connection = decodeConnection(values, i * map.crossingSize, addresses, now, settings);
        if (connection) yield connection;
      }
      if (left <= 0) return;
    }
  }

  /** The programs' clock, nanoseconds: CLOCK_MONOTONIC, or the virtual one of tests. */
  now(): bigint {
    return this.#shared().virtual_now || process.hrtime.bigint();
  }

  /** Packets by reason, by the names of enum reason. */
  reasons(): ReadonlyMap<string, bigint> {
    const counts = new Map<string, bigint>();
    for (const [key, value] of this.#maps.get('reasons').entries()) {
      const perCpu = new BigUint64Array(value.buffer, value.byteOffset, value.length / 8);
      const name = reasonNames[key.readUInt32LE()];
      if (name !== undefined)
        counts.set(
          name,
          perCpu.reduce((sum, count) => sum + count, 0n),
        );
    }
    return counts;
  }

  close(): void {
    this.#maps.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #settings(): Settings {
    return decode(layouts.settings, this.#only('settings'));
  }

  #shared() {
    return decode(layouts.shared, this.#only('shared'));
  }

  #only(name: 'settings' | 'shared'): Uint8Array {
    const map = this.#maps.get(name);
    return map.lookup(onlyKey) ?? new Uint8Array(map.valueSize);
  }

  /** In the order of their adding. */
  #destinationsByService(): ReadonlyMap<number, readonly Entry[]> {
    const loads = this.#maps.get('destination_loads');
    const statistics = this.#maps.get('destination_statistics');
    const estimates = this.#maps.get('destination_estimates');
    const cpus = possibleCpus();
    const slots = [...readDestinations(this.#maps.get('destinations'))].sort((a, b) =>
      a.added < b.added ? -1 : 1,
    );
    const byService = new Map<number, Entry[]>();
    for (const { index, serviceId, destination, isAvailable } of slots) {
      const load = decode(layouts.destination_load, lookup(loads, index));
      const scaledRates = decodeEstimate(lookup(estimates, index));
      const status = {
        ...destination,
        activeConnections: load.active,
        inactiveConnections: Math.max(load.total - load.active, 0),
        statistics: decodeStatistics(lookup(statistics, index), 0, cpus),
        rates: roundRates(scaledRates),
      };
      const entry = { isAvailable, status, scaledRates };
      const own = byService.get(serviceId);
      if (own) own.push(entry);
      else byService.set(serviceId, [entry]);
    }
    return byService;
  }
}

/** A destination in the maps; those in the trash still count in their service's sums. */
interface Entry {
  readonly isAvailable: boolean;
  readonly status: DestinationStatus;
  readonly scaledRates: Rates;
}

function lookup(map: BpfMap, index: number): Uint8Array {
  return map.lookup(new Uint8Array(Uint32Array.of(index).buffer)) ?? new Uint8Array(map.crossingSize);
}
