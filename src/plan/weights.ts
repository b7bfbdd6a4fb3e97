// SPDX-License-Identifier: Apache-2.0
// The weight of the endpoints of a slice, from its annotation.
import { annotationFor } from '../model/annotations.ts';
import type { EndpointSliceObject } from '../model/cluster.ts';

const defaultWeight = 1;
/** As much as Cilium's annotation may say. */
const maxWeight = 65_535;

/** 0 keeps the connections of the slice's endpoints and gives them no new ones. A value that cannot be used counts as absent. */
export function sliceWeight(slice: EndpointSliceObject): number {
  const annotation = annotationFor(slice.annotations, 'weight');
  return (annotation && parseWeight(annotation.value)) ?? defaultWeight;
}

export function weightWarnings(slice: EndpointSliceObject): readonly string[] {
  const annotation = annotationFor(slice.annotations, 'weight');
  if (!annotation || parseWeight(annotation.value) !== undefined) return [];
  const { name, value } = annotation;
  return [
    `EndpointSlice ${slice.name}: ${name}: expected a whole number in 0..${maxWeight} but received "${value}": ` +
      `it stays ${defaultWeight}`,
  ];
}

function parseWeight(text: string): number | undefined {
  const weight = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  return weight <= maxWeight ? weight : undefined;
}
