// SPDX-License-Identifier: Apache-2.0
// A real control plane for one test: etcd, kube-apiserver, and kube-controller-manager with its EndpointSlice controllers.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { clusterRange } from '../cast.ts';
import { type CommandResult, mustRun, runCommand } from '../command.ts';
import type { Host } from '../host.ts';
import { disown, own, type Removal } from '../owned.ts';
import { makeAuthority, makeCertificate, makeKey } from './certificates.ts';
import { Component } from './component.ts';
import { type ControlPlaneProgram, programPath } from './programs.ts';

export interface ClusterOptions {
  /** The machine on which it runs, with the address that it listens on; this process's loopback if not given. */
  readonly at?: { readonly host: Host; readonly address: string };
  /** Whether the controllers run that make EndpointSlices; they do if not given. */
  readonly hasControllers?: boolean;
  /**
   * Whether a second API server runs, as in a control plane that is highly available: kubectl and the controllers talk to it, the
   * agents to the first one, which may go.
   */
  readonly hasSpareServer?: boolean;
}

interface Ports {
  readonly api: number;
  readonly spare: number;
  readonly etcd: number;
  readonly peer: number;
}

/** kube-proxy's user, which the bootstrap policy binds to system:node-proxier, and nobody else. */
const users = {
  admin: { user: 'admin', group: 'system:masters' },
  proxy: { user: 'system:kube-proxy' },
  stranger: { user: 'stranger' },
} as const;
export type ClusterUser = keyof typeof users;

/** The first one, whom agents talk to. */
const firstServer = 'kube-apiserver';
const spareServer = 'spare-kube-apiserver';

/** What the proxy's user may also send in place of a certificate. */
export const proxyToken = 'proxy-token';

const readyMs = 180_000;

/** Ends with `await using`, or with this process. */
export class Cluster implements AsyncDisposable {
  /** "https://127.0.0.1:6443" */
  readonly url: string;
  /** Certificates, kubeconfigs and logs. */
  readonly folder: string;
  readonly #ports: Ports;
  readonly #address: string;
  readonly #run: (argv: readonly string[]) => readonly string[];
  readonly #removal: Removal;
  readonly #components = new Map<string, Component>();
  readonly #hasSpare: boolean;

