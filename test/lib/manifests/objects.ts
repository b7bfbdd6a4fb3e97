// SPDX-License-Identifier: Apache-2.0
// Kubernetes objects as a manifest spells them, valid unless a test says otherwise.

type Fields = Readonly<Record<string, unknown>>;

/** A ClusterIP service default/web of one port; `spec` replaces or adds, `rest` too at the top. */
export function serviceManifest(spec: Fields = {}, rest: Fields = {}): Fields {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web' },
    spec: { clusterIP: '10.96.0.80', ports: [{ port: 80 }], ...spec },
    ...rest,
  };
}

/** A slice default/web-a of the service web with port 8080 and these endpoints. */
export function sliceManifest(endpoints: readonly Fields[], rest: Fields = {}): Fields {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'web-a', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    endpoints,
    ports: [{ port: 8080 }],
    ...rest,
  };
}

export function nodeManifest(name: string, addresses: readonly string[]): Fields {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name },
    status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
  };
}

/** An endpoint with its conditions left out, which makes it ready. */
export function endpoint(address: string, conditions?: Fields): Fields {
  return { addresses: [address], ...(conditions && { conditions }) };
}
