// SPDX-License-Identifier: Apache-2.0
// Which Services and EndpointSlices count.
import type { EndpointSliceObject, ServiceObject } from '../model/cluster.ts';
import type { Warning } from './desired-state.ts';

/**
 * Services of another proxy, headless ones, those of type ExternalName and those without a cluster IP have no virtual
 * services, not even for external IPs. Source: the watches and the change tracker of kube-proxy.
 */
export function isServed(service: ServiceObject): boolean {
  return wantsClusterIp(service) && service.clusterIps.length > 0;
}

/** Who manages a slice has no meaning; only the labels do. */
export function isUsable(slice: EndpointSliceObject): boolean {
  return !slice.isHeadless && slice.serviceName !== '' && slice.addressType !== 'FQDN';
}

/** Outside a cluster nobody fills in cluster IPs, so that one forgotten is worth a word. */
export function servedWarnings(service: ServiceObject): readonly Warning[] {
  if (!wantsClusterIp(service) || service.clusterIps.length > 0) return [];
  return [{ service: serviceId(service), message: 'spec.clusterIP is empty: nothing is served' }];
}

export function serviceId(service: ServiceObject): string {
  return `${service.namespace}/${service.name}`;
}

function wantsClusterIp(service: ServiceObject): boolean {
  return !service.hasOtherProxy && !service.isHeadless && service.type !== 'ExternalName';
}
