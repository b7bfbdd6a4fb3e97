// SPDX-License-Identifier: Apache-2.0
// What many short rounds say together: a machine has slow and fast moments, which neighbouring samples share.

export function median(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[samples.length >> 1] ?? Number.NaN;
}

/**
 * The median of the ratios of samples of the same round, so that what disturbs both is left out. One side may have been sampled several
 * times in all rounds.
 */
export function medianRatio(samples: readonly number[], others: readonly number[]): number {
  const pairs = Array.from({ length: Math.max(samples.length, others.length) }, (_, i) => {
    const [sample = Number.NaN, other = Number.NaN] = [
      samples[i % samples.length],
      others[i % others.length],
    ];
    return sample / other;
  });
  return median(pairs);
}

/** Forwards and backwards by turns, so that none always comes behind the same other. */
export function inTurn<Row>(rows: readonly Row[], round: number): readonly Row[] {
  return round % 2 === 0 ? rows : rows.toReversed();
}

/** Rows of one key become one, with the samples of all, one after the other. */
export function joined<Row extends { readonly samples: readonly number[] }>(
  rows: readonly Row[],
  keyOf: (row: Row) => string,
): readonly Row[] {
  return [...Map.groupBy(rows, keyOf).values()].flatMap(([row, ...others]) =>
    row ? [{ ...row, samples: [row, ...others].flatMap(({ samples }) => samples) }] : [],
  );
}
