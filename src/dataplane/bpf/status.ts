// SPDX-License-Identifier: Apache-2.0
// What is pinned and attached, as numbers.
import type { Statistics } from '../../model/statistics.ts';
import { listLinks } from '../../native/netlink.ts';
import { missingForDestroying } from '../../native/socket-diagnostics.ts';
import { hasClassifiers, listAttachments } from './attachments.ts';
import { BpfMaps, onlyKey } from './bpf-maps.ts';
import { readDestinations } from './destination-table.ts';
import { layouts } from './layouts.ts';
import { decode } from './struct.ts';
import { BpfView } from './view.ts';
import { readRefusals } from './xdp-attachments.ts';

export interface TableFill {
  readonly used: number;
  readonly size: number;
}

export interface DeviceStatus {
  readonly name: string;
  readonly hook: 'tcx' | 'clsact';
  readonly hasXdp: boolean;
  /** Why it has none, where it should; else null. */
  readonly xdpRefusal: string | null;
}

export interface DataPlaneStatus {
  readonly layoutVersion: number;
  /** A device that is gone is called by its index. */
  readonly devices: readonly DeviceStatus[];
  /** By the inode of the control group; 1 is the root. */
  readonly cgroups: readonly { readonly id: number; readonly programs: number }[];
  /** Why the host's sockets keep destinations that are removed; null where they do not. */
  readonly missingForSocketExpiry: string | null;
  /** Destinations include removed ones that wait for the end of their connections. */
  readonly tables: Readonly<Record<'services' | 'destinations' | 'connections', TableFill>>;
  /** Connections by state, states without any left out. */
  readonly states: Readonly<Record<string, number>>;
  /** What all services have counted, deleted ones included; as old as two sweeps. */
  readonly counted: Readonly<Record<keyof Statistics, number>>;
  /** Packets by reason, reasons without any left out. */
  readonly reasons: Readonly<Record<string, number>>;
}

/** Throws EnvironmentError where nothing is pinned, LayoutError, SystemError. */
export function readStatus(pinDirectory: string): DataPlaneStatus {
  using maps = BpfMaps.openPinned(pinDirectory);
  const view = new BpfView(maps);
  const states: Record<string, number> = {};
  let connections = 0;
  for (const { state } of view.connections()) {
    states[state] = (states[state] ?? 0) + 1;
    connections++;
  }
  const settings = maps.get('settings').lookup(onlyKey);
  const used = {
    services: count(maps.get('services').keys()),
    destinations: count(readDestinations(maps.get('destinations'))),
    connections,
  };
  const fill = (name: keyof typeof used) => ({ used: used[name], size: maps.get(name).maxEntries });
  return {
    layoutVersion: settings ? Number(decode(layouts.settings, settings).abi_version) : 0,
    ...attachments(pinDirectory, readRefusals(maps.get('xdp_devices'))),
    missingForSocketExpiry: missingForDestroying() ?? null,
    tables: {
      services: fill('services'),
      destinations: fill('destinations'),
      connections: fill('connections'),
    },
    states,
    counted: numbers(view.totals().statistics),
    reasons: Object.fromEntries(
      [...view.reasons()].flatMap(([name, n]) => (n > 0n ? [[name, Number(n)]] : [])),
    ),
  };
}

function attachments(
  pinDirectory: string,
  refusals: ReadonlyMap<number, string>,
): Pick<DataPlaneStatus, 'devices' | 'cgroups'> {
  const links = listLinks();
  const all = listAttachments(pinDirectory);
  const targets = (kind: 'tcx' | 'xdp') =>
    new Set(all.filter((each) => each.kind === kind).map(({ target }) => target));
  const byTarget = Map.groupBy(
    all.filter(({ kind }) => kind === 'cgroup'),
    ({ target }) => target,
  );
  const xdp = targets('xdp');
  const names = new Map(links.map((link) => [link.index, link.name]));
  const device = (index: number, hook: DeviceStatus['hook']): DeviceStatus => ({
    name: names.get(index) ?? `#${index}`,
    hook,
    hasXdp: xdp.has(index),
    xdpRefusal: refusals.get(index) ?? null,
  });
  return {
    devices: [
      ...[...targets('tcx')].map((index) => device(index, 'tcx')),
      ...links.filter((link) => hasClassifiers(link.index)).map((link) => device(link.index, 'clsact')),
    ],
    cgroups: [...byTarget].map(([id, each]) => ({ id, programs: each.length })),
  };
}

function numbers(statistics: Statistics): Record<keyof Statistics, number> {
  const { connections, inPackets, outPackets, inBytes, outBytes } = statistics;
  return {
    connections: Number(connections),
    inPackets: Number(inPackets),
    outPackets: Number(outPackets),
    inBytes: Number(inBytes),
    outBytes: Number(outBytes),
  };
}

function count(items: Iterable<unknown>): number {
  let n = 0;
  for (const _ of items) n++;
  return n;
}
