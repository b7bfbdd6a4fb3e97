// SPDX-License-Identifier: Apache-2.0
// Rollouts of a Deployment: one generation of pods takes the place of another, while clients never stop asking.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { openBpfView } from '../../src/dataplane/bpf/view.ts';
import { nodeTwo } from '../lib/cast.ts';
import {
  ClusterLab,
  describePod,
  isWhole,
  missingForClusterLab,
  patientMs,
} from '../lib/cluster/cluster-lab.ts';
import { createPods, removePodObjects, terminatePods } from '../lib/cluster/objects.ts';
import { RequestStream } from '../lib/cluster/request-stream.ts';
import type { NodeAgent } from '../lib/daemon.ts';
import type { Pod } from '../lib/host.ts';
import { Servers } from '../lib/traffic/server.ts';
import { until } from '../lib/until.ts';

const web = { address: '10.96.0.80', port: 80 };
/** Of the other node than that whose processes ask: where these share a destination, they share its ports (decision 0013). */
const nodePort = { address: nodeTwo.v4, port: 30080 };

const rollouts = isWhole ? 50 : 2;
const rolloutsPerTest = Math.min(rollouts, 10);

/** One pod on each node. */
interface Generation {
  readonly number: number;
  readonly pods: readonly Pod[];
  readonly servers: Servers;
}

suite('rollouts', { skip: missingForClusterLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: ClusterLab;
  let current: Generation;
  let streams: readonly RequestStream[];

  before(async () => {
    lab = resources.use(await ClusterLab.start('test-rollouts', { hasServers: false }));
    const ports = [{ port: 80, targetPort: 8080, nodePort: nodePort.port }];
    await lab.serve('web', { type: 'NodePort', clusterIP: web.address, selector: { app: 'web' }, ports });
    current = await begin(0);
    for (const from of ['pod', 'remote', 'host'] as const) await lab.becomes(from, web, names(current));
    await lab.becomes('outside', nodePort, names(current));
    streams = [
      new RequestStream(lab, 'pod', web),
      new RequestStream(lab, 'remote', web),
      new RequestStream(lab, 'host', web),
      new RequestStream(lab, 'outside', nodePort),
    ];
    for (const stream of streams) resources.use(stream);
  });
  after(() => resources.disposeAsync());

  const names = ({ pods }: Generation) => pods.map(({ name }) => name);
  const objectNames = ({ number, pods }: Pick<Generation, 'number' | 'pods'>) =>
    pods.map(({ name }) => `web-${number}-${name}`);
  const everyone = ['n1-pod2', 'n1-pod3', 'n2-pod2', 'n2-pod3'];

  /** Starts pods that are ready: on each node that which the generation before does not have. */
  async function begin(number: number): Promise<Generation> {
    const pods = ['n1', 'n2'].map((node) => lab.pod(`${node}-pod${2 + (number % 2)}`));
    const servers = await Servers.start(pods, { tcp: [8080] });
    resources.use(servers);
    const objects = objectNames({ number, pods });
    await createPods(lab.cluster, ...pods.map((pod, i) => describePod(pod, objects[i])));
    return { number, pods, servers };
  }

  /** Ends pods that terminate when no client has been led there for some looks; servers wait for that by a preStop hook. */
  async function end(generation: Generation): Promise<void> {
    let idleLooks = 0;
    const isEnough = await until(
      async () => {
        const isIdle =
          !lab.agents.some((agent) => isChosen(agent, generation)) && !(await isBusy(generation));
        idleLooks = isIdle ? idleLooks + 1 : 0;
        return idleLooks > 3;
      },
      (enough) => enough,
      patientMs,
    );
    assert.ok(isEnough, 'endpoints that terminate get no more connections');
    await generation.servers[Symbol.asyncDispose]();
    await removePodObjects(lab.cluster, ...objectNames(generation));
  }

  function isChosen({ pinDirectory }: NodeAgent, { pods }: Generation): boolean {
    using view = openBpfView(pinDirectory);
    const addresses = pods.map((pod) => pod.addresses.v4);
    return view
      .services()
      .some(({ destinations }) =>
        destinations.some(({ address, weight }) => weight > 0 && addresses.includes(address)),
      );
  }

  async function isBusy({ pods }: Generation): Promise<boolean> {
    const connections = ['ss', '-Htan', 'exclude', 'listening', 'exclude', 'time-wait', 'sport = :8080'];
    const lists = await Promise.all(pods.map((pod) => pod.mustRun(connections)));
    return lists.some((list) => list !== '');
  }

  /** Where the old generation goes first, it serves on while it terminates, as long as it is all there is. */
  async function rollOut(isOldFirst: boolean): Promise<void> {
    const old = current;
    const terminate = () => terminatePods(lab.cluster, ...objectNames(old));
    if (isOldFirst) await terminate();
    current = await begin(old.number + 1);
    if (!isOldFirst) await terminate();
    await end(old);
    await lab.becomes('pod', web, names(current));
  }

  for (let first = 1; first <= rollouts; first += rolloutsPerTest) {
    const last = first + rolloutsPerTest - 1;
    test(`rollouts ${first} to ${last} of ${rollouts} fail no request of pods, nodes and clients outside`, async () => {
      for (let i = first; i <= last; i++) await rollOut(i % 2 === 0);
      if (last === rollouts) for (const stream of streams) await stream.stop();
      for (const stream of streams) stream.assertAnsweredBy(everyone);
    });
  }
});
