// SPDX-License-Identifier: Apache-2.0
// A Service from its manifest: the API's defaults and the API's refusals.
import { type Cidr, canonicalCidr, parseCidr } from '../model/cidr.ts';
import type { LoadBalancerIngress, ServiceObject, ServiceType } from '../model/cluster.ts';
import type { FieldReader, Fields } from './fields.ts';
import { dnsSubdomain } from './fields.ts';
import type { Metadata } from './metadata.ts';
import { readServiceAddresses } from './service-addresses.ts';
import { readServicePorts } from './service-ports.ts';
import { refuseSpecial } from './special-address.ts';

const serviceTypes = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'] as const;
const policies = ['Cluster', 'Local'] as const;
const maxAffinitySeconds = 86_400;
const defaultAffinitySeconds = 10_800;

/** Refuses what validation of Services refuses (Kubernetes pkg/apis/core/validation, ValidateService). */
export function readService(reader: FieldReader, metadata: Metadata, object: Fields): ServiceObject {
  const spec = reader.fields(object.spec, 'spec');
  const type = reader.choice(spec.type, 'spec.type', serviceTypes) ?? 'ClusterIP';
  const { isHeadless, clusterIps } = readServiceAddresses(reader, spec, type);
  const externalIps = reader.list(spec.externalIPs, 'spec.externalIPs').flatMap((value, i) => {
    const address = reader.address(value, `spec.externalIPs[${i}]`);
    if (address !== undefined) refuseSpecial(reader, address, `spec.externalIPs[${i}]`);
    return address ?? [];
  });
  checkExternalName(reader, spec, type);
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    createdAtMs: metadata.createdAtMs,
    hasOtherProxy: 'service.kubernetes.io/service-proxy-name' in metadata.labels,
    type,
    isHeadless,
    clusterIps,
    externalIps,
    loadBalancer: readIngress(reader, object, type),
    ports: readServicePorts(reader, spec, type, isHeadless),
    affinitySeconds: readAffinity(reader, spec),
    ...readPolicies(reader, spec, type, externalIps.length > 0),
    sourceRanges: readSourceRanges(reader, spec, type),
    annotations: metadata.annotations,
  };
}

function readIngress(reader: FieldReader, object: Fields, type: ServiceType): readonly LoadBalancerIngress[] {
  const status = reader.fields(object.status, 'status');
  const path = 'status.loadBalancer.ingress';
  const entries = reader.list(reader.fields(status.loadBalancer, 'status.loadBalancer').ingress, path);
  if (entries.length > 0 && type !== 'LoadBalancer') reader.refuse(path, `must be empty for type ${type}`);
  return entries.flatMap((value, i) => {
    const entry = reader.fields(value, `${path}[${i}]`);
    const ipMode = reader.choice(entry.ipMode, `${path}[${i}].ipMode`, ['VIP', 'Proxy']) ?? 'VIP';
    if (entry.ip === '') return [];
    const address = reader.address(entry.ip, `${path}[${i}].ip`);
    return address === undefined ? [] : { address, ipMode };
  });
}

function readAffinity(reader: FieldReader, spec: Fields): number | undefined {
  const affinity =
    reader.choice(spec.sessionAffinity, 'spec.sessionAffinity', ['None', 'ClientIP']) ?? 'None';
  if (affinity === 'None') return undefined;
  const path = 'spec.sessionAffinityConfig.clientIP';
  const config = reader.fields(spec.sessionAffinityConfig, 'spec.sessionAffinityConfig');
  const { timeoutSeconds } = reader.fields(config.clientIP, path);
  return (
    reader.integer(timeoutSeconds, `${path}.timeoutSeconds`, 1, maxAffinitySeconds) ?? defaultAffinitySeconds
  );
}

type Policies = Pick<ServiceObject, 'internalPolicy' | 'externalPolicy' | 'healthCheckNodePort'>;

function readPolicies(
  reader: FieldReader,
  spec: Fields,
  type: ServiceType,
  hasExternalIp: boolean,
): Policies {
  const internal = reader.choice(spec.internalTrafficPolicy, 'spec.internalTrafficPolicy', policies);
  const external = reader.choice(spec.externalTrafficPolicy, 'spec.externalTrafficPolicy', policies);
  const isReachable =
    type === 'NodePort' || type === 'LoadBalancer' || (type === 'ClusterIP' && hasExternalIp);
  if (external !== undefined && !isReachable) {
    reader.refuse('spec.externalTrafficPolicy', 'only a service that is reachable from outside may have it');
  }
  const port = reader.integer(spec.healthCheckNodePort, 'spec.healthCheckNodePort', 0, 65535) ?? 0;
  if (port !== 0 && (type !== 'LoadBalancer' || external !== 'Local')) {
    reader.refuse(
      'spec.healthCheckNodePort',
      'only type LoadBalancer with externalTrafficPolicy Local may have it',
    );
  }
  return {
    internalPolicy: internal ?? 'Cluster',
    externalPolicy: external ?? 'Cluster',
    healthCheckNodePort: port,
  };
}

function readSourceRanges(reader: FieldReader, spec: Fields, type: ServiceType): readonly Cidr[] {
  const path = 'spec.loadBalancerSourceRanges';
  const ranges = reader.list(spec.loadBalancerSourceRanges, path);
  if (ranges.length > 0 && type !== 'LoadBalancer') reader.refuse(path, 'only type LoadBalancer may have it');
  return ranges.flatMap((value, i) => {
    const text = reader.text(value, `${path}[${i}]`)?.trim();
    if (text === undefined) return [];
    const cidr = parseCidr(text);
    if (cidr) return canonicalCidr(cidr);
    reader.refuse(`${path}[${i}]`, `expected a CIDR but received "${text}"`);
    return [];
  });
}

function checkExternalName(reader: FieldReader, spec: Fields, type: ServiceType): void {
  if (type !== 'ExternalName') return;
  const name = reader.text(spec.externalName, 'spec.externalName')?.replace(/\.$/, '');
  if (name === undefined || !dnsSubdomain.test(name)) {
    reader.refuse('spec.externalName', 'type ExternalName needs a DNS name here');
  }
}
