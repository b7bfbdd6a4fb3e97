// SPDX-License-Identifier: Apache-2.0
// Virtual services as the lines of `ipvsadm -S -n`, which `ipvsadm -R` reads.

import { formatAddressPort } from '../model/address.ts';
import { canonicalCidr } from '../model/cidr.ts';
import type { Operation } from '../model/operation.ts';
import { formatSchedulerFlags } from '../model/scheduler.ts';
import {
  type Destination,
  destinationId,
  type ForwardingMethod,
  type Protocol,
  serviceFamily,
  type VirtualService,
  type VirtualServiceDefinition,
  type VirtualServiceKey,
} from '../model/virtual-service.ts';

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

/** "-t 10.96.0.1:443", "-f 7", "-f 7 -6" */
function serviceKey(service: VirtualServiceKey): string {
  if (service.mark !== undefined)
    return service.family === 6 ? `-f ${service.mark} -6` : `-f ${service.mark}`;
  return `${serviceOptions[service.protocol]} ${formatAddressPort(service.address, service.port)}`;
}

/** "-t 10.96.0.1:443 -s mh -b mh-port" */
function definition(service: VirtualServiceDefinition): string {
  const flags = formatSchedulerFlags(service.scheduler, service.schedulerFlags);
  const persistence = formatPersistence(service);
  return `${serviceKey(service)} -s ${service.scheduler}${persistence}${flags === '' ? '' : ` -b ${flags}`}`;
}

/** " -p 10800", with " -M 255.255.255.0" or " -M 64" where clients of a network are one. */
function formatPersistence(service: VirtualServiceDefinition): string {
  const { persistence } = service;
  if (!persistence) return '';
  const { timeoutSeconds, prefixLength } = persistence;
  const family = serviceFamily(service);
  if (prefixLength === (family === 4 ? 32 : 128)) return ` -p ${timeoutSeconds}`;
  const mask =
    family === 6
      ? prefixLength
      : canonicalCidr({ family, address: '255.255.255.255', length: prefixLength }).address;
  return ` -p ${timeoutSeconds} -M ${mask}`;
}

/** "10.244.1.5:8080 -m -w 1" */
function destination(each: Destination): string {
  return `${destinationId(each)} ${methodOptions[each.forwarding]} -w ${each.weight}`;
}

function byText(a: { text: string }, b: { text: string }): number {
  return a.text < b.text ? -1 : a.text > b.text ? 1 : 0;
}
