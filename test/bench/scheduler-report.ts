// SPDX-License-Identifier: Apache-2.0
// The schedulers' results as a table, and the ratios that must hold.
import { type Ratio, table } from './report.ts';
import { destinationCounts, flatSchedulers, type SchedulerRow } from './scheduler-rows.ts';

/** In five hundredths as many nanoseconds with a thousand destinations as with three. */
const flatLimit = 1.05;

function find(
  rows: readonly SchedulerRow[],
  scheduler: string,
  destinations: number,
): SchedulerRow | undefined {
  return rows.find((each) => each.scheduler === scheduler && each.destinations === destinations);
}

function nsOf(rows: readonly SchedulerRow[], scheduler: string, destinations: number): number {
  return find(rows, scheduler, destinations)?.ns ?? Number.NaN;
}

export function schedulerRatios(rows: readonly SchedulerRow[]): readonly Ratio[] {
  const [few, ...more] = destinationCounts;
  return flatSchedulers.flatMap((scheduler) =>
    more.map((destinations) => ({
      name: `new connection, ${scheduler}, ${destinations} destinations / ${few}`,
      value: find(rows, scheduler, destinations)?.ratio ?? Number.NaN,
      limit: flatLimit,
    })),
  );
}

/** Each cost also as a multiple of rr's with the fewest destinations, and what one more destination adds. */
export function schedulerTable(rows: readonly SchedulerRow[]): string {
  const few = destinationCounts[0];
  const most = Math.max(...destinationCounts);
  const rr = nsOf(rows, 'rr', few);
  const names = [...new Set(rows.map(({ scheduler }) => scheduler))];
  return table(
    ["new connection, ns (in rr's)", ...destinationCounts.map(String), 'a destination'],
    names.map((name) => [
      name,
      ...destinationCounts.map((count) => {
        const ns = nsOf(rows, name, count);
        return `${ns.toFixed(0)} (${(ns / rr).toFixed(2)})`;
      }),
      ((nsOf(rows, name, most) - nsOf(rows, name, few)) / (most - few)).toFixed(2),
    ]),
  );
}
