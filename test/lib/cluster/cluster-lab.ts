// SPDX-License-Identifier: Apache-2.0
// A real control plane with two nodes that an agent each serves, servers in pods, and clients everywhere.
import assert from 'node:assert/strict';
import { clientOne, nodeOne, nodeTwo } from '../cast.ts';
import { NodeAgent } from '../daemon.ts';
import type { Pod } from '../host.ts';
import { Lab, missingForLab } from '../lab.ts';
import { Client, tally } from '../traffic/client.ts';
import { Servers } from '../traffic/server.ts';
import { until } from '../until.ts';
import { Cluster, type ClusterOptions } from './cluster.ts';
import { createNode, createPods, type PodDescription } from './objects.ts';
import { missingForCluster } from './programs.ts';

/**
 * Whether what takes minutes runs whole, as in `npm run e2e`, or shortened, as in `npm test`. Whoever shortens something names
 * both lengths.
 */
export const isWhole = process.env.BPVS_E2E !== undefined;

/** How long a condition is waited for that holds soon, but on a machine that is slow. */
export const patientMs = 60_000;

/** Longer than any answer takes on a busy machine, and as long as silence is listened to. */
const answerMs = 5000;
const silentMs = 500;

/** What this machine lacks, for the skip option of tests. */
export function missingForClusterLab(): string | undefined {
  return missingForLab() ?? missingForCluster();
}

export interface ClusterLabOptions extends Pick<ClusterOptions, 'hasSpareServer'> {
  /** kube-proxy's, for both agents. */
  readonly flags?: readonly string[];
  /** 3 if not given. */
  readonly podsPerNode?: number;
  /** Whether the pods serve already; they do if not given. */
  readonly hasServers?: boolean;
}

/** In a pod of node one or of node two, outside the cluster, or as a process of node one. */
export type ClientName = 'pod' | 'remote' | 'outside' | 'host';

/** How often each server answered, and what came instead: { 'n1-pod2': 3, refused: 1 }. */
export type Tally = Readonly<Record<string, number>>;

export interface Place {
  readonly address: string;
  readonly port: number;
  /** TCP if not given. */
  readonly protocol?: 'tcp' | 'udp';
}

/** The first pod of each node is a client; the others are of app=web, and serve TCP and UDP at port 8080. */
export class ClusterLab implements AsyncDisposable {
  readonly lab: Lab;
  readonly cluster: Cluster;
  readonly agents: readonly [NodeAgent, NodeAgent];
  readonly #resources: AsyncDisposableStack;
  readonly #clients = new Map<ClientName, Promise<Client>>();

  private constructor(
    lab: Lab,
    cluster: Cluster,
    agents: readonly [NodeAgent, NodeAgent],
    resources: AsyncDisposableStack,
  ) {
    this.lab = lab;
    this.cluster = cluster;
    this.agents = agents;
    this.#resources = resources;
  }

  /** Resolves when both agents serve. */
  static async start(name: string, options: ClusterLabOptions = {}): Promise<ClusterLab> {
    const { flags = [], podsPerNode = 3, hasServers = true, hasSpareServer = false } = options;
    await using resources = new AsyncDisposableStack();
    const lab = resources.use(await Lab.create({ name, podsPerNode }));
    const at = { host: lab.client, address: clientOne.v4 };
    const cluster = resources.use(await Cluster.start({ at, hasSpareServer }));
    const pods = hasServers ? lab.pods.filter(({ name }) => !name.endsWith('-pod1')) : [];
    resources.use(await Servers.start(pods, { tcp: [8080], udp: [8080] }));
    await Promise.all([
      createNode(cluster, 'node1', nodeOne, 'zone1'),
      createNode(cluster, 'node2', nodeTwo, 'zone2'),
    ]);
    const [one, two] = lab.nodes;
    const agents = [resources.use(new NodeAgent(lab, one)), resources.use(new NodeAgent(lab, two))] as const;
    const started = agents.map((agent) => agent.startInCluster(cluster, ...flags));
    const described = pods.map((pod) => describePod(pod));
    await Promise.all([...started, hasServers && createPods(cluster, ...described)]);
    return new ClusterLab(lab, cluster, agents, resources.move());
  }

  pod(name: string): Pod {
    const found = this.lab.pods.find((pod) => pod.name === name);
    assert.ok(found, name);
    return found;
  }

  client(name: ClientName): Promise<Client> {
    const known = this.#clients.get(name) ?? this.#startClient(name);
    this.#clients.set(name, known);
    return known;
  }

  async #startClient(name: ClientName): Promise<Client> {
    const { lab, agents } = this;
    const [agent] = agents;
    const hosts = {
      pod: lab.host('n1-pod1'),
      remote: lab.host('n2-pod1'),
      outside: lab.client,
      host: agent.host,
    };
    return this.#resources.use(await Client.start(hosts[name]));
  }

  /** Of requests one after the other, each by a connection or a socket of its own. */
  async answers(from: ClientName, place: Place, count = 1, timeoutMs = answerMs): Promise<Tally> {
    const { address, port, protocol = 'tcp' } = place;
    const request = { address, port, count, timeoutMs };
    const client = await this.client(from);
    return tally(
      protocol === 'tcp' ? await client.tcp(request) : await client.udp({ ...request, connected: true }),
    );
  }

  /** Asks again and again, as often as it takes to see each of them, until it is these who answer. */
  async becomes(from: ClientName, place: Place, who: readonly string[], waitMs = patientMs): Promise<void> {
    const wanted = [...who].sort();
    const count = 2 * who.length - 1;
    const timeoutMs = wanted.includes('timeout') ? silentMs : answerMs;
    const found = await until(
      async () => Object.keys(await this.answers(from, place, count, timeoutMs)).sort(),
      (each) => each.join() === wanted.join(),
      waitMs,
    );
    assert.deepEqual(found, wanted, `${from} to ${place.address}:${place.port}/${place.protocol ?? 'tcp'}`);
  }

  /** Creates or changes a Service. */
  async serve(
    name: string,
    spec: Readonly<Record<string, unknown>>,
    loadBalancerIps: readonly string[] = [],
  ): Promise<void> {
    await this.cluster.apply({ apiVersion: 'v1', kind: 'Service', metadata: { name }, spec });
    if (loadBalancerIps.length > 0) {
      const status = { loadBalancer: { ingress: loadBalancerIps.map((ip) => ({ ip })) } };
      await this.cluster.patchStatus('service', name, status);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** A pod of the lab as the cluster knows it, by its own name or by another Pod's. */
export function describePod({ name, addresses }: Pod, objectName = name): PodDescription {
  const node = name.startsWith('n1') ? 'node1' : 'node2';
  return { name: objectName, node, labels: { app: 'web' }, addresses };
}
