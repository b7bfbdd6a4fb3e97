// SPDX-License-Identifier: Apache-2.0
// Kubernetes objects as plain data: checked, defaulted, and stripped to what planning reads.
import type { Address } from './address.ts';
import type { Cidr } from './cidr.ts';
import type { Protocol } from './virtual-service.ts';

export type ServiceType = 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';

export interface ServicePort {
  /** Empty for the only port of a service that names none. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  /** 0 for none. */
  readonly nodePort: number;
}

/** One entry of status.loadBalancer.ingress that has an address. */
export interface LoadBalancerIngress {
  readonly address: Address;
  /** With Proxy the load balancer itself terminates the address: nodes do not serve it. */
  readonly ipMode: 'VIP' | 'Proxy';
}

/** Cluster: all endpoints serve; Local: only those of the node that the client's packet comes to. */
export type TrafficPolicy = 'Cluster' | 'Local';

/** Annotations by their whole name; only those that have a say here. */
export type Annotations = Readonly<Record<string, string>>;

export interface ServiceObject {
  readonly namespace: string;
  readonly name: string;
  /** Milliseconds since 1970; undefined where the object does not say. */
  readonly createdAtMs: number | undefined;
  /** The object has the label service.kubernetes.io/service-proxy-name: another proxy serves it. */
  readonly hasOtherProxy: boolean;
  readonly type: ServiceType;
  /** clusterIP is "None". */
  readonly isHeadless: boolean;
  /** At most one of each family; empty if headless or not allocated. */
  readonly clusterIps: readonly Address[];
  readonly externalIps: readonly Address[];
  readonly loadBalancer: readonly LoadBalancerIngress[];
  readonly ports: readonly ServicePort[];
  /** Of sessionAffinity ClientIP, 1..86400; undefined for None. */
  readonly affinitySeconds: number | undefined;
  /** Of cluster IPs. */
  readonly internalPolicy: TrafficPolicy;
  /** Of all other addresses. */
  readonly externalPolicy: TrafficPolicy;
  /** Clients that may use the load-balancer IPs; empty: all. */
  readonly sourceRanges: readonly Cidr[];
  /** 0 for none. */
  readonly healthCheckNodePort: number;
  readonly annotations: Annotations;
}

export interface EndpointPort {
  readonly name: string;
  readonly protocol: Protocol;
  /** 0 where the slice gives no number. */
  readonly port: number;
}

export interface Endpoint {
  /** The first of the object's addresses; the others have no meaning. */
  readonly address: Address;
  readonly isReady: boolean;
  readonly isServing: boolean;
  readonly isTerminating: boolean;
  /** The node that it is on; empty where the slice does not say. */
  readonly nodeName: string;
  /** The nodes and zones whose clients it is meant for; empty: no hint. */
  readonly nodeHints: readonly string[];
  readonly zoneHints: readonly string[];
}

export interface EndpointSliceObject {
  readonly namespace: string;
  readonly name: string;
  /** The label kubernetes.io/service-name; empty if missing. */
  readonly serviceName: string;
  /** The object has the label service.kubernetes.io/headless. */
  readonly isHeadless: boolean;
  readonly addressType: 'IPv4' | 'IPv6' | 'FQDN';
  /** Empty for FQDN. */
  readonly endpoints: readonly Endpoint[];
  readonly ports: readonly EndpointPort[];
  readonly annotations: Annotations;
}

export interface NodeObject {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** status.addresses, those of type InternalIP before those of type ExternalIP, in their order, each once. */
  readonly addresses: readonly Address[];
  /** The keys of its taints. */
  readonly taints: readonly string[];
  /** It has a deletion timestamp. */
  readonly isBeingDeleted: boolean;
}

/** All objects of a cluster that have a say; each namespace and name once per kind, in no particular order. */
export interface ClusterObjects {
  readonly services: readonly ServiceObject[];
  readonly slices: readonly EndpointSliceObject[];
  readonly nodes: readonly NodeObject[];
}

/**
 * What has become different: by "namespace/name" (of nodes by name alone) the objects that are new or changed, and undefined
 * for those that are gone.
 */
export interface ClusterChange {
  readonly services: ReadonlyMap<string, ServiceObject | undefined>;
  readonly slices: ReadonlyMap<string, EndpointSliceObject | undefined>;
  readonly nodes: ReadonlyMap<string, NodeObject | undefined>;
}
