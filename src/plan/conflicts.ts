// SPDX-License-Identifier: Apache-2.0
// Who has a front end that several Services claim.
import type { ServiceObject } from '../model/cluster.ts';
import { type AddressService, virtualServiceId } from '../model/virtual-service.ts';
import type { Conflict } from './desired-state.ts';
import { serviceId } from './served.ts';

/** What one Service wants. */
export interface Claim {
  readonly service: ServiceObject;
  readonly virtualServices: readonly AddressService[];
}

/** The oldest first; those without a time after all others; then by namespace and name. */
export function bySeniority(a: ServiceObject, b: ServiceObject): number {
  const [timeA, timeB] = [
    a.createdAtMs ?? Number.POSITIVE_INFINITY,
    b.createdAtMs ?? Number.POSITIVE_INFINITY,
  ];
  if (timeA !== timeB) return timeA < timeB ? -1 : 1;
  return serviceId(a) < serviceId(b) ? -1 : 1;
}

/**
 * Gives each front end to the senior one of those who claim it, so that the outcome depends neither on the order of
 * events nor on that of the lists. The claims come in order of seniority.
 */
export function resolveClaims(claims: readonly Claim[]): {
  readonly services: readonly AddressService[];
  readonly conflicts: readonly Conflict[];
} {
  const owners = new Map<string, string>();
  const services: AddressService[] = [];
  const conflicts: Conflict[] = [];
  for (const { service, virtualServices } of claims) {
    for (const virtualService of virtualServices) {
      const key = virtualServiceId(virtualService);
      const winner = owners.get(key);
      if (winner === undefined) {
        owners.set(key, serviceId(service));
        services.push(virtualService);
      } else {
        const { protocol, address, port } = virtualService;
        conflicts.push({ virtualService: { protocol, address, port }, winner, loser: serviceId(service) });
      }
    }
  }
  return { services, conflicts };
}
