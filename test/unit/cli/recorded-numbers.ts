// SPDX-License-Identifier: Apache-2.0
// Reads counters and connections back out of recorded listings, so that other listings of the same moment can be checked.
import type { DestinationStatus, VirtualServiceStatus } from '../../../src/dataplane/data-plane.ts';
import { parseAddressPort } from '../../../src/model/address.ts';
import type { Connection, ConnectionState, SocketAddress } from '../../../src/model/connection.ts';
import type { Statistics } from '../../../src/model/statistics.ts';
import { destinationId, virtualServiceId } from '../../../src/model/virtual-service.ts';

export interface Listing {
  readonly cmd?: string;
  readonly stdout?: string;
}

/** The columns of numbers in a listing by "tcp 10.0.0.1:80" and "tcp 10.0.0.1:80 -> 10.1.0.1:80". */
type Numbers = ReadonlyMap<string, readonly bigint[]>;

const numericListing = /^ipvsadm (-[Ll]n|-[Ll] -n|--list --numeric)\b/;

/**
 * `services` with the numbers that the numeric listings of one moment show: the last one's if it has all digits, else an
 * exact one's. (The kernel may add to its counters between two listings.)
 */
export function readNumbers(
  services: readonly VirtualServiceStatus[],
  moment: readonly Listing[],
): readonly VirtualServiceStatus[] {
  const find = (isOfKind: (cmd: string) => boolean, columns: number): Numbers => {
    const listings = moment.filter(({ cmd }) => cmd && numericListing.test(cmd) && isOfKind(cmd));
    const isWhole = ({ cmd, stdout }: Listing) =>
      cmd?.includes('--exact') || !/\d[KMGT]\b/.test(stdout ?? '');
    const exact = listings.findLast(isWhole);
    return readColumns(exact?.stdout ?? '', columns);
  };
  const stats = find((cmd) => cmd.includes('--stats'), 5);
  const rates = find((cmd) => cmd.includes('--rate') && !cmd.includes('--stats'), 5);
  const plain = find(
    (cmd) => !/--(stats|rate|thresholds|persistent-conn|tun-info|timeout|daemon)|-\w*c/.test(cmd),
    2,
  );
  const persistent = find(
    (cmd) => cmd.includes('--persistent-conn') && !/-\w*c\b/.test(cmd.replace('--persistent-conn', '')),
    3,
  );
  const counters = (key: string) => ({
    statistics: statisticsOf(stats.get(key)),
    rates: statisticsOf(rates.get(key)),
  });
  return services.map((service) => {
    const key = virtualServiceId(service);
    const fill = (destination: DestinationStatus): DestinationStatus => {
      const id = `${key} -> ${destinationId(destination)}`;
      const [active = 0n, inactive = 0n] = plain.get(id) ?? [];
      const [templates = 0n] = persistent.get(id) ?? [];
      const connections = {
        activeConnections: Number(active),
        inactiveConnections: Number(inactive),
        persistentConnections: Number(templates),
      };
      return { ...destination, ...connections, ...counters(id) };
    };
    return { ...service, ...counters(key), destinations: service.destinations.map(fill) };
  });
}

/** The connections of the last `-Lnc` listing of a moment. */
export function readConnections(moment: readonly Listing[]): readonly Connection[] {
  const listing = moment.findLast(({ cmd }) => /^ipvsadm -L(nc|cn| -c -n)/.test(cmd ?? ''));
  return (listing?.stdout ?? '').split('\n').flatMap((line) => {
    const match = /^(IP|TCP|UDP) +(\d+):(\d\d) +(\S+) +(\S+) +(\S+) +(\S+)$/.exec(line);
    if (!match) return [];
    const [, protocol = '', minutes, seconds, state, client, virtual, destination] = match;
    return {
      protocol: protocol.toLowerCase() as Connection['protocol'],
      state: state as ConnectionState,
      client: socketAddress(client),
      virtual: socketAddress(virtual),
      destination: socketAddress(destination),
      expiresInMs: (Number(minutes) * 60 + Number(seconds)) * 1000 + 500,
    };
  });
}

function readColumns(text: string, count: number): Numbers {
  const numbers = new Map<string, readonly bigint[]>();
  let service = '';
  for (const line of text.split('\n')) {
    const [first = '', second = '', ...rest] = line.trim().split(/\s+/);
    if (first !== '->') service = `${first.toLowerCase()} ${second}`;
    const key = first === '->' ? `${service} -> ${second}` : service;
    const columns = rest.slice(-count);
    if (columns.length === count && columns.every((column) => /^\d+$/.test(column))) {
      numbers.set(key, columns.map(BigInt));
    }
  }
  return numbers;
}

function statisticsOf(columns: readonly bigint[] = []): Statistics {
  const [connections = 0n, inPackets = 0n, outPackets = 0n, inBytes = 0n, outBytes = 0n] = columns;
  return { connections, inPackets, outPackets, inBytes, outBytes };
}

function socketAddress(text = ''): SocketAddress {
  const at = parseAddressPort(text);
  if (!at) throw new Error(`Expected an address and port but received ${text}`);
  return at;
}
