// SPDX-License-Identifier: Apache-2.0
// What kernel IPVS does at configuration time: each scheduler's table, and its state across changes of the list.
import type { SchedulerName } from '../../model/scheduler.ts';
import { destinationHashTable } from '../../model/schedulers/dh.ts';
import { type MaglevMember, maglevTable } from '../../model/schedulers/mh.ts';
import { sourceHashTable } from '../../model/schedulers/sh.ts';
import type { Destination } from '../../model/virtual-service.ts';
import type { Slot } from './destination-table.ts';
import { buildWrrTable, wrrStateAfterBind, wrrStateAfterChange } from './wrr-table.ts';

/** A destination as a table needs it. */
export type TableMember = Pick<Slot, 'index' | 'lastWeight'> & {
  readonly destination: Pick<Destination, 'address' | 'port' | 'weight'>;
};

/** Newest first, as kernel IPVS's list. */
export type TableList = readonly TableMember[];

/** Places of a table as 64-bit words, each as its lower and its upper half. */
export type TableWords = Uint32Array;

interface TableRules {
  readonly build: (list: TableList) => TableWords;
  /** An edited destination is a change of the list to the scheduler, too. */
  readonly watchesEdits: boolean;
  /** The state of a scheduler that gets a list; 0 if not given. */
  readonly bind?: (list: TableList) => bigint;
  /** The state when the list has changed; as before if not given. */
  readonly change?: (state: bigint, before: TableList, after: TableList) => bigint;
}

const listRules: TableRules = {
  build: (list) => wordsOf(list.map(({ index }) => index)),
  watchesEdits: false,
};

const rules: Partial<Record<SchedulerName, TableRules>> = {
  rr: { ...listRules, change: (state, before, after) => BigInt(moveCursor(Number(state), before, after)) },
  wrr: {
    build: buildWrrTable,
    watchesEdits: true,
    bind: wrrStateAfterBind,
    change: (state, _, after) => wrrStateAfterChange(state, after),
  },
  lc: listRules,
  wlc: listRules,
  lblc: listRules,
  lblcr: listRules,
  sh: {
    build: (list) => indexesAt(list, sourceHashTable(list.map(({ destination }) => destination))),
    watchesEdits: true,
  },
  dh: { build: (list) => indexesAt(list, destinationHashTable(list.length)), watchesEdits: false },
  sed: listRules,
  nq: listRules,
  mh: {
    build: (list) => indexesAt(list, maglevTable(list.map(maglevMember))),
    watchesEdits: true,
  },
  fo: listRules,
  ovf: listRules,
  twos: listRules,
};

/** Whether its state is the number of a cache, which it gets when it is bound. */
export function hasCache(scheduler: SchedulerName): boolean {
  return scheduler === 'lblc' || scheduler === 'lblcr';
}

/** Whether the programs have the scheduler. */
export function isKnownScheduler(name: SchedulerName): boolean {
  return rules[name] !== undefined;
}

/** The schedulers that the programs have. */
export const knownSchedulers = Object.keys(rules) as readonly SchedulerName[];

/** The table behind the state. */
export function buildTable(scheduler: SchedulerName, list: TableList): TableWords {
  return rulesOf(scheduler).build(list);
}

/** Whether an edited destination changes the table or the state; the others look at it when they choose. */
export function watchesEdits(scheduler: SchedulerName): boolean {
  return rulesOf(scheduler).watchesEdits;
}

/** Whether the table holds the destinations of the list and nothing that is made from their weights. */
export function isPlainList(scheduler: SchedulerName): boolean {
  return rulesOf(scheduler).build === listRules.build;
}

export function stateAfterBind(scheduler: SchedulerName, list: TableList): bigint {
  return rulesOf(scheduler).bind?.(list) ?? 0n;
}

export function stateAfterChange(
  scheduler: SchedulerName,
  state: bigint,
  before: TableList,
  after: TableList,
): bigint {
  return rulesOf(scheduler).change?.(state, before, after) ?? state;
}

function rulesOf(scheduler: SchedulerName): TableRules {
  const found = rules[scheduler];
  if (!found) throw new TypeError(`Expected a scheduler that the programs have but received ${scheduler}`);
  return found;
}

function maglevMember({ destination: { address, port }, lastWeight }: TableMember): MaglevMember {
  return { address, port, lastWeight };
}

/** @param places of the list */
function indexesAt(list: TableList, places: readonly number[]): TableWords {
  return wordsOf(places.map((place) => list[place]?.index ?? 0));
}

function wordsOf(indexes: readonly number[]): TableWords {
  const words = new Uint32Array(2 * indexes.length);
  for (let place = 0; place < indexes.length; place++) words[2 * place] = indexes[place] ?? 0;
  return words;
}

/**
 * rr's state, the place after the last choice, when the list changes: it goes with the destination chosen last, and if that is
 * gone with its predecessor, in the end with the head (ip_vs_rr.c: ip_vs_rr_del_dest).
 */
export function moveCursor(
  next: number,
  before: readonly Pick<Slot, 'index'>[],
  after: readonly Pick<Slot, 'index'>[],
): number {
  for (let place = Math.min(next, before.length) - 1; place >= 0; place--) {
    const last = before[place]?.index;
    const found = after.findIndex(({ index }) => index === last);
    if (found !== -1) return found + 1;
  }
  return 0;
}
