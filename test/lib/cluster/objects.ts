// SPDX-License-Identifier: Apache-2.0
// What makes up a cluster besides Services: Nodes and Pods, with the status that a kubelet would give them.
import type { DualAddress } from '../cast.ts';
import type { Cluster } from './cluster.ts';

export interface PodDescription {
  readonly name: string;
  readonly node: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: DualAddress;
}

/** Nodes with a zone each. */
export async function createNode(
  cluster: Cluster,
  name: string,
  addresses: DualAddress,
  zone: string,
): Promise<void> {
  const labels = { 'kubernetes.io/hostname': name, 'topology.kubernetes.io/zone': zone };
  await cluster.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name, labels } });
  await cluster.patchStatus('node', name, {
    addresses: [addresses.v4, addresses.v6].map((address) => ({ type: 'InternalIP', address })),
  });
}

/** Pods that run and are ready. */
export async function createPods(cluster: Cluster, ...pods: readonly PodDescription[]): Promise<void> {
  await cluster.apply(
    ...pods.map(({ name, node, labels }) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, labels },
      spec: { nodeName: node, containers: [{ name: 'server', image: 'none' }] },
    })),
  );
  await Promise.all(
    pods.map(({ name, addresses: { v4, v6 } }) =>
      cluster.patchStatus('pod', name, {
        phase: 'Running',
        podIP: v4,
        podIPs: [{ ip: v4 }, { ip: v6 }],
        conditions: [condition('Ready', true)],
      }),
    ),
  );
}

export async function setReady(cluster: Cluster, pod: string, isReady: boolean): Promise<void> {
  await cluster.patchStatus('pod', pod, { conditions: [condition('Ready', isReady)] });
}

/** Their deletion begins: they terminate, and stay until they are removed. */
export async function terminatePods(cluster: Cluster, ...pods: readonly string[]): Promise<void> {
  await cluster.kubectl(['delete', 'pod', ...pods, '--wait=false', '--grace-period=300']);
}

export async function removePodObjects(cluster: Cluster, ...pods: readonly string[]): Promise<void> {
  await cluster.kubectl(['delete', 'pod', ...pods, '--force', '--grace-period=0']);
}

function condition(type: string, isTrue: boolean) {
  return { type, status: isTrue ? 'True' : 'False', lastTransitionTime: new Date().toISOString() };
}
