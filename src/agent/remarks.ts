// SPDX-License-Identifier: Apache-2.0
// Sentences about planning and applying, for a person to read.
import { formatAddressPort } from '../model/address.ts';
import type { Operation } from '../model/operation.ts';
import { destinationId, virtualServiceId } from '../model/virtual-service.ts';
import type { DesiredState } from '../plan/desired-state.ts';

/** One line for each thing in the objects that its author would want to know of. */
export function remarks(desired: DesiredState): readonly string[] {
  return [
    ...desired.conflicts.map(
      ({ virtualService: { protocol, address, port }, winner, loser }) =>
        `Service ${loser}: ${formatAddressPort(address, port)}/${protocol} already belongs to ${winner}`,
    ),
    ...desired.warnings.map(({ service, message }) => `Service ${service}: ${message}`),
  ];
}

/** "add-destination tcp 10.96.0.1:443 10.244.1.2:8443" */
export function describeOperation(operation: Operation): string {
  const words = [operation.do, virtualServiceId(operation.service)];
  return 'destination' in operation
    ? [...words, destinationId(operation.destination)].join(' ')
    : words.join(' ');
}
