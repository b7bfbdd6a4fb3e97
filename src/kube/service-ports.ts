// SPDX-License-Identifier: Apache-2.0
// spec.ports of a Service.
import type { ServicePort, ServiceType } from '../model/cluster.ts';
import type { Protocol } from '../model/virtual-service.ts';
import { dnsLabel, type FieldReader, type Fields } from './fields.ts';

const protocols = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' } as const satisfies Record<string, Protocol>;
const kubeletPort = 10250;

/** A protocol as the API spells it; TCP where it is not given. */
export function readProtocol(reader: FieldReader, value: unknown, path: string): Protocol {
  return protocols[reader.choice(value, path, ['TCP', 'UDP', 'SCTP']) ?? 'TCP'];
}

export function readServicePorts(
  reader: FieldReader,
  spec: Fields,
  type: ServiceType,
  isHeadless: boolean,
): readonly ServicePort[] {
  const entries = reader.list(spec.ports, 'spec.ports');
  if (!isHeadless && type !== 'ExternalName') reader.require(spec.ports, 'spec.ports');
  const ports = entries.map((value, i) =>
    readPort(reader, value, `spec.ports[${i}]`, type, entries.length > 1),
  );
  refuseTwice(reader, ports, 'name', (port) => port.name);
  refuseTwice(reader, ports, 'port', (port) => numberKey(port.port, port));
  refuseTwice(reader, ports, 'nodePort', (port) => numberKey(port.nodePort, port));
  return ports.filter(({ port }) => port !== 0); // what was refused is none
}

function readPort(
  reader: FieldReader,
  value: unknown,
  path: string,
  type: ServiceType,
  needsName: boolean,
): ServicePort {
  const entry = reader.fields(value, path);
  const name = reader.name(entry.name, `${path}.name`, dnsLabel, 'a DNS label') ?? '';
  if (needsName && (entry.name ?? '') === '')
    reader.refuse(`${path}.name`, 'is missing, and the service has several ports');
  reader.require(entry.port, `${path}.port`);
  const port = reader.integer(entry.port, `${path}.port`, 1, 65535) ?? 0;
  if (type === 'LoadBalancer' && port === kubeletPort) {
    reader.refuse(`${path}.port`, `${kubeletPort} is the kubelet's and may not be exposed`);
  }
  const nodePort = reader.integer(entry.nodePort, `${path}.nodePort`, 0, 65535) ?? 0;
  if (nodePort !== 0 && (type === 'ClusterIP' || type === 'ExternalName')) {
    reader.refuse(`${path}.nodePort`, `type ${type} may not have one`);
  }
  checkTargetPort(reader, entry.targetPort, `${path}.targetPort`);
  return {
    name,
    protocol: readProtocol(reader, entry.protocol, `${path}.protocol`),
    port,
    nodePort,
  };
}

function checkTargetPort(reader: FieldReader, value: unknown, path: string): void {
  if (typeof value !== 'string') {
    reader.integer(value, path, 1, 65535);
  } else if (!/^(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*$/.test(value)) {
    reader.refuse(path, `expected a port number or a port name but received "${value}"`);
  }
}

/** Refuses a port whose key an earlier one has; ports with an empty key have none. */
function refuseTwice(
  reader: FieldReader,
  ports: readonly ServicePort[],
  field: string,
  key: (port: ServicePort) => string,
): void {
  const seen = new Set<string>();
  ports.forEach((port, i) => {
    const text = key(port);
    if (text !== '' && seen.has(text))
      reader.refuse(`spec.ports[${i}].${field}`, 'is the same as of an earlier port');
    seen.add(text);
  });
}

/** Empty for no number, or one that was refused. */
function numberKey(number: number, { protocol }: ServicePort): string {
  return number === 0 ? '' : `${number} ${protocol}`;
}
