// SPDX-License-Identifier: Apache-2.0
// internalTrafficPolicy and externalTrafficPolicy: which endpoints serve a front end, for whom, and what is left without them.
import type { Endpoint, ServiceObject } from '../model/cluster.ts';
import type { ClientSide, NoDestination } from '../model/virtual-service.ts';
import type { NodeView } from './desired-state.ts';
import { hintedEndpoints } from './topology.ts';

/** The endpoints of a service port that may get traffic on this node. */
export interface EndpointSets<T extends Endpoint> {
  /** For policy Cluster. */
  readonly cluster: readonly T[];
  /** For policy Local. */
  readonly local: readonly T[];
}

/**
 * In each set the ready ones, and only while there are none those that still serve while they terminate: each set falls
 * back by itself. Topology hints choose among the ready ones of policy Cluster alone. One that serves but is neither ready
 * nor terminating gets nothing. Source: KEP-1669, KEP-2086.
 */
export function endpointSets<T extends Endpoint>(
  endpoints: readonly T[],
  node: Pick<NodeView, 'name' | 'zone'>,
): EndpointSets<T> {
  const isLocal = ({ nodeName }: Endpoint) => nodeName !== '' && nodeName === node.name;
  const ready = endpoints.filter((endpoint) => endpoint.isReady);
  const leaving = endpoints.filter((endpoint) => endpoint.isServing && endpoint.isTerminating);
  const orLeaving = (set: readonly T[], substitute: readonly T[]) => (set.length > 0 ? set : substitute);
  return {
    cluster: orLeaving(hintedEndpoints(ready, node), leaving),
    local: orLeaving(ready.filter(isLocal), leaving.filter(isLocal)),
  };
}

/** Whom an endpoint serves at one front end: undefined means all clients. */
export interface ServedEndpoint<T extends Endpoint> {
  readonly endpoint: T;
  readonly clients: ClientSide | undefined;
}

/** What a front end offers. */
export interface Offer<T extends Endpoint> {
  readonly endpoints: readonly ServedEndpoint<T>[];
  readonly noDestination: NoDestination;
  /** Clients outside have a view of their own. */
  readonly outside: { readonly noDestination: NoDestination } | undefined;
}

/**
 * What a service's cluster IPs offer, or all its other addresses. Policy Local at a cluster IP is for every client. At all other addresses it is for clients outside: pods and the node
 * itself get what policy Cluster gives them. Clients of a service that has endpoints, but none for them, are dropped, so
 * that a load balancer tries another node; they are rejected where there is no endpoint anywhere. The view of clients
 * outside is there whatever the endpoints are, as its connections would end with it.
 * Source: the Service API; kube-proxy's nftables mode, where its IPVS mode differs.
 */
export function offer<T extends Endpoint>(
  service: ServiceObject,
  isClusterIp: boolean,
  { cluster, local }: EndpointSets<T>,
): Offer<T> {
  const withoutLocal = cluster.length > 0 ? 'drop' : 'reject';
  if (isClusterIp && service.internalPolicy === 'Local')
    return { endpoints: local.map(forAll), noDestination: withoutLocal, outside: undefined };
  if (isClusterIp || !isExternalLocal(service))
    return { endpoints: cluster.map(forAll), noDestination: 'reject', outside: undefined };
  const locals = new Set(local);
  const clusters = new Set(cluster);
  return {
    endpoints: [
      ...cluster.map((endpoint) => ({
        endpoint,
        clients: locals.has(endpoint) ? undefined : ('inside' as const),
      })),
      ...local
        .filter((endpoint) => !clusters.has(endpoint))
        .map((endpoint) => ({ endpoint, clients: 'outside' as const })),
    ],
    noDestination: 'reject',
    outside: { noDestination: withoutLocal },
  };
}

/** On a ClusterIP service without external IPs, which older clusters may hold, the policy means nothing. */
function isExternalLocal({ externalPolicy, type, externalIps }: ServiceObject): boolean {
  return externalPolicy === 'Local' && (type !== 'ClusterIP' || externalIps.length > 0);
}

function forAll<T extends Endpoint>(endpoint: T): ServedEndpoint<T> {
  return { endpoint, clients: undefined };
}
