// SPDX-License-Identifier: Apache-2.0
// Which ipsets of a node are kube-proxy's.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { removeKubeProxyLeftovers } from '../../../src/agent/kube-proxy-leftovers.ts';

test("kube-proxy's own sets go, those of others with such names stay", () => {
  const own = ['KUBE-CLUSTER-IP', 'KUBE-6-CLUSTER-IP', 'KUBE-IPVS-IPS', 'KUBE-6-LOAD-BALANCER-SOURCE-CID'];
  const foreign = ['KUBE-SRC-ABCDEFGHIJKLMNOP', 'KUBE-DST-ABCDEFGHIJKLMNOP', 'KUBE-6-SRC-ABCDEFGH', 'web'];
  const destroyed: string[] = [];
  const outcomes = removeKubeProxyLeftovers(([tool, word, name = '']) => {
    const isInstalled = tool === 'ipset';
    if (isInstalled && word === 'destroy') destroyed.push(name);
    const stdout = word === 'list' ? [...own, ...foreign, ''].join('\n') : '';
    return { isInstalled, status: isInstalled ? 0 : null, stdout, stderr: '' };
  });
  assert.deepEqual(destroyed, own);
  assert.deepEqual(
    outcomes.filter(({ result }) => result === 'removed').map(({ what }) => what),
    own.map((name) => `ipset ${name}`),
  );
});
