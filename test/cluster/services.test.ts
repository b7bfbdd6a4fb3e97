// SPDX-License-Identifier: Apache-2.0
// Two nodes that serve a real cluster: real controllers, real connections.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import {
  type ClientName,
  ClusterLab,
  missingForClusterLab,
  patientMs,
  type Tally,
} from '../lib/cluster/cluster-lab.ts';
import { setReady } from '../lib/cluster/objects.ts';
import { until } from '../lib/until.ts';

const webAddress = '10.96.0.80';
const web = { address: webAddress, port: 80 };

suite('a cluster that two nodes serve', { skip: missingForClusterLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: ClusterLab;

  before(async () => {
    lab = resources.use(await ClusterLab.start('test-cluster'));
  });
  after(() => resources.disposeAsync());

  async function becomes(from: ClientName, expected: Tally): Promise<void> {
    const count = Object.values(expected).reduce((sum, each) => sum + each, 0);
    const found = await until(
      () => lab.answers(from, web, count),
      (each) =>
        JSON.stringify(Object.entries(each).sort()) === JSON.stringify(Object.entries(expected).sort()),
      patientMs,
    );
    assert.deepEqual(found, expected);
  }

  const all = { 'n1-pod2': 2, 'n1-pod3': 2, 'n2-pod2': 2, 'n2-pod3': 2 };

  test('kubectl apply of a Service is enough: connections are balanced on both nodes', async () => {
    await lab.cluster.kubectl(
      ['apply', '-f', '-'],
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'web' },
        spec: { clusterIP: webAddress, selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
      }),
    );
    await becomes('pod', all);
    await becomes('remote', all);
    await lab.agents[0].logged(/event=reconciled .* latencyMs=\d+\n/, patientMs);
  });

  test('a pod that is not ready gets nothing, and comes back', async () => {
    await setReady(lab.cluster, 'n1-pod2', false);
    await becomes('pod', { 'n1-pod3': 2, 'n2-pod2': 2, 'n2-pod3': 2 });
    await setReady(lab.cluster, 'n1-pod2', true);
    await becomes('pod', all);
  });

  test('a wrong annotation and an address that two claim are told to those who look at the Service', async () => {
    await lab.cluster.apply(
      ...['first', 'second'].map((name) => ({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, annotations: { 'bpvs.io/scheduler': 'fastest' } },
        spec: { externalIPs: ['198.51.100.80'], ports: [{ port: 80 }] },
      })),
    );
    const described = await until(
      () => lab.cluster.kubectl(['describe', 'service', 'second']),
      (text) => /AddressConflict/.test(text) && /InvalidConfiguration/.test(text),
      patientMs,
    );
    assert.match(
      described,
      /Warning +AddressConflict .*198.51.100.80:80\/tcp already belongs to default\/first/,
    );
    assert.match(described, /Warning +InvalidConfiguration .*fastest/);
  });

  test('a missing right shows: the agent needs no more than system:node-proxier has', async () => {
    const log = lab.agents.map((agent) => agent.log).join('');
    assert.doesNotMatch(log, /40[13]/);
  });
});
