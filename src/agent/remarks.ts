// SPDX-License-Identifier: Apache-2.0
// Sentences about planning and applying, for a person to read.
import { formatAddressPort } from '../model/address.ts';
import type { Operation } from '../model/operation.ts';
import { destinationId, virtualServiceId } from '../model/virtual-service.ts';
import type { DesiredState, ServiceId } from '../plan/desired-state.ts';

/** Something in the objects that the author of a Service would want to know of. */
export interface Remark {
  readonly service: ServiceId;
  readonly message: string;
  readonly isConflict: boolean;
}

export function remarks({
  conflicts,
  warnings,
}: Pick<DesiredState, 'conflicts' | 'warnings'>): readonly Remark[] {
  return [
    ...conflicts.map(({ virtualService: { protocol, address, port }, winner, loser }) => ({
      service: loser,
      message: `${formatAddressPort(address, port)}/${protocol} already belongs to ${winner}`,
      isConflict: true,
    })),
    ...warnings.map(({ service, message }) => ({ service, message, isConflict: false })),
  ];
}

export function formatRemark({ service, message }: Remark): string {
  return `Service ${service}: ${message}`;
}

/** "add-destination tcp 10.96.0.1:443 10.244.1.2:8443" */
export function describeOperation(operation: Operation): string {
  const words = [operation.do, virtualServiceId(operation.service)];
  return 'destination' in operation
    ? [...words, destinationId(operation.destination)].join(' ')
    : words.join(' ');
}
