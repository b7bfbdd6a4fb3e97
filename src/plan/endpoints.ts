// SPDX-License-Identifier: Apache-2.0
// From the slices of a Service to the endpoints of one of its ports, and those of them that get traffic.
import type { Family } from '../model/address.ts';
import type { Endpoint, EndpointSliceObject, ServicePort } from '../model/cluster.ts';
import { destinationId } from '../model/virtual-service.ts';

/** An endpoint with the number that its slice gives to the service port. */
export interface PortEndpoint extends Endpoint {
  readonly port: number;
}

/**
 * The union over all slices of the family, each "address:port" once, in ascending order of that text. A service port and
 * a slice's port belong together by name and protocol; the number is the slice's own. Of two copies the one that is not
 * terminating counts, then the ready one, the serving one, the one whose slice's name sorts first.
 */
export function portEndpoints(
  slices: readonly EndpointSliceObject[],
  port: ServicePort,
  family: Family,
): readonly PortEndpoint[] {
  const best = new Map<string, PortEndpoint>();
  const ordered = slices.filter((slice) => slice.addressType === `IPv${family}`).sort(byName);
  for (const slice of ordered) {
    const match = slice.ports.find((each) => each.name === port.name && each.protocol === port.protocol);
    if (!match || match.port === 0) continue;
    for (const endpoint of slice.endpoints) {
      const found = { ...endpoint, port: match.port };
      const id = destinationId(found);
      const former = best.get(id);
      if (!former || rank(found) > rank(former)) best.set(id, found);
    }
  }
  return [...best].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, endpoint]) => endpoint);
}

/**
 * The ready ones; if there are none, those that still serve while they terminate. One that serves but is neither ready
 * nor terminating gets nothing. Source: KEP-1669.
 */
export function selectEndpoints(endpoints: readonly PortEndpoint[]): readonly PortEndpoint[] {
  const ready = endpoints.filter((endpoint) => endpoint.isReady);
  return ready.length > 0
    ? ready
    : endpoints.filter((endpoint) => endpoint.isServing && endpoint.isTerminating);
}

function rank(endpoint: Endpoint): number {
  return (endpoint.isTerminating ? 0 : 4) + (endpoint.isReady ? 2 : 0) + (endpoint.isServing ? 1 : 0);
}

function byName(a: EndpointSliceObject, b: EndpointSliceObject): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
