// SPDX-License-Identifier: Apache-2.0
// The table and the state of wrr, as bpf/lib/sched/wrr.h reads them.
import { type WrrSteps, wrrSteps, wrrWeightAfterChange } from '../../model/schedulers/wrr.ts';

/** Newest first. */
type List = readonly { readonly index: number; readonly destination: { readonly weight: number } }[];

/** A cycle that is longer is walked: a table that long would take more to write than it saves. */
function longestCycle(destinations: number): number {
  return 1024 + 32 * destinations;
}

function stepsOf(list: List): WrrSteps {
  return wrrSteps(list.map(({ destination }) => destination));
}

/** In how many passes of a cycle each destination is chosen. */
function passesOf(list: List, step: number): number[] {
  return list.map(({ destination }) => destination.weight / step);
}

function hasCycle(passes: readonly number[]): boolean {
  return passes.reduce((sum, count) => sum + count, 0) <= longestCycle(passes.length);
}

/** Places as 64-bit words, lower and upper half: 0 and the cycle's choices with their passes' weights, or the step and the list. */
export function buildWrrTable(list: List): Uint32Array {
  const { step } = stepsOf(list);
  const passes = passesOf(list, step);
  if (!hasCycle(passes)) return Uint32Array.from([step, 0, ...list.flatMap(({ index }) => [index, 0])]);
  const words = [0, 0];
  const joining = new Set(passes);
  let members: List = [];
  for (let pass = Math.max(0, ...passes); pass > 0; pass--) {
    if (joining.has(pass)) members = list.filter((_, place) => (passes[place] ?? 0) >= pass);
    for (const { index } of members) words.push(index, (pass - 1) * step + 1);
  }
  return Uint32Array.from(words);
}

/** ip_vs_wrr.c: ip_vs_wrr_init_svc. */
export function wrrStateAfterBind(list: List): bigint {
  return stateAtHead(list, stepsOf(list).highest);
}

/** ip_vs_wrr.c: ip_vs_wrr_dest_changed. */
export function wrrStateAfterChange(state: bigint, list: List): bigint {
  return stateAtHead(list, wrrWeightAfterChange(Number(state >> 32n), stepsOf(list)));
}

/** Before the first choice of the pass of this weight. */
function stateAtHead(list: List, weight: number): bigint {
  const { step } = stepsOf(list);
  const passes = passesOf(list, step);
  const passesLeft = Math.ceil(weight / step);
  const place = passes.reduce((sum, count) => sum + Math.max(count - passesLeft, 0), 0);
  return (BigInt(weight) << 32n) | BigInt(hasCycle(passes) ? place : 0);
}
