// SPDX-License-Identifier: Apache-2.0
// The results as tables, and the ratios that must hold.
import { type PacketRow, sentOutByXdp } from './packet-rows.ts';
import type { PathResults, PathRow } from './path-rows.ts';
import type { Deed } from './path-subjects.ts';
import { median, medianRatio } from './samples.ts';
import type { TableResults } from './table-rows.ts';

/** Mostly a ratio of two numbers of the same run; else the unit is in the name. */
export interface Ratio {
  /** "established request / bare DNAT, 1 flow". */
  readonly name: string;
  readonly value: number;
  /** What it may be at most; without one it is only told. */
  readonly limit?: number;
}

export interface Results {
  /** Of 10,000 services with two destinations each, into empty maps. */
  readonly loadSeconds: number;
  readonly packets: readonly PacketRow[];
  readonly paths: PathResults;
  readonly table: TableResults;
}

const many = 10_000;
const established = 'established request, TCP over IPv4';

export function ratiosOf({ loadSeconds, packets, paths, table }: Results): readonly Ratio[] {
  return [
    ...packetRatios(packets),
    ...pathRatios(paths.rows),
    ...tableRatios(table),
    { name: 'loading 10,000 services, seconds', value: loadSeconds, limit: 2 },
    { name: 'daemon with 10,000 services, MiB resident', value: paths.residentMiB, limit: 150 },
  ];
}

/**
 * A stream's throughput on one CPU is the reverse of its cost: 0.97 of plain routing's at least. What straight ways save is a
 * packet's: nine tenths of an exchange are its sockets' and the scheduler's, whatever way the packets go (decision 0017).
 */
const pathLimits: Readonly<Partial<Record<PathRow['way'], Readonly<Partial<Record<Deed, number>>>>>> = {
  BPVS: {
    connections: 1.08,
    exchanges: 1.25,
    datagrams: 1.25,
    packets: 1.25,
    flows: 1.5,
    mebibytes: 1 / 0.97,
  },
  'BPVS with --local-redirect': { packets: 0.8 },
};

const deedNames: Readonly<Record<Deed, string>> = {
  connections: 'TCP connections',
  exchanges: 'TCP exchanges',
  datagrams: 'UDP datagrams',
  packets: 'UDP packets from device to device',
  flows: 'UDP flows of one datagram',
  mebibytes: 'MiB of a TCP stream',
};

function pathRatios(rows: readonly PathRow[]): readonly Ratio[] {
  return rows.flatMap(({ way, services, deed, samples }): Ratio[] => {
    const toOther = (way: PathRow['way'], services: number) => {
      const other = rows.find((row) => row.deed === deed && row.way === way && row.services === services);
      return medianRatio(samples, other?.samples ?? []);
    };
    if (way === 'plain routing') return [];
    const limit = pathLimits[way]?.[deed];
    const name = `${deedNames[deed]}, ${way}${services > 0 ? ` of ${count(services)}` : ''} / plain routing`;
    const toPlain = { name, value: toOther('plain routing', 0), ...(limit !== undefined && { limit }) };
    if (services !== many) return [toPlain];
    const toOne = {
      name: `${deedNames[deed]} with BPVS, 10,000 services / 1 service`,
      value: toOther(way, 1),
      limit: 1.05,
    };
    return [toPlain, toOne];
  });
}

function packetRatios(packets: readonly PacketRow[]): readonly Ratio[] {
  const floors = packets.filter((row) => row.name === 'bare DNAT');
  return floors.flatMap((floor) => {
    const others = packets.filter((row) => row.flows === floor.flows && row !== floor);
    const toFloor = others
      .filter((row) => row.services === many)
      .map((row): Ratio => {
        const limit = limitFor(row);
        const name = `${row.name} / bare DNAT, ${flowsText(row.flows)}`;
        const value = medianRatio(row.samples, floor.samples);
        return { name, value, ...(limit !== undefined && { limit }) };
      });
    const toOne = others
      .filter((row) => row.services === 1)
      .flatMap((one): Ratio[] => {
        const all = others.find((row) => row.name === one.name && row.services === many);
        const name = `${one.name}, 10,000 services / 1 service, ${flowsText(one.flows)}`;
        const limit = one.flows === many ? undefined : 1.05;
        if (!all) return [];
        const value = medianRatio(all.samples, one.samples);
        return [{ name, value, ...(limit !== undefined && { limit }) }];
      });
    return [...toFloor, ...toOne];
  });
}

function tableRatios({ sweepPercent, latestSeconds, floods }: TableResults): readonly Ratio[] {
  return [
    { name: 'sweep at 1,000,000 connections, none due, % of a core', value: sweepPercent, limit: 2 },
    { name: 'end of connections, of 1,000,000, seconds after due at most', value: latestSeconds, limit: 2 },
    ...floods.map(({ flows, requests, ratio }): Ratio => {
      const name = `established request, a half-open attempt every ${count(requests)} / none, ${flowsText(flows)}`;
      return { name, value: ratio, ...(flows !== many && { limit: 1.2 }) };
    }),
  ];
}

/**
 * Limits are for one flow, and for a million that no cache holds. Ten thousand lie between: whether they fit into a CPU's second
 * cache is that CPU's luck, so their ratios are only told.
 */
function limitFor({ name, flows }: PacketRow): number | undefined {
  if (name === established && flows !== many) return flows > many ? 1.5 : 2.5;
  if (name === `XDP, ${established}` && flows !== many) return flows > many ? 1.3 : 2;
  if (name === sentOutByXdp) return 3;
  const isForeign = name.startsWith('none of ours') && !name.includes('straight from a destination');
  return isForeign ? 0.6 : undefined;
}

export function missedRatios(ratios: readonly Ratio[]): readonly Ratio[] {
  return ratios.filter(({ value, limit }) => limit !== undefined && !(value <= limit));
}

export function packetTable(rows: readonly PacketRow[]): string {
  return table(
    ['packet', 'flows', 'services', 'ns'],
    rows.map(({ name, flows, services, samples }) => [
      name,
      count(flows),
      count(services),
      median(samples).toFixed(1),
    ]),
  );
}

export function pathTable(rows: readonly PathRow[]): string {
  return table(
    ['whole path, each', 'way', 'services', 'CPU ns'],
    rows.map(({ deed, way, services, samples }) => [deed, way, count(services), median(samples).toFixed(0)]),
  );
}

export function ratioTable(ratios: readonly Ratio[]): string {
  return table(
    ['ratio', 'value', 'at most', ''],
    ratios.map(({ name, value, limit }) => [
      name,
      value.toFixed(2),
      limit?.toFixed(2) ?? '',
      limit === undefined ? '' : value <= limit ? 'holds' : 'missed',
    ]),
  );
}

function flowsText(flows: number): string {
  return flows === 1 ? '1 flow' : `${count(flows)} flows`;
}

function count(number: number): string {
  return number.toLocaleString('en');
}

/** The first column to the left, numbers to the right. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [heading, ...rows];
  const widths = heading.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  const cell = (text: string, i: number) =>
    i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0);
  return lines.map((line) => line.map(cell).join('  ').trimEnd()).join('\n');
}
