// SPDX-License-Identifier: Apache-2.0
// The addresses and ports that a service port answers on.
import { type Address, addressFamily, type Family } from '../model/address.ts';
import type { ServiceObject, ServicePort } from '../model/cluster.ts';
import type { AddressServiceKey } from '../model/virtual-service.ts';

export type FrontEndKind = 'cluster-ip' | 'external-ip' | 'load-balancer-ip' | 'node-port';

export interface FrontEnd extends AddressServiceKey {
  readonly kind: FrontEndKind;
}

/**
 * Nothing for a family of which the service has no cluster IP. An address of several kinds is listed once, under the
 * first kind in the order above. The status alone says which load-balancer IPs there are; the type has no say.
 */
export function frontEnds(
  service: ServiceObject,
  port: ServicePort,
  family: Family,
  nodePortAddresses: readonly Address[],
  allowsExternalIps = true,
): readonly FrontEnd[] {
  const ofFamily = (addresses: readonly Address[]) =>
    addresses.filter((address) => addressFamily(address) === family);
  const clusterIps = ofFamily(service.clusterIps);
  if (clusterIps.length === 0) return [];
  const virtualIps = service.loadBalancer.filter((each) => each.ipMode === 'VIP').map((each) => each.address);
  const at = (kind: FrontEndKind, addresses: readonly Address[], number: number): FrontEnd[] =>
    addresses.map((address) => ({ kind, protocol: port.protocol, address, port: number }));
  const all = [
    ...at('cluster-ip', clusterIps, port.port),
    ...at('external-ip', allowsExternalIps ? ofFamily(service.externalIps) : [], port.port),
    ...at('load-balancer-ip', ofFamily(virtualIps), port.port),
    ...at('node-port', port.nodePort === 0 ? [] : nodePortAddresses, port.nodePort),
  ];
  return all.filter(
    (one, i) => all.findIndex((two) => two.address === one.address && two.port === one.port) === i,
  );
}
