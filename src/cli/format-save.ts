// SPDX-License-Identifier: Apache-2.0
// Virtual services as the lines of `ipvsadm -S -n`, which `ipvsadm -R` reads.

import { formatAddressPort } from '../model/address.ts';
import type { Operation } from '../model/operation.ts';
import { formatSchedulerFlags } from '../model/scheduler.ts';
import {
  type Destination,
  destinationId,
  type ForwardingMethod,
  type Protocol,
  type VirtualService,
  type VirtualServiceDefinition,
  type VirtualServiceKey,
} from '../model/virtual-service.ts';
import { formatPersistence } from './persistence.ts';

const serviceOptions: Record<Protocol, string> = { tcp: '-t', udp: '-u', sctp: '--sctp-service' };
const methodOptions: Record<ForwardingMethod, string> = {
  masq: '-m',
  tunnel: '-i',
  droute: '-g',
  local: '-g',
};

/**
 * One line a service, followed by one a destination. Services are sorted by what follows -A, destinations by what follows
 * -r, so that equal states print equal texts. What ipvsadm cannot say (reject or drop without destinations) is left out.
 */
export function formatSave(services: readonly VirtualService[]): readonly string[] {
  const sorted = services.map((service) => ({ service, text: definition(service) })).sort(byText);
  return sorted.flatMap(({ service, text }) => [
    `-A ${text}`,
    ...service.destinations
      .map((each) => ({ text: destination(each) }))
      .sort(byText)
      .map((each) => `-a ${serviceKey(service)} -r ${each.text}`),
  ]);
}

/** The ipvsadm command line that does the operation, without the command's name. */
export function formatOperation(operation: Operation): string {
  switch (operation.do) {
    case 'add-service':
      return `-A ${definition(operation.service)}`;
    case 'edit-service':
      return `-E ${definition(operation.service)}`;
    case 'delete-service':
      return `-D ${serviceKey(operation.service)}`;
    case 'add-destination':
      return `-a ${serviceKey(operation.service)} -r ${destination(operation.destination)}`;
    case 'edit-destination':
      return `-e ${serviceKey(operation.service)} -r ${destination(operation.destination)}`;
    case 'delete-destination':
      return `-d ${serviceKey(operation.service)} -r ${destinationId(operation.destination)}`;
  }
}

/** "-t 10.96.0.1:443", "-f 7", "-f 7 -6"; the mark as a signed number, as ipvsadm prints it. */
function serviceKey(service: VirtualServiceKey): string {
  if (service.mark !== undefined) return `-f ${service.mark | 0}${service.family === 6 ? ' -6' : ''}`;
  return `${serviceOptions[service.protocol]} ${formatAddressPort(service.address, service.port)}`;
}

/** "-t 10.96.0.1:443 -s mh -p 300 -b mh-port" */
function definition(service: VirtualServiceDefinition): string {
  const { scheduler, schedulerFlags, persistence, isOnePacket } = service;
  const flags = formatSchedulerFlags(scheduler, schedulerFlags);
  return [
    `${serviceKey(service)} -s ${scheduler}`,
    ...(persistence ? [formatPersistence(service, persistence, ['-p', '-M'])] : []),
    ...(isOnePacket ? ['-o'] : []),
    ...(flags === '' ? [] : [`-b ${flags}`]),
  ].join(' ');
}

/** "10.244.1.5:8080 -m -w 1" */
function destination(each: Destination): string {
  return `${destinationId(each)} ${methodOptions[each.forwarding]} -w ${each.weight}`;
}

function byText(a: { text: string }, b: { text: string }): number {
  return a.text < b.text ? -1 : a.text > b.text ? 1 : 0;
}
