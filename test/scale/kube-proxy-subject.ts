// SPDX-License-Identifier: Apache-2.0
// The peer: the real kube-proxy in its nftables mode, by what its metrics say.
import { setTimeout } from 'node:timers/promises';
import type { Cluster } from '../lib/cluster/cluster.ts';
import { Component } from '../lib/cluster/component.ts';
import { programPath } from '../lib/cluster/programs.ts';
import type { Node } from '../lib/host.ts';
import { type Change, clockMs, type Operator } from './operator.ts';
import { childrenCpuMs, cpuMs, residentMiB } from './process-numbers.ts';
import type { Subject } from './subject.ts';

const port = 10249;
const lookMs = 50;
const timeoutMs = 300_000;
const metrics = {
  /** When a sync has last been complete; 0 before the first. */
  synced: 'kubeproxy_sync_proxy_rules_last_timestamp_seconds',
  /** How many changes of endpoints have been programmed. */
  programmed: 'kubeproxy_network_programming_duration_seconds_count',
} as const;

export class KubeProxySubject implements Subject {
  readonly name = 'kube-proxy, nftables';
  readonly #node: Node;
  readonly #cluster: Cluster;
  readonly #operator: Operator;
  #component: Component | undefined;

  constructor(node: Node, cluster: Cluster, operator: Operator) {
    this.#node = node;
    this.#cluster = cluster;
    this.#operator = operator;
  }

  async start(): Promise<number> {
    const { folder } = this.#cluster;
    const argv = [
      programPath('kube-proxy'),
      '--proxy-mode=nftables',
      `--kubeconfig=${this.#cluster.kubeconfig('proxy')}`,
      `--hostname-override=${this.#node.name}`,
      `--metrics-bind-address=${this.#node.addresses.v4}:${port}`,
      '--conntrack-max-per-core=0',
      '--conntrack-tcp-timeout-established=0s',
      '--conntrack-tcp-timeout-close-wait=0s',
    ];
    const startMs = clockMs();
    this.#component = new Component('kube-proxy', `${folder}/kube-proxy.log`, argv, (words) =>
      this.#node.command(words),
    );
    await this.#until(async () => (await this.#metric('synced')) > 0);
    return (clockMs() - startMs) / 1000;
  }

  async stop(): Promise<void> {
    await this.#component?.end('SIGTERM');
    this.#component = undefined;
    for (const family of ['ip', 'ip6'])
      await this.#node.run(['nft', 'delete', 'table', family, 'kube-proxy']);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  residentMiB(): number {
    return residentMiB(this.#pid);
  }

  cpuMs(): number {
    return cpuMs(this.#pid) + childrenCpuMs(this.#pid);
  }

  async change(service: number, isReady: boolean): Promise<Change & { readonly programmedMs: number }> {
    const before = await this.#metric('programmed');
    const change = await this.#operator.change(service, isReady);
    await this.#until(async () => (await this.#metric('programmed')) > before);
    return { ...change, programmedMs: clockMs() };
  }

  get #pid(): number {
    return this.#component?.pid ?? 0;
  }

  /** Of all labels together; 0 while nobody answers, and before there is one. */
  async #metric(name: keyof typeof metrics): Promise<number> {
    const page = await this.#operator
      .fetch(`http://${this.#node.addresses.v4}:${port}/metrics`)
      .catch(() => '');
    const lines = page.split('\n').filter((line) => line.startsWith(metrics[name]));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }

  async #until(isSo: () => Promise<boolean>): Promise<void> {
    const deadline = clockMs() + timeoutMs;
    while (!(await isSo())) {
      if (this.#component?.hasEnded || clockMs() > deadline)
        throw new Error(`Expected kube-proxy to have synced but ${this.#component?.lastWords}`);
      await setTimeout(lookMs);
    }
  }
}
