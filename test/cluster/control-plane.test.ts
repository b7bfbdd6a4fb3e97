// SPDX-License-Identifier: Apache-2.0
// The control plane that the other tests rely on.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { nodeOne, nodeTwo, podFour, podOne } from '../lib/cast.ts';
import { Cluster } from '../lib/cluster/cluster.ts';
import { createNode, createPods } from '../lib/cluster/objects.ts';
import { missingForCluster } from '../lib/cluster/programs.ts';
import { until } from '../lib/until.ts';

suite('the control plane', { skip: missingForCluster() ?? false }, () => {
  test('real controllers make the EndpointSlices of a Service from Pods whose status was patched', async () => {
    await using cluster = await Cluster.start();
    await createNode(cluster, 'node1', nodeOne, 'zone1');
    await createNode(cluster, 'node2', nodeTwo, 'zone2');
    const labels = { app: 'web' };
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web' },
      spec: { selector: labels, ipFamilyPolicy: 'RequireDualStack', ports: [{ port: 80, targetPort: 8080 }] },
    });
    await createPods(
      cluster,
      { name: 'web-1', node: 'node1', labels, addresses: podOne },
      { name: 'web-2', node: 'node2', labels, addresses: podFour },
    );
    const endpoints = async () => {
      const { items = [] } = await cluster.get('endpointslices', '-l', 'kubernetes.io/service-name=web');
      const slices = items as { endpoints?: { addresses: string[]; conditions: { ready?: boolean } }[] }[];
      const all = slices.flatMap((slice) => slice.endpoints ?? []);
      return all
        .filter(({ conditions }) => conditions.ready)
        .flatMap(({ addresses }) => addresses)
        .sort();
    };
    const expected = [podOne.v4, podFour.v4, podOne.v6, podFour.v6].sort();
    assert.deepEqual(await until(endpoints, (found) => found.length === expected.length), expected);
  });

  test('the user of the agent may do what system:node-proxier allows, and nothing else', async () => {
    await using cluster = await Cluster.start({ hasControllers: false });
    const may = async (...words: string[]) =>
      (await cluster.tryKubectl('proxy', ['auth', 'can-i', ...words])).stdout.trim();
    assert.equal(await may('watch', 'services'), 'yes');
    assert.equal(await may('create', 'events.events.k8s.io'), 'yes');
    assert.equal(await may('list', 'pods'), 'no');
    assert.equal(await may('update', 'services'), 'no');
  });
});
