// SPDX-License-Identifier: Apache-2.0
// The Services of a large cluster and their EndpointSlices, as its controllers write them.

/** Services are numbered from 0; each has one port, and its endpoints in one slice. */
export interface Population {
  readonly services: number;
  readonly endpointsEach: number;
}

export const namespace = 'scale';
export const servicePort = 80;
const targetPort = 8080;
/** Their pods are spread over so many nodes. */
const nodes = 500;

export function serviceAddress(service: number): string {
  return `10.96.${128 + (service >> 8)}.${service & 0xff}`;
}

export function serviceObject(service: number): unknown {
  const name = serviceName(service);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, labels: { app: name } },
    spec: {
      clusterIP: serviceAddress(service),
      selector: { app: name },
      ports: [{ name: 'http', port: servicePort, targetPort }],
    },
  };
}

export function sliceObject(service: number, { endpointsEach }: Pick<Population, 'endpointsEach'>): unknown {
  const name = serviceName(service);
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: sliceName(service),
      labels: {
        app: name,
        'kubernetes.io/service-name': name,
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
      },
    },
    addressType: 'IPv4',
    endpoints: Array.from({ length: endpointsEach }, (_, i) => endpoint(service * endpointsEach + i, name)),
    ports: [{ name: 'http', protocol: 'TCP', port: targetPort }],
  };
}

export function slicePath(service: number): string {
  return `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices/${sliceName(service)}`;
}

/** A JSON patch: the slice's first endpoint becomes ready, or ceases to be, and this is what triggered it. */
export function readinessPatch(isReady: boolean, at: Date): unknown {
  const conditions = { ready: isReady, serving: isReady, terminating: false };
  return [
    { op: 'replace', path: '/endpoints/0/conditions', value: conditions },
    {
      op: 'add',
      path: '/metadata/annotations',
      value: { 'endpoints.kubernetes.io/last-change-trigger-time': at.toISOString() },
    },
  ];
}

function serviceName(service: number): string {
  return `service-${service}`;
}

function sliceName(service: number): string {
  return `${serviceName(service)}-a`;
}

function endpoint(number: number, service: string): unknown {
  const suffix = number.toString(36).padStart(5, '0');
  return {
    addresses: [`10.${128 + (number >> 16)}.${(number >> 8) & 0xff}.${number & 0xff}`],
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: `node-${number % nodes}`,
    zone: `zone-${number % 3}`,
    targetRef: {
      kind: 'Pod',
      namespace,
      name: `${service}-${suffix}`,
      uid: `00000000-0000-4000-8000-0000000${suffix}`,
    },
  };
}
