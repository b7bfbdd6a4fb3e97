// SPDX-License-Identifier: Apache-2.0
// What kernel IPVS builds at configuration time: each scheduler's table, and its state across changes of the list.
import type { SchedulerName } from '../../model/scheduler.ts';

/** A destination as a table needs it: its index in the map `destinations`, and its weight. */
export interface TableMember {
  readonly index: number;
  readonly weight: number;
}

/** Places of sh's and dh's tables (IP_VS_SH_TAB_BITS, IP_VS_DH_TAB_BITS: 8). */
const hashPlaces = 256;

const builders: Partial<Record<SchedulerName, (list: readonly TableMember[]) => number[]>> = {
  rr: (list) => list.map((member) => member.index),
  sh: sourceHashTable,
  dh: (list) => (list.length === 0 ? [] : fill((place) => list[place % list.length]?.index ?? 0)),
};

/** The table over a list in the kernel's order, newest first; empty where there is no destination. */
export function buildTable(scheduler: SchedulerName, list: readonly TableMember[]): readonly number[] {
  return builders[scheduler]?.(list) ?? [];
}

/** Whether a destination's new weight changes the table (sh gives places by weight; the others look when they choose). */
export function dependsOnWeights(scheduler: SchedulerName): boolean {
  return scheduler === 'sh';
}

/** ip_vs_sh.c: as many places in a row as the weight, at least one, round and round until all are given. */
function sourceHashTable(list: readonly TableMember[]): number[] {
  if (list.length === 0) return [];
  let member = -1;
  let left = 0;
  return fill(() => {
    if (left === 0) {
      member = (member + 1) % list.length;
      left = Math.max(list[member]?.weight ?? 1, 1);
    }
    left--;
    return list[member]?.index ?? 0;
  });
}

function fill(indexFor: (place: number) => number): number[] {
  return Array.from({ length: hashPlaces }, (_, place) => indexFor(place));
}

/**
 * rr's state, the place after the last choice, when the list changes: it goes with the destination chosen last, and if that is
 * gone with its predecessor, in the end with the head (ip_vs_rr.c: ip_vs_rr_del_dest).
 * @param before, after the lists in the kernel's order, as indexes
 */
export function moveCursor(next: number, before: readonly number[], after: readonly number[]): number {
  for (let place = Math.min(next, before.length) - 1; place >= 0; place--) {
    const found = after.indexOf(before[place] ?? -1);
    if (found !== -1) return found + 1;
  }
  return 0;
}
