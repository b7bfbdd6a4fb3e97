// SPDX-License-Identifier: Apache-2.0
// The table of virtual services and real servers, as ipvsadm 1.31 prints it.
import type { DestinationStatus, VirtualServiceStatus } from '../dataplane/data-plane.ts';
import { type Address, addressFamily } from '../model/address.ts';
import { formatSchedulerFlags } from '../model/scheduler.ts';
import type { Rates, Statistics } from '../model/statistics.ts';
import type { ForwardingMethod, VirtualServiceKey } from '../model/virtual-service.ts';
import { formatSocketAddress, type Names } from './names.ts';
import { formatPersistence } from './persistence.ts';
import { sortDestinations, sortServices } from './sort.ts';

export type ListingFormat = 'plain' | 'stats' | 'rate' | 'thresholds' | 'persistent';

export interface ListingOptions {
  readonly format: ListingFormat;
  /** All digits of large counters (`--exact`). */
  readonly isExact: boolean;
  /** False leaves services as they come and real servers newest first (`--nosort`). */
  readonly isSorted: boolean;
  readonly names: Names;
}

/** One format: two title lines, and what follows the name of a service and of a real server in their lines. */
interface Format {
  readonly titles: readonly [service: string, destination: string];
  readonly nameWidth: number;
  service(service: VirtualServiceStatus, number: NumberFormat): string;
  destination(destination: DestinationStatus, number: NumberFormat): string;
}

type NumberFormat = (value: bigint) => string;

const addressTitle = 'Prot LocalAddress:Port'.padEnd(33);

const formats: Record<ListingFormat, Format> = {
  plain: {
    titles: [
      'Prot LocalAddress:Port Scheduler Flags',
      '  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn',
    ],
    nameWidth: 0,
    service: formatScheduler,
    destination: (destination) =>
      columns([
        [methodNames[destination.forwarding], 7],
        [destination.weight, 6],
        [destination.activeConnections, 10],
        [destination.inactiveConnections, 10],
      ]),
  },
  stats: {
    titles: counterTitles('Conns', 'InPkts', 'OutPkts', 'InBytes', 'OutBytes'),
    nameWidth: 33,
    service: (service, number) => counters(service.statistics).map(number).join(''),
    destination: (destination, number) => counters(destination.statistics).map(number).join(''),
  },
  rate: {
    titles: counterTitles('CPS', 'InPPS', 'OutPPS', 'InBPS', 'OutBPS'),
    nameWidth: 33,
    service: (service, number) => counters(service.rates).map(number).join(''),
    // ipvsadm never shortens a real server's rates of connections and packets.
    destination: (destination, number) =>
      counters(destination.rates)
        .map((rate, i) => (i < 3 ? ` ${String(rate).padStart(8)}` : number(rate)))
        .join(''),
  },
  thresholds: {
    titles: [
      `${addressTitle}${columns(['Uthreshold', 'Lthreshold', 'ActiveConn', 'InActConn'].map((title) => [title, 10]))}`,
      '  -> RemoteAddress:Port',
    ],
    nameWidth: 0,
    service: formatScheduler,
    destination: (destination) =>
      columns([
        [destination.upperThreshold ?? 0, 10],
        [destination.lowerThreshold ?? 0, 10],
        [destination.activeConnections, 10],
        [destination.inactiveConnections, 10],
      ]),
  },
  persistent: {
    titles: [
      `${addressTitle}${columns([
        ['Weight', 9],
        ['PersistConn', 11],
        ['ActiveConn', 10],
        ['InActConn', 10],
      ])}`,
      '  -> RemoteAddress:Port',
    ],
    nameWidth: 0,
    service: formatScheduler,
    destination: (destination) =>
      columns([
        [destination.weight, 9],
        [destination.persistentConnections, 11],
        [destination.activeConnections, 10],
        [destination.inactiveConnections, 10],
      ]),
  },
};

function formatScheduler(service: VirtualServiceStatus): string {
  return ` ${service.scheduler}${formatFlags(service)}`;
}

const methodNames: Record<ForwardingMethod, string> = {
  masq: 'Masq',
  local: 'Local',
  tunnel: 'Tunnel',
  droute: 'Route',
};

/** The first line of a listing of all services; `size` is the connection table's. */
export function formatVersionLine(size: number): string {
  return `IP Virtual Server version 1.2.1 (size=${size})\n`;
}

/** Titles, then each service with its real servers; every line ends with a newline. */
export function formatListing(services: readonly VirtualServiceStatus[], options: ListingOptions): string {
  const format = formats[options.format];
  const number = options.isExact ? formatExact : formatLarge;
  const lines: string[] = [...format.titles];
  for (const service of options.isSorted ? sortServices(services) : services) {
    const name = formatServiceName(service, options.names).padEnd(format.nameWidth);
    lines.push(`${name}${format.service(service, number)}`);
    const newestFirst = service.destinations.toReversed();
    for (const destination of options.isSorted ? sortDestinations(newestFirst) : newestFirst) {
      const server = formatSocketAddress(destination, service.protocol, options.names);
      const padded = cut(server, destination.address, 28).padEnd(28);
      lines.push(`  -> ${padded}${format.destination(destination, number)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

/** "TCP  10.96.0.1:https", "FWM  7", "FWM  7 IPv6"; the mark as a signed number. */
export function formatServiceName(service: VirtualServiceKey, names: Names): string {
  if (service.mark !== undefined) return `FWM  ${service.mark | 0}${service.family === 6 ? ' IPv6' : ''}`;
  const { protocol, address } = service;
  return cut(
    `${protocol.toUpperCase().padEnd(4)} ${formatSocketAddress(service, protocol, names)}`,
    address,
    33,
  );
}

/**
 * A counter as ipvsadm shortens it, with the blank before it: nine characters, thousands (K), millions (M) and so on
 * cut, not rounded.
 */
export function formatLarge(value: bigint): string {
  if (value < 100_000_000n) return String(value).padStart(9);
  const [divisor, unit] =
    value < 1_000_000_000n
      ? [1_000n, 'K']
      : value < 100_000_000_000n
        ? [1_000_000n, 'M']
        : value < 100_000_000_000_000n
          ? [1_000_000_000n, 'G']
          : [1_000_000_000_000n, 'T'];
  return `${value / divisor}`.padStart(8) + unit;
}

/** All digits, right-justified in nine characters, with at least one blank before them. */
export function formatExact(value: bigint): string {
  return ` ${String(value).padStart(8)}`;
}

function formatFlags(service: VirtualServiceStatus): string {
  const { scheduler, schedulerFlags, persistence, isOnePacket } = service;
  return [
    ...(schedulerFlags.length === 0 ? [] : [` (${formatSchedulerFlags(scheduler, schedulerFlags)})`]),
    ...(persistence ? [` ${formatPersistence(service, persistence, ['persistent', 'mask'])}`] : []),
    ...(isOnePacket ? [' ops'] : []),
  ].join('');
}

function columns(cells: readonly (readonly [value: string | number, width: number])[]): string {
  return cells.map(([value, width]) => ` ${String(value).padEnd(width)}`).join('');
}

function counters(of: Statistics | Rates): readonly bigint[] {
  return [of.connections, of.inPackets, of.outPackets, of.inBytes, of.outBytes];
}

function counterTitles(...names: readonly string[]): readonly [string, string] {
  return [addressTitle + names.map((name) => ` ${name.padStart(8)}`).join(''), '  -> RemoteAddress:Port'];
}

/** ipvsadm cuts names to their column for IPv4 only. */
function cut(text: string, address: Address, width: number): string {
  return addressFamily(address) === 4 ? text.slice(0, width) : text;
}
