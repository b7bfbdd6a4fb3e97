// SPDX-License-Identifier: Apache-2.0
// The maps that programs and user space share: their names, their pins, their sizes.
import { EnvironmentError, LayoutError } from '../../errors.ts';
import { BpfMap } from '../../native/bpf-map.ts';
import { enums, layouts } from './layouts.ts';
import type { TableSizes } from './options.ts';
import { pinExists } from './pin-directory.ts';
import { decode } from './struct.ts';

/**
 * A cache needs an entry for each address that clients ask for: one, but for services of a firewall mark. So many are there beyond that.
 */
const spareCacheEntries = 65_536;

/** Every map of bpf/lib/maps.h, with the number of its entries. */
const entriesOf = {
  services: (sizes) => sizes.services,
  source_ranges: () => 0,
  destinations: (sizes) => sizes.destinations,
  destination_loads: (sizes) => sizes.destinations,
  overloads: (sizes) => sizes.destinations,
  destination_traffic: (sizes) => sizes.destinations,
  destination_estimates: (sizes) => sizes.destinations,
  service_statistics: (sizes) => sizes.services + 1,
  places: (sizes) => sizes.places,
  caches: (sizes) => sizes.services,
  cached_addresses: (sizes) => sizes.services + spareCacheEntries,
  cached_destinations: (sizes) => sizes.services + spareCacheEntries,
  connections: (sizes) => sizes.connections,
  addresses6: (sizes) => sizes.connections,
  cold_connections: (sizes) => sizes.connections,
  next_hops: (sizes) => 2 * sizes.connections,
  free_connections: (sizes) => sizes.connections,
  flows: (sizes) => flowBuckets(sizes.connections),
  fragments: () => 0,
  sockets: (sizes) => sizes.connections,
  half_open: (sizes) => sizes.halfOpen,
  hosted_addresses: (sizes) => sizes.services,
  virtual_addresses: () => 0,
  destination_addresses: () => 0,
  reasons: () => enums.reason.REASON_COUNT,
  settings: () => 1,
  shared: () => 1,
  socket_connections: () => 0,
  orphaned_sockets: () => 0,
  bridge_ports: () => 0,
  pod_devices: () => 0,
  uplinks: () => 0,
  xdp_devices: () => 0,
  sweepers: () => 1,
  handlers: () => enums.handler.HANDLER_COUNT,
  linkless_handlers: () => enums.handler.HANDLER_COUNT,
} as const satisfies Record<string, (sizes: TableSizes) => number>;

/**
 * So many that both directions of all connections fill a seventh of the slots at most: then none of a billion tuples finds all of its
 * buckets full. A power of two.
 */
function flowBuckets(connections: number): number {
  return 2 ** Math.min(31, 1 + Math.ceil(Math.log2(connections)));
}

export type MapName = keyof typeof entriesOf;

export const mapNames = Object.keys(entriesOf) as readonly MapName[];

/** 0 for a map whose number of entries is not to be set. */
export function entriesFor(name: MapName, sizes: TableSizes): number {
  return entriesOf[name](sizes);
}

export function mapPin(pinDirectory: string, name: MapName): string {
  return `${pinDirectory}/maps/${name}`;
}

/** The key of an array's only entry. */
export const onlyKey = new Uint8Array(4);

/** The open maps. Whoever made it closes it. */
export class BpfMaps implements Disposable {
  readonly #maps: ReadonlyMap<MapName, BpfMap>;

  constructor(maps: ReadonlyMap<MapName, BpfMap>) {
    this.#maps = maps;
  }

  /**
   * Opens the maps pinned under a folder.
   * Throws EnvironmentError where there are none, LayoutError where another version made them, SystemError (EACCES, EPERM:
   * this process may not look).
   */
  static openPinned(pinDirectory: string): BpfMaps {
    if (!pinExists(mapPin(pinDirectory, 'settings'))) {
      throw new EnvironmentError(
        `No virtual services are pinned at ${pinDirectory}: \`bpvs run\` puts them there`,
      );
    }
    const opened = new Map<MapName, BpfMap>();
    const maps = new BpfMaps(opened);
    try {
      /* Another version may lack maps that this one has: first see which it is. */
      opened.set('settings', BpfMap.openPinned(mapPin(pinDirectory, 'settings')));
      maps.#checkVersion(pinDirectory);
      for (const name of mapNames) {
        if (name !== 'settings') opened.set(name, BpfMap.openPinned(mapPin(pinDirectory, name)));
      }
      return maps;
    } catch (error) {
      maps.close();
      throw error;
    }
  }

  get(name: MapName): BpfMap {
    const map = this.#maps.get(name);
    if (!map) throw new LayoutError(`Expected a map called ${name}, but the programs have none`);
    return map;
  }

  /** The tables whose entries are not as many as these sizes say, as those of an earlier process may be. */
  otherSizes(
    sizes: TableSizes,
  ): readonly { readonly table: MapName; readonly size: number; readonly asked: number }[] {
    return (['services', 'destinations', 'places', 'connections'] as const)
      .map((table) => ({ table, size: this.get(table).maxEntries, asked: sizes[table] }))
      .filter(({ size, asked }) => size !== asked);
  }

  close(): void {
    for (const map of this.#maps.values()) map.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #checkVersion(pinDirectory: string): void {
    const settings = this.get('settings');
    const value = settings.lookup(onlyKey);
    const version =
      value?.length === layouts.settings.size ? decode(layouts.settings, value).abi_version : undefined;
    if (version !== BigInt(enums.abi_version.ABI_VERSION)) {
      throw new LayoutError(
        `The maps at ${pinDirectory} were made by another version of BPVS (layout ${version ?? 'unknown'}, ` +
          `this one has ${enums.abi_version.ABI_VERSION}); \`bpvs cleanup\` removes them with their connections`,
      );
    }
  }
}
