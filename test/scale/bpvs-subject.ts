// SPDX-License-Identifier: Apache-2.0
// The agent in place of kube-proxy, whose maps are looked at from outside.
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BpfMaps } from '../../src/dataplane/bpf/bpf-maps.ts';
import { encodeServiceKey } from '../../src/dataplane/bpf/codec.ts';
import { readDestinations } from '../../src/dataplane/bpf/destination-table.ts';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import { decode } from '../../src/dataplane/bpf/struct.ts';
import type { Cluster } from '../lib/cluster/cluster.ts';
import { NodeAgent } from '../lib/daemon.ts';
import type { Node } from '../lib/host.ts';
import type { Lab } from '../lib/lab.ts';
import { type Population, serviceAddress, servicePort } from './objects.ts';
import { type Change, clockMs, type Operator } from './operator.ts';
import { cpuMs, residentMiB } from './process-numbers.ts';
import type { Subject } from './subject.ts';

/** What users start. */
const bundle = fileURLToPath(new URL('../../build/agent/bpvs.js', import.meta.url));
const timeoutMs = 30_000;

/** As kubeadm writes it for kube-proxy, in the mode that BPVS takes the place of. */
function configuration(node: Node, cluster: Cluster): unknown {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'ipvs',
    hostnameOverride: node.name,
    clientConnection: { kubeconfig: cluster.kubeconfig('proxy') },
  };
}

export class BpvsSubject implements Subject {
  readonly name = 'BPVS';
  readonly #agent: NodeAgent;
  readonly #cluster: Cluster;
  readonly #operator: Operator;
  readonly #population: Population;
  #maps: BpfMaps | undefined;

  constructor(lab: Lab, node: Node, cluster: Cluster, operator: Operator, population: Population) {
    this.#agent = new NodeAgent(lab, node, bundle);
    this.#cluster = cluster;
    this.#operator = operator;
    this.#population = population;
    this.#agent.writeText(JSON.stringify(configuration(node, cluster)), 'config.conf');
  }

  async start(): Promise<number> {
    const startMs = clockMs();
    await this.#agent.startInCluster(this.#cluster, `--config=${this.#agent.manifests}/config.conf`);
    const seconds = (clockMs() - startMs) / 1000;
    this.#maps = BpfMaps.openPinned(this.#agent.pinDirectory);
    const { services, endpointsEach } = this.#population;
    const found = [...readDestinations(this.#maps.get('destinations'))].filter((each) => each.isAvailable);
    // Besides them there is the API server itself, by its own Service.
    const expected = services * endpointsEach + 1;
    if (found.length !== expected)
      throw new Error(`Expected ${expected} destinations but received ${found.length}`);
    return seconds;
  }

  async stop(): Promise<void> {
    this.#maps?.close();
    this.#maps = undefined;
    await this.#agent.stop();
    await this.#agent[Symbol.asyncDispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  residentMiB(): number {
    return residentMiB(this.#agent.pid);
  }

  cpuMs(): number {
    return cpuMs(this.#agent.pid);
  }

  /** Programmed: the service's entry in the map leads packets to a table of as many destinations. */
  async change(service: number, isReady: boolean): Promise<Change & { readonly programmedMs: number }> {
    const { endpointsEach } = this.#population;
    const expected = isReady ? endpointsEach : endpointsEach - 1;
    const asked = this.#operator.change(service, isReady);
    const deadline = clockMs() + timeoutMs;
    while (this.#tableSize(service) !== expected) {
      if (clockMs() > deadline) throw new Error(`Expected ${expected} destinations within ${timeoutMs} ms`);
      await setTimeout(1);
    }
    const programmedMs = clockMs();
    return { ...(await asked), programmedMs };
  }

  #tableSize(service: number): number | undefined {
    const key = encodeServiceKey({ protocol: 'tcp', address: serviceAddress(service), port: servicePort });
    const entry = this.#maps?.get('services').lookup(key);
    return entry && decode(layouts.service, entry).table_size;
  }
}
