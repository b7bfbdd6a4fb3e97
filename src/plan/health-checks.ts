// SPDX-License-Identifier: Apache-2.0
// healthCheckNodePort: what a load balancer is told of this node.
import type { Family } from '../model/address.ts';
import type { EndpointSliceObject, ServiceObject } from '../model/cluster.ts';
import type { HealthCheck, NodeView } from './desired-state.ts';
import { portEndpoints } from './endpoints.ts';
import { serviceId } from './served.ts';

/**
 * Only of type LoadBalancer with externalTrafficPolicy Local, once for each family of the Service. Ready endpoints of this
 * node count by their address, whatever ports they have, those that no port of the Service
 * names too; terminating ones do not, even while they still get traffic: the
 * load balancer is to leave, what is on its way is to be served. Source: kube-proxy's service health server.
 */
export function healthCheck(
  service: ServiceObject,
  slices: readonly EndpointSliceObject[],
  family: Family,
  node: Pick<NodeView, 'name'>,
): HealthCheck | undefined {
  const { type, externalPolicy, healthCheckNodePort: port } = service;
  if (type !== 'LoadBalancer' || externalPolicy !== 'Local' || port === 0) return undefined;
  const ports = new Map(
    slices.flatMap((slice) => slice.ports).map((each) => [`${each.name} ${each.protocol}`, each]),
  );
  const endpoints = [...ports.values()].flatMap((each) => portEndpoints(slices, each, family));
  const local = endpoints.filter(
    ({ isReady, nodeName }) => isReady && nodeName !== '' && nodeName === node.name,
  );
  return {
    service: serviceId(service),
    family,
    port,
    localReadyEndpoints: new Set(local.map(({ address }) => address)).size,
  };
}
