// SPDX-License-Identifier: Apache-2.0
// What a cluster applies of deploy/, at a real API server.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Cluster } from '../lib/cluster/cluster.ts';
import { missingForCluster } from '../lib/cluster/programs.ts';

const folder = fileURLToPath(new URL('../../deploy/kustomize/', import.meta.url));

suite('deploy/kustomize', { skip: missingForCluster() ?? false }, () => {
  test('an API server takes all of it, and its account may read Services, and no Pods', async () => {
    await using cluster = await Cluster.start({ hasControllers: false });
    for (const name of ['base', 'remove-kube-proxy-rules', 'remove-bpvs'])
      await cluster.kubectl(['apply', '--validate=strict', '-k', folder + name]);
    const { items = [] } = await cluster.get('-n', 'kube-system', 'daemonsets');
    const names = items.map((item) => (item as { metadata: { name: string } }).metadata.name);
    assert.deepEqual(names, ['kube-proxy', 'remove-bpvs', 'remove-kube-proxy-rules']);
    const may = async (...words: string[]) => {
      const account = '--as=system:serviceaccount:kube-system:kube-proxy';
      return (await cluster.tryKubectl('admin', ['auth', 'can-i', account, ...words])).stdout.trim();
    };
    assert.equal(await may('watch', 'services'), 'yes');
    assert.equal(await may('watch', 'endpointslices.discovery.k8s.io'), 'yes');
    assert.equal(await may('list', 'pods'), 'no');
  });
});
