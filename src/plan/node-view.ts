// SPDX-License-Identifier: Apache-2.0
// What planning has to know of the node, from its object and its devices.
import { type Address, firstOfEachFamily } from '../model/address.ts';
import type { NodeObject } from '../model/cluster.ts';
import type { NodeView } from './desired-state.ts';

const zoneLabel = 'topology.kubernetes.io/zone';

/**
 * @param addresses what the node's devices hold
 * @param object the Node of that name; undefined: it is not known yet
 */
export function nodeView(
  name: string,
  addresses: readonly Address[],
  object: NodeObject | undefined,
): NodeView {
  return {
    name,
    addresses,
    nodeIps: firstOfEachFamily(object?.addresses ?? []),
    zone: object?.labels[zoneLabel] || undefined,
  };
}
