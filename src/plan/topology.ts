// SPDX-License-Identifier: Apache-2.0
// Topology hints: which of the ready endpoints are meant for this node.
import type { Endpoint } from '../model/cluster.ts';
import type { NodeView } from './desired-state.ts';

/**
 * Those hinted for this node, if every endpoint has a hint of nodes and one of them names this node; else the same with
 * its zone; else all. So one endpoint without hints is enough to ignore them: the slices are being rewritten. Hints alone
 * count: trafficDistribution and the annotations of topology-aware routing are for the controller that writes hints.
 * Source: KEP-2433, KEP-4444, KEP-3015.
 */
export function hintedEndpoints<T extends Endpoint>(
  ready: readonly T[],
  { name, zone }: Pick<NodeView, 'name' | 'zone'>,
): readonly T[] {
  return (
    hintedFor(name, ready, (endpoint) => endpoint.nodeHints) ??
    (zone === undefined ? undefined : hintedFor(zone, ready, (endpoint) => endpoint.zoneHints)) ??
    ready
  );
}

function hintedFor<T>(
  place: string,
  endpoints: readonly T[],
  hintsOf: (endpoint: T) => readonly string[],
): readonly T[] | undefined {
  if (!endpoints.every((endpoint) => hintsOf(endpoint).length > 0)) return undefined;
  const hinted = endpoints.filter((endpoint) => hintsOf(endpoint).includes(place));
  return hinted.length > 0 ? hinted : undefined;
}
