// SPDX-License-Identifier: Apache-2.0
// Graceful termination: a TCP destination that is not wanted any more stays, with weight 0, until its connections have ended.
import {
  type Destination,
  type DestinationKey,
  destinationId,
  type VirtualService,
  type VirtualServiceKey,
  virtualServiceId,
} from '../model/virtual-service.ts';

/** A destination that waits for the end of its connections. */
export interface Draining {
  readonly service: VirtualServiceKey;
  readonly destination: DestinationKey;
}

/**
 * `desired` with those destinations of `actual` that have to drain, weight 0, behind the others of their service.
 * Those of UDP and SCTP, those without connections, and those of a service that is not desired go at once. What is there
 * and how many connections it has says it all, so that draining goes on in a process that follows. One that is wanted
 * again gets its weight back in place. Source: kube-proxy's IPVS mode, graceful_termination.go.
 * @param mayDrain false leaves a service's destinations as they are desired
 */
export function withDraining(
  desired: readonly VirtualService[],
  actual: readonly VirtualService[],
  countConnections: (service: VirtualServiceKey, destination: DestinationKey) => number,
  mayDrain: (service: VirtualServiceKey) => boolean = () => true,
): { readonly services: readonly VirtualService[]; readonly draining: readonly Draining[] } {
  const present = new Map(actual.map((service) => [virtualServiceId(service), service]));
  const draining: Draining[] = [];
  const services = desired.map((service) => {
    const former = service.protocol === 'tcp' ? present.get(virtualServiceId(service)) : undefined;
    const gone = former ? unwanted(service, former) : [];
    if (gone.length === 0 || !mayDrain(service)) return service;
    const kept = gone.filter((destination) => countConnections(service, destination) > 0);
    for (const destination of kept) draining.push({ service, destination });
    if (kept.length === 0) return service;
    const stopped = kept.map((destination) => ({ ...destination, weight: 0 }));
    return { ...service, destinations: [...service.destinations, ...stopped] };
  });
  return { services, draining };
}

function unwanted(desired: VirtualService, actual: VirtualService): readonly Destination[] {
  const wanted = new Set(desired.destinations.map(destinationId));
  return actual.destinations.filter((destination) => !wanted.has(destinationId(destination)));
}