  private constructor(folder: string, ports: Ports, { at, hasSpareServer = false }: ClusterOptions) {
    this.folder = folder;
    this.#ports = ports;
    this.#address = at?.address ?? '127.0.0.1';
    this.#hasSpare = hasSpareServer;
    this.#run = at ? (argv) => at.host.command(argv) : (argv) => argv;
    this.url = this.#urlAt(ports.api);
    this.#removal = { module: import.meta.url, call: 'removeFolder', argument: folder };
    own(this.#removal);
  }

  /** Resolves when the API server is ready. */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const folder = mkdtempSync(join(tmpdir(), 'bpvs-cluster-'));
    // A machine of a lab has all ports for itself.
    const ports = options.at ? { api: 6443, spare: 6444, etcd: 2379, peer: 2380 } : await freePorts();
    const cluster = new Cluster(folder, ports, options);
    try {
      await cluster.#prepare();
      cluster.startEtcd();
      await cluster.startApiServer();
      if (options.hasSpareServer) await cluster.#startServer(spareServer, cluster.#ports.spare);
      if (options.hasControllers ?? true) cluster.startControllers();
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  kubeconfig(user: ClusterUser): string {
    return `${this.folder}/${user}.kubeconfig`;
  }

  /** Writes one more kubeconfig for this cluster. @returns its path */
  writeKubeconfig(name: string, user: Readonly<Record<string, unknown>>, server = this.url): string {
    const path = `${this.folder}/${name}.kubeconfig`;
    const cluster = { server, 'certificate-authority': 'ca.crt' };
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'lab',
      clusters: [{ name: 'lab', cluster }],
      users: [{ name, user }],
      contexts: [{ name: 'lab', context: { cluster: 'lab', user: name } }],
    };
    writeFileSync(path, JSON.stringify(config, null, 2));
    return path;
  }

  /** Runs kubectl as the administrator; rejects if it fails. */
  kubectl(argv: readonly string[], input?: string): Promise<string> {
    return mustRun(this.#kubectl('admin', argv), this.#kubectlOptions(input));
  }

  /** Runs kubectl as somebody. */
  tryKubectl(user: ClusterUser, argv: readonly string[], input?: string): Promise<CommandResult> {
    return runCommand(this.#kubectl(user, argv), this.#kubectlOptions(input));
  }

  /** Creates or changes objects. */
  async apply(...objects: readonly unknown[]): Promise<void> {
    const list = { apiVersion: 'v1', kind: 'List', items: objects };
    await this.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], JSON.stringify(list));
  }

  async patchStatus(kind: string, name: string, status: unknown): Promise<void> {
    const patch = JSON.stringify({ status });
    await this.kubectl(['patch', kind, name, '--subresource=status', '--type=merge', '-p', patch]);
  }

  /** One object, or a list of them, as `kubectl get -o json` prints it. */
  async get(...argv: readonly string[]): Promise<Record<string, unknown> & { items?: unknown[] }> {
    return JSON.parse(await this.kubectl(['get', '-o', 'json', ...argv]));
  }

  startEtcd(): void {
    const { etcd, peer } = this.#ports;
    const [client, peers] = [`http://127.0.0.1:${etcd}`, `http://127.0.0.1:${peer}`];
    this.#start('etcd', 'etcd', [
      ['--data-dir', `${this.folder}/etcd`],
      ['--unsafe-no-fsync'],
      ['--quota-backend-bytes', '4000000000'],
      ['--listen-client-urls', client],
      ['--advertise-client-urls', client],
      ['--listen-peer-urls', peers],
      ['--initial-advertise-peer-urls', peers],
      ['--initial-cluster', `default=${peers}`],
    ]);
  }

  /** Resolves when it is ready. */
  startApiServer(): Promise<void> {
    return this.#startServer(firstServer, this.#ports.api);
  }

  async #startServer(name: string, port: number): Promise<void> {
    const file = (name: string) => `${this.folder}/${name}`;
    this.#start(name, 'kube-apiserver', [
      ['--etcd-servers', `http://127.0.0.1:${this.#ports.etcd}`],
      ['--bind-address', this.#address],
      ['--secure-port', String(port)],
      ['--advertise-address', this.#address.startsWith('127.') ? '192.0.2.1' : this.#address],
      ['--tls-cert-file', file('server.crt')],
      ['--tls-private-key-file', file('server.key')],
      ['--client-ca-file', file('ca.crt')],
      ['--token-auth-file', file('tokens.csv')],
      ['--authorization-mode', 'RBAC'],
      // As kubeadm has it: the DaemonSet's init container is privileged.
      ['--allow-privileged=true'],
      ['--service-account-issuer', 'https://kubernetes.default.svc'],
      ['--service-account-key-file', file('accounts.key')],
      ['--service-account-signing-key-file', file('accounts.key')],
      ['--service-cluster-ip-range', `${clusterRange.v4},${clusterRange.v6}`],
      ['--disable-admission-plugins', 'ServiceAccount'],
    ]);
    const deadline = performance.now() + readyMs;
    const ask = ['--server', this.#urlAt(port), 'get', '--raw', '/readyz'];
    while ((await this.tryKubectl('admin', ask)).code !== 0) {
      const { lastWords, hasEnded } = this.#component(name);
      if (hasEnded || performance.now() > deadline)
        throw new Error(`Expected an API server but ${lastWords}`);
      await setTimeout(500);
    }
  }

  startControllers(): void {
    const name = 'kube-controller-manager';
    this.#start(name, name, [
      ['--kubeconfig', this.kubeconfig('admin')],
      ['--controllers', 'endpointslice-controller,endpointslice-mirroring-controller'],
      ['--leader-elect=false'],
      ['--service-account-private-key-file', `${this.folder}/accounts.key`],
      ['--secure-port', '0'],
    ]);
  }

  component(name: ControlPlaneProgram): Component {
    return this.#component(name);
  }

  #component(name: string): Component {
    const component = this.#components.get(name);
    if (!component) throw new Error(`Expected ${name} to have been started`);
    return component;
  }

  /** Kills everything and removes it. Idempotent. */
  async close(): Promise<void> {
    for (const component of [...this.#components.values()].reverse()) await component.end();
    await removeFolder(this.folder);
    disown(this.#removal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #prepare(): Promise<void> {
    const { folder } = this;
    mkdirSync(`${folder}/etcd`, { mode: 0o700 });
    await makeAuthority(folder);
    await makeKey(folder, 'accounts');
    await makeCertificate(folder, {
      name: 'server',
      user: 'kube-apiserver',
      addresses: [this.#address, '10.96.0.1'],
    });
    for (const [name, identity] of Object.entries(users)) {
      await makeCertificate(folder, { name, ...identity });
      const user = { 'client-certificate': `${name}.crt`, 'client-key': `${name}.key` };
      const isSpared = this.#hasSpare && name === 'admin';
      this.writeKubeconfig(name, user, isSpared ? this.#urlAt(this.#ports.spare) : this.url);
    }
    writeFileSync(`${folder}/tokens.csv`, `${proxyToken},${users.proxy.user},1\n`);
  }

  #start(name: string, program: ControlPlaneProgram, flags: readonly (readonly string[])[]): void {
    const argv = [programPath(program), ...flags.flat()];
    this.#components.set(name, new Component(name, `${this.folder}/${name}.log`, argv, this.#run));
  }

  #urlAt(port: number): string {
    return `https://${this.#address}:${port}`;
  }

  #kubectl(user: ClusterUser, argv: readonly string[]): readonly string[] {
    return this.#run([programPath('kubectl'), '--kubeconfig', this.kubeconfig(user), ...argv]);
  }

  #kubectlOptions(input: string | undefined) {
    return {
      environment: { KUBECACHEDIR: `${this.folder}/kubectl-cache` },
      ...(input !== undefined && { input }),
    };
  }
}

/** For the end of a process that did not close its cluster: the programs end by themselves then. */
export async function removeFolder(folder: string): Promise<void> {
  for (let tries = 20; existsSync(folder); tries--) {
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      if (tries === 0) throw error;
      await setTimeout(50);
    }
  }
}

/** Nobody else may take them before they are used, which is soon. */
async function freePorts(): Promise<Ports> {
  const servers = await Promise.all(
    ['api', 'spare', 'etcd', 'peer'].map(async (name) => {
      const server = createServer();
      const { promise, resolve } = Promise.withResolvers<void>();
      server.listen(0, '127.0.0.1', resolve);
      await promise;
      return { name, server, port: (server.address() as { port: number }).port };
    }),
  );
  for (const { server } of servers) server.close();
  return Object.fromEntries(servers.map(({ name, port }) => [name, port])) as unknown as Ports;
}
