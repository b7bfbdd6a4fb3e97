// SPDX-License-Identifier: Apache-2.0
// What every tutorial of kube-proxy's IPVS mode shows, with a kube-proxy configuration and a real cluster.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { clientOne, nodeOne, nodeTwo } from '../lib/cast.ts';
import { Cluster } from '../lib/cluster/cluster.ts';
import { createNode, createPods } from '../lib/cluster/objects.ts';
import { missingForCluster } from '../lib/cluster/programs.ts';
import { NodeAgent } from '../lib/daemon.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { Client } from '../lib/traffic/client.ts';
import { Servers } from '../lib/traffic/server.ts';
import { until } from '../lib/until.ts';

suite('the walk-through of a tutorial', { skip: missingForLab() ?? missingForCluster() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: Lab;
  let cluster: Cluster;
  let agent: NodeAgent;
  let client: Client;

  before(async () => {
    lab = resources.use(await Lab.create({ name: 'test-tutorial', podsPerNode: 3 }));
    cluster = resources.use(await Cluster.start({ at: { host: lab.client, address: clientOne.v4 } }));
    await createNode(cluster, 'node1', nodeOne, 'zone1');
    await createNode(cluster, 'node2', nodeTwo, 'zone2');
    // A node with several addresses.
    await lab.nodes[0].mustRun(['ip', 'address', 'add', '192.0.2.77/24', 'dev', 'eth0']);
    resources.use(await Servers.start(lab.pods, { tcp: [8080] }));
    const serving = lab.pods.filter(({ name }) => !name.endsWith('pod1'));
    await createPods(
      cluster,
      ...serving.map(({ name, addresses }) => ({
        name,
        node: name.startsWith('n1') ? 'node1' : 'node2',
        labels: { app: 'web' },
        addresses,
      })),
    );
    client = resources.use(await Client.start(lab.client));
    agent = resources.use(new NodeAgent(lab, lab.nodes[0]));
    await agent.startInCluster(cluster, configured('rr'));
  });
  after(() => resources.disposeAsync());

  /** Writes the configuration of a ConfigMap, and names it. */
  function configured(scheduler: string): string {
    const file = join(agent.manifests, 'config.conf');
    writeFileSync(
      file,
      `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ipvs
ipvs: { scheduler: ${scheduler} }
clientConnection: { kubeconfig: ${cluster.kubeconfig('proxy')} }
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
`,
    );
    return `--config=${file}`;
  }

  async function listing(): Promise<readonly string[]> {
    return (await agent.bpvsadm('-Ln')).trimEnd().split('\n').slice(3);
  }

  /** The heading of a virtual service with what is below it. */
  async function listed(address: string): Promise<readonly string[]> {
    const lines = await listing();
    const start = lines.findIndex((line) => line.startsWith(`TCP  ${address} `));
    if (start < 0) return [];
    const length = lines.slice(start + 1).findIndex((line) => !line.startsWith('  ->'));
    return lines.slice(start, length < 0 ? undefined : start + 1 + length).map((line) => line.trimEnd());
  }

  function apply(name: string, spec: Readonly<Record<string, unknown>>): Promise<unknown> {
    return cluster.apply({ apiVersion: 'v1', kind: 'Service', metadata: { name }, spec });
  }

  async function shows(address: string, heading: string, destinations: number): Promise<void> {
    const lines = await until(
      () => listed(address),
      (found) => found[0] === heading && found.length === destinations + 1,
    );
    assert.deepEqual([lines[0], lines.length - 1], [heading, destinations]);
  }

  test('a NodePort Service lists each address of the node with rr and four endpoints', async () => {
    const ports = [{ port: 8080, targetPort: 8080, nodePort: 31191 }];
    await apply('web', { type: 'NodePort', clusterIP: '10.96.0.80', selector: { app: 'web' }, ports });
    for (const address of ['10.96.0.80:8080', `${nodeOne.v4}:31191`, '192.0.2.77:31191']) {
      await shows(address, `TCP  ${address} rr`, 4);
    }
    const [answer] = await client.tcp({ address: '192.0.2.77', port: 31191 });
    assert.equal(answer?.outcome, 'reply');
  });

  test('a Service without endpoints lists its heading alone', async () => {
    await apply('empty', { clusterIP: '10.96.0.99', selector: { app: 'none' }, ports: [{ port: 80 }] });
    await shows('10.96.0.99:80', 'TCP  10.96.0.99:80 rr', 0);
  });

  test('a Service with ClientIP affinity lists its persistence', async () => {
    const ports = [{ port: 80, targetPort: 8080 }];
    const selector = { app: 'web' };
    await apply('sticky', { clusterIP: '10.96.0.81', selector, sessionAffinity: 'ClientIP', ports });
    await shows('10.96.0.81:80', 'TCP  10.96.0.81:80 rr persistent 10800', 4);
  });

  test('another scheduler in the configuration and a new agent list it, and connections are kept', async () => {
    await using connection = await client.open({ protocol: 'tcp', address: nodeOne.v4, port: 31191 });
    const before = await connection.ask();
    await agent.stop();
    await agent.startInCluster(cluster, configured('sh'));
    await shows('10.96.0.80:8080', 'TCP  10.96.0.80:8080 sh', 4);
    assert.deepEqual(await connection.ask(), before);
    const active = (await listed(`${nodeOne.v4}:31191`)).slice(1).map((line) => line.split(/\s+/)[5]);
    assert.deepEqual(active.sort(), ['0', '0', '0', '1']);
  });

  test('after the agent has ended, cleanup leaves nothing', async () => {
    await agent.stop();
    const { stdout } = await agent.command('cleanup');
    assert.match(stdout, /^removed from .*: \d+ links, /);
    assert.deepEqual(existsSync(agent.pinDirectory) ? readdirSync(agent.pinDirectory) : [], []);
    const filters = await lab.nodes[0].mustRun(['tc', 'filter', 'show', 'dev', 'eth0', 'ingress']);
    assert.equal(filters, '');
    assert.match((await agent.command('cleanup')).stdout, /^nothing of BPVS at /);
  });
});
