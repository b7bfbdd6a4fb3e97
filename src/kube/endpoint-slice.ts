// SPDX-License-Identifier: Apache-2.0
// An EndpointSlice from its manifest: the API's defaults and the API's refusals.
import { type Address, addressFamily } from '../model/address.ts';
import type { Endpoint, EndpointPort, EndpointSliceObject } from '../model/cluster.ts';
import { dnsLabel, dnsSubdomain, type FieldReader, type Fields } from './fields.ts';
import type { Metadata } from './metadata.ts';
import { readProtocol } from './service-ports.ts';
import { refuseSpecial } from './special-address.ts';

type AddressType = EndpointSliceObject['addressType'];

const maxEndpoints = 1000;
const maxAddresses = 100;
const maxHints = 8;

/** Refuses what validation of EndpointSlices refuses (Kubernetes pkg/apis/discovery/validation). */
export function readEndpointSlice(
  reader: FieldReader,
  metadata: Metadata,
  object: Fields,
): EndpointSliceObject {
  const addressType = reader.choice(object.addressType, 'addressType', ['IPv4', 'IPv6', 'FQDN']);
  reader.require(object.addressType, 'addressType');
  const entries = reader.list(object.endpoints, 'endpoints');
  if (entries.length > maxEndpoints) {
    reader.refuse('endpoints', `expected at most ${maxEndpoints} entries but received ${entries.length}`);
  }
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    serviceName: metadata.labels['kubernetes.io/service-name'] ?? '',
    isHeadless: 'service.kubernetes.io/headless' in metadata.labels,
    addressType: addressType ?? 'FQDN',
    endpoints: entries.flatMap(
      (value, i) => readEndpoint(reader, value, `endpoints[${i}]`, addressType) ?? [],
    ),
    ports: readPorts(reader, object),
    annotations: metadata.annotations,
  };
}

function readEndpoint(
  reader: FieldReader,
  value: unknown,
  path: string,
  type: AddressType | undefined,
): Endpoint | undefined {
  const entry = reader.fields(value, path);
  const texts = reader.list(entry.addresses, `${path}.addresses`);
  reader.require(entry.addresses, `${path}.addresses`);
  if (texts.length > maxAddresses) {
    reader.refuse(
      `${path}.addresses`,
      `expected at most ${maxAddresses} entries but received ${texts.length}`,
    );
  }
  const addresses = texts.map((text, i) =>
    readEndpointAddress(reader, text, `${path}.addresses[${i}]`, type),
  );
  const nodeName = reader.name(entry.nodeName, `${path}.nodeName`, dnsSubdomain, 'a DNS name') ?? '';
  reader.name(entry.hostname, `${path}.hostname`, dnsLabel, 'a DNS label');
  const conditions = reader.fields(entry.conditions, `${path}.conditions`);
  const isReady = reader.flag(conditions.ready, `${path}.conditions.ready`) ?? true;
  const isServing = reader.flag(conditions.serving, `${path}.conditions.serving`) ?? true;
  const isTerminating = reader.flag(conditions.terminating, `${path}.conditions.terminating`) ?? false;
  const hints = reader.fields(entry.hints, `${path}.hints`);
  const nodeHints = readHints(reader, hints.forNodes, `${path}.hints.forNodes`);
  const zoneHints = readHints(reader, hints.forZones, `${path}.hints.forZones`);
  const address = addresses[0];
  return address === undefined
    ? undefined
    : { address, isReady, isServing, isTerminating, nodeName, nodeHints, zoneHints };
}

const noHints: readonly string[] = [];

function readHints(reader: FieldReader, value: unknown, path: string): readonly string[] {
  const entries = reader.list(value, path);
  if (entries.length === 0) return noHints;
  if (entries.length > maxHints)
    reader.refuse(path, `expected at most ${maxHints} entries but received ${entries.length}`);
  return entries.flatMap((each, i) => {
    const { name } = reader.fields(each, `${path}[${i}]`);
    reader.require(name, `${path}[${i}].name`);
    return reader.text(name, `${path}[${i}].name`) || [];
  });
}

/** Domain names are checked and then left out: they are never destinations. */
function readEndpointAddress(
  reader: FieldReader,
  value: unknown,
  path: string,
  type: AddressType | undefined,
): Address | undefined {
  if (type === undefined) return undefined;
  if (type === 'FQDN') {
    reader.name(value, path, dnsSubdomain, 'a DNS name');
    return undefined;
  }
  const address = reader.address(value, path);
  if (address === undefined) return undefined;
  if (addressFamily(address) !== (type === 'IPv4' ? 4 : 6)) {
    return reader.refuse(path, `expected an ${type} address but received ${address}`);
  }
  refuseSpecial(reader, address, path);
  return address;
}

function readPorts(reader: FieldReader, object: Fields): readonly EndpointPort[] {
  const names = new Set<string>();
  return reader.list(object.ports, 'ports').map((value, i) => {
    const path = `ports[${i}]`;
    const entry = reader.fields(value, path);
    const name = reader.name(entry.name, `${path}.name`, dnsLabel, 'a DNS label') ?? '';
    if (names.has(name)) reader.refuse(`${path}.name`, 'is the same as of an earlier port');
    names.add(name);
    return {
      name,
      protocol: readProtocol(reader, entry.protocol, `${path}.protocol`),
      port: reader.integer(entry.port, `${path}.port`, 0, 65535) ?? 0,
    };
  });
}
