// SPDX-License-Identifier: Apache-2.0
// Two nodes that serve a real cluster: real controllers, real connections, an API server and agents that come and go.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { clientOne, nodeOne, nodeTwo } from '../lib/cast.ts';
import { Cluster } from '../lib/cluster/cluster.ts';
import { createNode, createPods, setReady, terminatePod } from '../lib/cluster/objects.ts';
import { missingForCluster } from '../lib/cluster/programs.ts';
import { NodeAgent } from '../lib/daemon.ts';
import type { Pod } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { Client, tally } from '../lib/traffic/client.ts';
import { Servers } from '../lib/traffic/server.ts';
import { until } from '../lib/until.ts';

const webAddress = '10.96.0.80';
const web = { address: webAddress, port: 80 };

suite('a cluster that two nodes serve', { skip: missingForLab() ?? missingForCluster() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: Lab;
  let cluster: Cluster;
  let agents: readonly [NodeAgent, NodeAgent];
  let client: Client;
  let remote: Client;

  before(async () => {
    lab = resources.use(await Lab.create({ name: 'test-cluster', podsPerNode: 3 }));
    cluster = resources.use(await Cluster.start({ at: { host: lab.client, address: clientOne.v4 } }));
    await createNode(cluster, 'node1', nodeOne, 'zone1');
    await createNode(cluster, 'node2', nodeTwo, 'zone2');
    resources.use(await Servers.start(lab.pods, { tcp: [8080], udp: [8080] }));
    await createPods(cluster, ...lab.pods.map((pod) => describe(pod)));
    agents = [
      resources.use(new NodeAgent(lab, lab.nodes[0])),
      resources.use(new NodeAgent(lab, lab.nodes[1])),
    ];
    client = resources.use(await Client.start(lab.host('n1-pod1')));
    remote = resources.use(await Client.start(lab.host('n2-pod1')));
    await Promise.all(agents.map((agent) => agent.startInCluster(cluster)));
  });
  after(() => resources.disposeAsync());

  /** The first pod of each node is its client; the others serve. */
  function describe(pod: Pod) {
    const { name, addresses } = pod;
    const app = name.endsWith('pod1') ? 'client' : 'web';
    return { name, node: name.startsWith('n1') ? 'node1' : 'node2', labels: { app }, addresses };
  }

  async function answers(from: Client, count = 8, at: { address: string; port: number } = web) {
    return tally(await from.tcp({ ...at, count }));
  }

  async function becomes(
    from: Client,
    expected: Readonly<Record<string, number>>,
    timeoutMs?: number,
  ): Promise<void> {
    const count = Object.values(expected).reduce((sum, each) => sum + each, 0);
    const found = await until(
      () => answers(from, count),
      (each) =>
        JSON.stringify(Object.entries(each).sort()) === JSON.stringify(Object.entries(expected).sort()),
      timeoutMs,
    );
    assert.deepEqual(found, expected);
  }

  const all = { 'n1-pod2': 2, 'n1-pod3': 2, 'n2-pod2': 2, 'n2-pod3': 2 };

  test('kubectl apply of a Service is enough: connections are balanced on both nodes', async () => {
    await cluster.kubectl(
      ['apply', '-f', '-'],
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'web' },
        spec: { clusterIP: webAddress, selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
      }),
    );
    await becomes(client, all);
    await becomes(remote, all);
    await agents[0].logged(/event=reconciled .* latencyMs=\d+\n/);
  });

  test('a pod that is not ready gets nothing, one that terminates neither, and both come back', async () => {
    await setReady(cluster, 'n1-pod2', false);
    await becomes(client, { 'n1-pod3': 2, 'n2-pod2': 2, 'n2-pod3': 2 });
    await setReady(cluster, 'n1-pod2', true);
    await becomes(client, all);
  });

  test('an agent that starts while the API server is away leaves all as it was, and serves when it is back', async () => {
    const [agent] = agents;
    await agent.stop('SIGKILL');
    await cluster.component('kube-apiserver').end();
    agent.launchInCluster(cluster);
    await agent.logged(/event="the API server cannot be followed, what is known stays"/, 60_000);
    assert.deepEqual(await answers(client), all);
    await cluster.startApiServer();
    await setReady(cluster, 'n2-pod2', false);
    await becomes(client, { 'n1-pod2': 2, 'n1-pod3': 2, 'n2-pod3': 2 }, backMs);
    await setReady(cluster, 'n2-pod2', true);
    await becomes(client, all, backMs);
  });

  test('an API server that is away disturbs nobody, and what changed meanwhile is served after', async () => {
    await using requests = stream(client);
    await cluster.component('kube-apiserver').end();
    await setTimeout(awayMs);
    assert.deepEqual(await answers(remote), all);
    await cluster.startApiServer();
    await setReady(cluster, 'n1-pod3', false);
    await becomes(remote, { 'n1-pod2': 2, 'n2-pod2': 2, 'n2-pod3': 2 }, backMs);
    await setReady(cluster, 'n1-pod3', true);
    await becomes(client, all, backMs);
    const outcomes = await requests.stop();
    assert.deepEqual(Object.keys(outcomes).sort(), Object.keys(all).sort());
  });

  test('agents that are killed and started again fail no request', async () => {
    await using local = stream(client);
    await using other = stream(remote);
    for (const agent of agents) {
      await agent.stop('SIGKILL');
      await agent.startInCluster(cluster);
    }
    for (const { stop } of [local, other]) {
      assert.deepEqual(Object.keys(await stop()).sort(), Object.keys(all).sort());
    }
  });

  test('endpoints that terminate under a stream of requests fail none of them', async () => {
    await using requests = stream(client);
    await terminatePod(cluster, 'n2-pod3');
    await becomes(remote, { 'n1-pod2': 2, 'n1-pod3': 2, 'n2-pod2': 2 });
    assert.deepEqual(Object.keys(await requests.stop()).sort(), Object.keys(all).sort());
  });

  test('a wrong annotation and an address that two claim are told to those who look at the Service', async () => {
    await cluster.apply(
      ...['first', 'second'].map((name) => ({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, annotations: { 'bpvs.io/scheduler': 'fastest' } },
        spec: { externalIPs: ['198.51.100.80'], ports: [{ port: 80 }] },
      })),
    );
    const described = await until(
      () => cluster.kubectl(['describe', 'service', 'second']),
      (text) => /AddressConflict/.test(text) && /InvalidConfiguration/.test(text),
    );
    assert.match(
      described,
      /Warning +AddressConflict .*198.51.100.80:80\/tcp already belongs to default\/first/,
    );
    assert.match(described, /Warning +InvalidConfiguration .*fastest/);
  });

  test('a missing right shows: the agent needs no more than system:node-proxier has', async () => {
    const log = agents.map((agent) => agent.log).join('');
    assert.doesNotMatch(log, /40[13]/);
  });

  /** Requests one after the other until it is stopped. */
  function stream(from: Client): AsyncDisposable & { stop(): Promise<Record<string, number>> } {
    let isStopped = false;
    const outcomes: Record<string, number> = {};
    const ended = (async () => {
      while (!isStopped) {
        for (const [name, count] of Object.entries(await answers(from, 20))) {
          outcomes[name] = (outcomes[name] ?? 0) + count;
        }
      }
    })();
    const stop = async () => {
      isStopped = true;
      await ended;
      return outcomes;
    };
    return { stop, [Symbol.asyncDispose]: async () => void (await stop()) };
  }
});

/** Clients of an API server that was away wait for half a minute and more until they try again, the controllers among them. */
const backMs = 90_000;

/** A minute where there is time (npm run e2e). */
const awayMs = process.env.BPVS_E2E === undefined ? 5_000 : 60_000;
