// SPDX-License-Identifier: Apache-2.0
// Reading the maps: what ipvsadm's listings need, with or without a daemon.
import { EnvironmentError, OperationError } from '../../errors.ts';
import type { Connection } from '../../model/connection.ts';
import type { Counted } from '../../model/statistics.ts';
import type { TimeoutChanges, Timeouts } from '../../model/timeouts.ts';
import { type VirtualServiceKey, virtualServiceId } from '../../model/virtual-service.ts';
import type { BpfMap } from '../../native/bpf-map.ts';
import type { DataPlaneView, DestinationStatus, VirtualServiceStatus } from '../data-plane.ts';
import { BpfMaps, onlyKey } from './bpf-maps.ts';
import { decodeConnection, decodeService, reasonNames, type Settings, sideOfKey } from './codec.ts';
import { readDestinations } from './destination-table.ts';
import { layouts } from './layouts.ts';
import { type PinnedProgram, runPinned } from './program-pins.ts';
import { readTimeouts } from './settings.ts';
import { destinationStatistics, nodeStatistics, readServiceStatistics } from './statistics.ts';
import { decode } from './struct.ts';
import { word } from './words.ts';

/** Opens the maps pinned under a folder. Throws EnvironmentError where nothing is pinned, LayoutError. */
export function openBpfView(pinDirectory: string): BpfView {
  return new BpfView(BpfMaps.openPinned(pinDirectory), (name, words) => runPinned(pinDirectory, name, words));
}

/** Runs a program of those that are pinned, with words for its skb->cb. @returns false where there is none */
export type RunProgram = (name: PinnedProgram, words?: readonly number[]) => boolean;

export class BpfView implements DataPlaneView {
  readonly #maps: BpfMaps;
  readonly #run: RunProgram;

  /**
   * Takes the maps over: closing the view closes them.
   * @param run without it statistics are as old as the last sweep, and nothing can be set
   */
  constructor(maps: BpfMaps, run: RunProgram = () => false) {
    this.#maps = maps;
    this.#run = run;
  }

  get connectionTableSize(): number {
    return this.#maps.get('connections').maxEntries;
  }

  services(): readonly VirtualServiceStatus[] {
    this.#run('flush');
    const destinations = this.#destinationsByService();
    const numbers = readServiceStatistics(this.#maps);
    return [...this.#maps.get('services').entries()].flatMap(([key, value]) => {
      if (sideOfKey(key) === 'outside') return []; // the other entry of the same service tells all
      const { id, table, tableSize, ...definition } = decodeService(key, value);
      return { ...definition, ...numbers(id), destinations: destinations.get(id) ?? [] };
    });
  }

  totals(): Counted {
    this.#run('flush');
    return readServiceStatistics(this.#maps)(nodeStatistics);
  }

  zeroStatistics(service?: VirtualServiceKey): void {
    this.#mustRun('zero_statistics', [service === undefined ? nodeStatistics : this.#idOf(service)]);
  }

  timeouts(): Timeouts {
    return readTimeouts(this.#settings());
  }

  setTimeouts({ tcpSeconds = 0, tcpFinSeconds = 0, udpSeconds = 0 }: TimeoutChanges): void {
    this.#mustRun('set_timeouts', [tcpSeconds, tcpFinSeconds, udpSeconds]);
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

  /** The programs' clock, nanoseconds: that of bpf/lib/clock.h, or the virtual one of tests. */
  now(): bigint {
    const { virtual_now, clock_lead } = this.#shared();
    return virtual_now || process.hrtime.bigint() + clock_lead;
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

  #mustRun(name: PinnedProgram, words: readonly number[]): void {
    if (this.#run(name, words)) return;
    throw new EnvironmentError(`The program ${name} is not pinned: \`bpvs run\` puts it there`);
  }

  #idOf(service: VirtualServiceKey): number {
    const wanted = virtualServiceId(service);
    for (const [key, value] of this.#maps.get('services').entries()) {
      const { id, ...definition } = decodeService(key, value);
      if (sideOfKey(key) === 'inside' && virtualServiceId(definition) === wanted) return id;
    }
    throw new OperationError('ESRCH', `No such service: ${wanted}`);
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

  /** In the order of their adding, without those in the trash. */
  #destinationsByService(): ReadonlyMap<number, readonly DestinationStatus[]> {
    const loads = this.#maps.get('destination_loads');
    const numbers = destinationStatistics(this.#maps);
    const slots = [...readDestinations(this.#maps.get('destinations'))]
      .filter((slot) => slot.isAvailable)
      .sort((a, b) => (a.added < b.added ? -1 : 1));
    const byService = new Map<number, DestinationStatus[]>();
    for (const { index, serviceId, destination } of slots) {
      const load = decode(layouts.destination_load, lookup(loads, index));
      const status = {
        ...destination,
        ...numbers(index),
        activeConnections: load.active,
        inactiveConnections: Math.max(load.total - load.active, 0),
        persistentConnections: load.persistent,
      };
      const own = byService.get(serviceId);
      if (own) own.push(status);
      else byService.set(serviceId, [status]);
    }
    return byService;
  }
}

function lookup(map: BpfMap, index: number): Uint8Array {
  return map.lookup(word(index)) ?? new Uint8Array(map.crossingSize);
}
