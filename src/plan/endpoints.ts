// SPDX-License-Identifier: Apache-2.0
// From the slices of a Service to the endpoints of one of its ports.
import type { Family } from '../model/address.ts';
import type { Endpoint, EndpointSliceObject, ServicePort } from '../model/cluster.ts';
import { destinationId } from '../model/virtual-service.ts';
import { sliceWeight } from './weights.ts';

/** An endpoint with what its slice says: the number for the service port, and its weight. */
export interface PortEndpoint extends Endpoint {
  readonly port: number;
  readonly weight: number;
}

/**
 * The union over all slices of the family, each "address:port" once, in ascending order of that text. A service port and
 * a slice's port belong together by name and protocol; the number is the slice's own. Of two copies the one that is not
 * terminating counts, then the ready one, the serving one, the one whose slice's name sorts first.
 */
export function portEndpoints(
  slices: readonly EndpointSliceObject[],
  port: Pick<ServicePort, 'name' | 'protocol'>,
  family: Family,
): readonly PortEndpoint[] {
  const best = new Map<string, PortEndpoint>();
  const ordered = slices.filter((slice) => slice.addressType === `IPv${family}`).sort(byName);
  for (const slice of ordered) {
    const match = slice.ports.find((each) => each.name === port.name && each.protocol === port.protocol);
    if (!match || match.port === 0) continue;
    const weight = sliceWeight(slice);
    for (const endpoint of slice.endpoints) {
      const found = { ...endpoint, port: match.port, weight };
      const id = destinationId(found);
      const former = best.get(id);
      if (!former || rank(found) > rank(former)) best.set(id, found);
    }
  }
  return [...best].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, endpoint]) => endpoint);
}

function rank(endpoint: Endpoint): number {
  return (endpoint.isTerminating ? 0 : 4) + (endpoint.isReady ? 2 : 0) + (endpoint.isServing ? 1 : 0);
}

function byName(a: EndpointSliceObject, b: EndpointSliceObject): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
