// SPDX-License-Identifier: Apache-2.0
// What was counted, in the maps: the counters of destinations, of virtual services and of the node.
import {
  type Counted,
  noStatistics,
  type Rates,
  type Statistics,
  subtractStatistics,
} from '../../model/statistics.ts';
import type { BpfMap } from '../../native/bpf-map.ts';
import type { BpfMaps } from './bpf-maps.ts';
import { layouts } from './layouts.ts';
import { decode } from './struct.ts';
import { word } from './words.ts';

/** NODE_STATISTICS of bpf/lib/abi.h: the id under which all services are counted together. */
export const nodeStatistics = 0xffff_ffff;

/** The entries that services are counted in. Programs add to one and never make one: after its service it is gone. */
export class ServiceStatistics {
  readonly #map: BpfMap;

  /** Makes the node's entry if it is missing. */
  constructor(maps: BpfMaps) {
    this.#map = maps.get('service_statistics');
    if (!this.#map.lookup(word(nodeStatistics))) this.add(nodeStatistics);
  }

  add(id: number): void {
    this.#map.update(word(id), new Uint8Array(layouts.service_statistics.size));
  }

  delete(id: number): void {
    this.#map.delete(word(id));
  }

  /** Keeps the entries of these services and no others: an earlier process may have ended in between. */
  adopt(ids: ReadonlySet<number>): void {
    const present = new Set(Array.from(this.#map.keys(), (key) => key.readUInt32LE()));
    for (const id of present) if (id !== nodeStatistics && !ids.has(id)) this.delete(id);
    for (const id of ids) if (!present.has(id)) this.add(id);
  }
}

/** By the id of the service, and the node's. */
export function readServiceStatistics(maps: BpfMaps): (id: number) => Counted {
  const all = new Map(
    Array.from(maps.get('service_statistics').entries(), ([key, value]) => [key.readUInt32LE(), value]),
  );
  return (id) => {
    const value = all.get(id);
    if (!value) return nothing;
    const { counted, estimate } = decode(layouts.service_statistics, value);
    return show(readStatistics(counted), estimate);
  };
}

/** By the index of the destination. */
export function destinationStatistics(maps: BpfMaps): (index: number) => Counted {
  const [loads, traffic] = [maps.get('destination_loads'), maps.get('destination_traffic')];
  const estimates = maps.get('destination_estimates');
  return (index) => {
    const [load, copies] = [loads.lookup(word(index)), traffic.lookup(word(index))];
    const value = estimates.lookup(word(index));
    if (!load || !copies || !value) return nothing;
    const { opened } = decode(layouts.destination_load, load);
    const counted = { connections: opened, ...sumTraffic(copies) };
    return show(counted, decode(layouts.destination_estimate, value).estimate);
  };
}

const nothing: Counted = { statistics: noStatistics, rates: noStatistics };

/** What is seen of counters: those since they were set to zero, and the rates (ip_vs_est.c: ip_vs_read_estimator). */
function show(counters: Statistics, estimate: Uint8Array): Counted {
  const { scaled, zero } = decode(layouts.estimate, estimate);
  return {
    statistics: subtractStatistics(counters, readStatistics(zero)),
    rates: roundRates(readStatistics(scaled)),
  };
}

/** @param copies one for each possible CPU */
function sumTraffic(copies: Uint8Array): Omit<Statistics, 'connections'> {
  const sum = { inPackets: 0n, outPackets: 0n, inBytes: 0n, outBytes: 0n };
  for (let at = 0; at < copies.length; at += layouts.destination_traffic.size) {
    const copy = decode(layouts.destination_traffic, copies, at);
    sum.inPackets += copy.in_packets;
    sum.outPackets += copy.out_packets;
    sum.inBytes += copy.in_bytes;
    sum.outBytes += copy.out_bytes;
  }
  return sum;
}

function readStatistics(bytes: Uint8Array): Statistics {
  const { connections, in_packets, out_packets, in_bytes, out_bytes } = decode(layouts.statistics, bytes);
  return {
    connections,
    inPackets: in_packets,
    outPackets: out_packets,
    inBytes: in_bytes,
    outBytes: out_bytes,
  };
}

/** Whole numbers per second of the estimator's fixed-point ones, which are signed, rounded as the kernel does. */
function roundRates(scaled: Rates): Rates {
  const round = (rate: bigint, bits: bigint) => (BigInt.asIntN(64, rate) + (1n << (bits - 1n)) - 1n) >> bits;
  return {
    connections: round(scaled.connections, 10n),
    inPackets: round(scaled.inPackets, 10n),
    outPackets: round(scaled.outPackets, 10n),
    inBytes: round(scaled.inBytes, 5n),
    outBytes: round(scaled.outBytes, 5n),
  };
}
