// SPDX-License-Identifier: Apache-2.0
// A Service of both families with its EndpointSlices, as manifests.
import type { DualAddress, ServiceAddress } from '../cast.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface DualService {
  readonly name: string;
  /** Cluster IPs, and the port for all protocols. */
  readonly at: ServiceAddress;
  /** Their addresses, all ready, serving `targetPort`. */
  readonly endpoints: readonly DualAddress[];
  readonly targetPort?: number;
  /** TCP and UDP if not given. */
  readonly protocols?: readonly ('TCP' | 'UDP' | 'SCTP')[];
  readonly nodePort?: number;
  readonly externalIps?: readonly DualAddress[];
  readonly loadBalancerIps?: readonly DualAddress[];
  /** How long a client is kept at its endpoint (sessionAffinity: ClientIP); not at all if not given. */
  readonly affinitySeconds?: number;
}

/** One Service, and one slice a family. */
export function dualServiceManifests(service: DualService): readonly Fields[] {
  const {
    name,
    at,
    endpoints,
    targetPort = 8080,
    protocols = ['TCP', 'UDP'],
    nodePort,
    externalIps = [],
    loadBalancerIps = [],
    affinitySeconds,
  } = service;
  const affinity = {
    sessionAffinity: 'ClientIP',
    sessionAffinityConfig: { clientIP: { timeoutSeconds: affinitySeconds } },
  };
  const both = (addresses: readonly DualAddress[]) => addresses.flatMap(({ v4, v6 }) => [v4, v6]);
  const ports = protocols.map((protocol) => ({ name: protocol.toLowerCase(), protocol }));
  const slice = (family: 'v4' | 'v6') => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-${family}`, labels: { 'kubernetes.io/service-name': name } },
    addressType: family === 'v4' ? 'IPv4' : 'IPv6',
    endpoints: endpoints.map((each) => ({ addresses: [each[family]] })),
    ports: ports.map((port) => ({ ...port, port: targetPort })),
  });
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name },
      spec: {
        type: nodePort === undefined ? 'ClusterIP' : 'LoadBalancer',
        clusterIP: at.v4,
        clusterIPs: [at.v4, at.v6],
        ipFamilies: ['IPv4', 'IPv6'],
        externalIPs: both(externalIps),
        ...(affinitySeconds !== undefined && affinity),
        ports: ports.map((port) => ({ ...port, port: at.port, ...(nodePort !== undefined && { nodePort }) })),
      },
      status: { loadBalancer: { ingress: both(loadBalancerIps).map((ip) => ({ ip })) } },
    },
    slice('v4'),
    slice('v6'),
  ];
}
