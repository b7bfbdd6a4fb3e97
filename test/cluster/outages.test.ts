// SPDX-License-Identifier: Apache-2.0
// An API server and agents that are killed and come back, while clients never stop asking.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { ClusterLab, isWhole, missingForClusterLab, patientMs } from '../lib/cluster/cluster-lab.ts';
import { setReady } from '../lib/cluster/objects.ts';
import { RequestStream } from '../lib/cluster/request-stream.ts';
import { until } from '../lib/until.ts';

const web = { address: '10.96.0.80', port: 80 };
const fresh = { address: '10.96.0.81', port: 80 };

const awaySeconds = isWhole ? 60 : 5;
const restarts = isWhole ? 5 : 1;

/** A client of an API server that was away waits for half a minute and more until it tries again. */
const backMs = 120_000;

suite('outages', { skip: missingForClusterLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: ClusterLab;

  before(async () => {
    lab = resources.use(await ClusterLab.start('test-outages', { hasSpareServer: true }));
    await serve('web', web.address);
    await serves(everyone);
  });
  after(() => resources.disposeAsync());

  const everyone = ['n1-pod2', 'n1-pod3', 'n2-pod2', 'n2-pod3'];
  const allBut = (pod: string) => everyone.filter((each) => each !== pod);

  function serve(name: string, clusterIP: string): Promise<void> {
    return lab.serve(name, { clusterIP, selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] });
  }

  /** What the controllers have written, whoever has read it. */
  async function readyEndpoints(service: string): Promise<number> {
    const { items = [] } = await lab.cluster.get(
      'endpointslices',
      '-l',
      `kubernetes.io/service-name=${service}`,
    );
    const slices = items as { endpoints?: { conditions: { ready?: boolean } }[] }[];
    return slices.flatMap(({ endpoints = [] }) => endpoints).filter(({ conditions }) => conditions.ready)
      .length;
  }

  async function written(service: string, endpoints: number): Promise<void> {
    const found = await until(
      () => readyEndpoints(service),
      (count) => count === endpoints,
      patientMs,
    );
    assert.equal(found, endpoints);
  }

  /** Whether each node leads its clients to these; a stream takes its turns, too. */
  async function serves(who: readonly string[], place = web): Promise<void> {
    for (const from of ['pod', 'remote'] as const) await lab.becomes(from, place, who, backMs);
  }

  test(`an API server that is killed for ${awaySeconds} s disturbs nobody, and what changed meanwhile is served after`, async () => {
    await using requests = new RequestStream(lab, 'pod', web);
    await lab.cluster.component('kube-apiserver').end();
    await setReady(lab.cluster, 'n1-pod3', false);
    await serve('fresh', fresh.address);
    await written('web', 3);
    await written('fresh', 3);
    await setTimeout(awaySeconds * 1000);
    await serves(everyone);
    assert.doesNotMatch(await lab.agents[0].bpvsadm('-Ln'), new RegExp(fresh.address));
    await lab.cluster.startApiServer();
    await serves(allBut('n1-pod3'));
    await serves(allBut('n1-pod3'), fresh);
    await setReady(lab.cluster, 'n1-pod3', true);
    await serves(everyone);
    await requests.stop();
    requests.assertAnsweredBy(everyone);
  });

  test('an agent that starts while the API server is away leaves all as it was, and serves when it is back', async () => {
    await using requests = new RequestStream(lab, 'pod', web);
    const [agent] = lab.agents;
    await agent.stop('SIGKILL');
    await lab.cluster.component('kube-apiserver').end();
    await setReady(lab.cluster, 'n2-pod2', false);
    await written('web', 3);
    agent.launchInCluster(lab.cluster);
    await agent.logged(/event="the API server cannot be followed, what is known stays"/, patientMs);
    await serves(everyone);
    await lab.cluster.startApiServer();
    await serves(allBut('n2-pod2'));
    await setReady(lab.cluster, 'n2-pod2', true);
    await serves(everyone);
    await requests.stop();
    requests.assertAnsweredBy(everyone);
  });

  test(`agents that are killed and started again under load, ${restarts} times, fail no request`, async () => {
    await using local = new RequestStream(lab, 'pod', web);
    await using remote = new RequestStream(lab, 'remote', web);
    await using host = new RequestStream(lab, 'host', web);
    for (let i = 0; i < restarts; i++) {
      for (const agent of lab.agents) {
        await agent.stop('SIGKILL');
        await agent.startInCluster(lab.cluster);
      }
    }
    for (const requests of [local, remote, host]) {
      await requests.stop();
      requests.assertAnsweredBy(everyone);
    }
  });
});
