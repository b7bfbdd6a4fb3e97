// SPDX-License-Identifier: Apache-2.0
// The steps from one set of virtual services to another.
import type { Operation } from '../model/operation.ts';
import {
  type Destination,
  type DestinationKey,
  destinationId,
  sameDefinition,
  sameDestination,
  type VirtualService,
  type VirtualServiceDefinition,
  virtualServiceId,
  virtualServiceKey,
} from '../model/virtual-service.ts';

/**
 * What has to be done, in this order, to make `actual` into `desired`; no two services of either list have one identity.
 * Every prefix is safe: a new service gets its destinations at once, and a service that is to keep any destination for new
 * connections has one at every moment, since destinations come before others go; services go last. Destinations that stay
 * keep their place in the order of adding, new ones follow in theirs. Equal lists, whatever their order, give no operation.
 * Pure; the operations share nothing with `actual`.
 */
export function diff(
  desired: readonly VirtualService[],
  actual: readonly VirtualService[],
): readonly Operation[] {
  const former = new Map(actual.map((service) => [virtualServiceId(service), service]));
  const operations = desired.flatMap((service) => {
    const id = virtualServiceId(service);
    const present = former.get(id);
    former.delete(id);
    return present ? change(service, present) : add(service);
  });
  const removals = [...former.values()].map(
    (service): Operation => ({ do: 'delete-service', service: virtualServiceKey(service) }),
  );
  return [...operations, ...removals];
}

function add(service: VirtualService): readonly Operation[] {
  return [{ do: 'add-service', service: definition(service) }, ...service.destinations.map(adding(service))];
}

function change(desired: VirtualService, actual: VirtualService): readonly Operation[] {
  const former = new Map(actual.destinations.map((each) => [destinationId(each), each]));
  const wanted = new Set(desired.destinations.map(destinationId));
  const added = desired.destinations.filter((each) => !former.has(destinationId(each)));
  const edited = desired.destinations.filter((each) => {
    const present = former.get(destinationId(each));
    return present !== undefined && !sameDestination(each, present);
  });
  const removed = actual.destinations.filter((each) => !wanted.has(destinationId(each)));
  const service = virtualServiceKey(desired);
  // What takes new connections comes before what ceases to, of all clients or of some.
  return [
    ...(sameDefinition(desired, actual)
      ? []
      : [{ do: 'edit-service', service: definition(desired) } as const]),
    ...added.map(adding(desired)),
    ...edited.filter((each) => each.weight > 0 && each.clients === undefined).map(editing(desired)),
    ...edited.filter((each) => each.weight > 0 && each.clients !== undefined).map(editing(desired)),
    ...edited.filter((each) => each.weight === 0).map(editing(desired)),
    ...removed.map(
      (each): Operation => ({ do: 'delete-destination', service, destination: destinationKey(each) }),
    ),
  ];
}

function adding(service: VirtualService): (destination: Destination) => Operation {
  return (destination) => ({ do: 'add-destination', service: virtualServiceKey(service), destination });
}

function editing(service: VirtualService): (destination: Destination) => Operation {
  return (destination) => ({ do: 'edit-destination', service: virtualServiceKey(service), destination });
}

function definition({ destinations, ...definition }: VirtualService): VirtualServiceDefinition {
  return definition;
}

function destinationKey({ address, port }: DestinationKey): DestinationKey {
  return { address, port };
}
