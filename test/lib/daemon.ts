// SPDX-License-Identifier: Apache-2.0
// The daemon on a node of a lab, with a folder of manifests, pins and a control group of its own.
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { findCgroupRoot } from '../../src/agent/cgroup.ts';
import { removeDataPlane } from '../../src/dataplane/bpf/cleanup.ts';
import type { Cluster } from './cluster/cluster.ts';
import type { CommandResult } from './command.ts';
import { Host, type Node } from './host.ts';
import type { Lab } from './lab.ts';
import { disown, own, type Removal } from './owned.ts';

const bpvs = fileURLToPath(new URL('../../src/agent/bpvs.ts', import.meta.url));
const bpvsadm = fileURLToPath(new URL('../../src/cli/bpvsadm.ts', import.meta.url));

export type Fields = Readonly<Record<string, unknown>>;

/** What a node's daemon has on the machine. */
interface Traces {
  readonly pinDirectory: string;
  readonly cgroup: string;
  readonly manifests: string;
}

/**
 * What a node has for itself; lasts from one daemon to the next. Disposing of it cleans all of it up, and so does the end of
 * this process, after that of the lab, which ends what runs in it.
 */
export class NodeAgent implements AsyncDisposable, Traces {
  readonly node: Node;
  readonly pinDirectory: string;
  readonly cgroup: string;
  readonly manifests: string;
  readonly #removal: Removal;
  #child: ChildProcessWithoutNullStreams | undefined;
  readonly #program: string;
  #log = '';

  /** @param program the sources as they are if not given */
  constructor(lab: Lab, node: Node, program = bpvs) {
    this.node = node;
    this.#program = program;
    this.pinDirectory = `/sys/fs/bpf/bpvs-${lab.name}-${node.name}`;
    this.cgroup = `${findCgroupRoot()}/bpvs-${lab.name}-${node.name}`;
    this.manifests = mkdtempSync(join(tmpdir(), `bpvs-${lab.name}-`));
    const { pinDirectory, cgroup, manifests } = this;
    this.#removal = {
      module: import.meta.url,
      call: 'removeTraces',
      argument: { pinDirectory, cgroup, manifests } satisfies Traces,
    };
    own(this.#removal);
    if (existsSync(this.pinDirectory)) removeDataPlane(this.pinDirectory); // of a test that was killed
    mkdirSync(this.cgroup, { recursive: true });
  }

  /** Everything that the daemon said on stderr since it was last started. */
  get log(): string {
    return this.#log;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Writes a List of objects, whole at once. */
  write(objects: readonly Fields[], file = 'objects.json'): void {
    this.writeText(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }), file);
  }

  writeText(text: string, file = 'objects.json'): void {
    const path = join(this.manifests, file);
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  }

  /** Starts the daemon; resolves with its ready line. Rejects with its log if it ends before. */
  start(...options: readonly string[]): Promise<string> {
    return this.#start(['run', '--node', this.node.name], options);
  }

  /** Starts the daemon as kube-proxy is started: by its flags alone. */
  startAsProxy(...flags: readonly string[]): Promise<string> {
    return this.#start([`--hostname-override=${this.node.name}`], flags);
  }

  /** Starts the daemon for a cluster, with the rights of kube-proxy. */
  startInCluster(cluster: Cluster, ...options: readonly string[]): Promise<string> {
    return this.#start(this.#clusterWords(cluster), options, []);
  }

  /** The same without waiting for anything: it may have to wait for the API server. */
  launchInCluster(cluster: Cluster, ...options: readonly string[]): void {
    this.#launch(this.#clusterWords(cluster), options, []);
  }

  /** Resolves with the daemon's exit code when it has ended by itself. */
  async ended(): Promise<number | null> {
    const child = this.#child;
    if (!child) return null;
    this.#child = undefined;
    if (child.exitCode === null) await once(child, 'close');
    return child.exitCode;
  }

  #clusterWords(cluster: Cluster): readonly string[] {
    return [`--hostname-override=${this.node.name}`, `--kubeconfig=${cluster.kubeconfig('proxy')}`];
  }

  #launch(words: readonly string[], options: readonly string[], source: readonly string[]) {
    this.#log = '';
    const argv = [process.execPath, this.#program, ...words, ...source, ...this.#options(options)];
    const child = this.node.spawn(argv);
    this.#child = child;
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      this.#log += chunk;
    });
    return child;
  }

  async #start(
    words: readonly string[],
    options: readonly string[],
    source: readonly string[] = ['--manifests', this.manifests],
  ): Promise<string> {
    const child = this.#launch(words, options, source);
    const lines = createInterface({ input: child.stdout });
    const ended = once(child, 'close').then(([code]) => {
      throw new Error(`Expected the daemon to run but it ended with ${code}: ${this.#log}`);
    });
    ended.catch(() => {});
    const [line] = await Promise.race([once(lines, 'line'), ended]);
    return line;
  }

  /** Ends the daemon by a signal. @returns its exit code, null if the signal killed it */
  async stop(signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    const child = this.#child;
    if (!child) return null;
    this.#child = undefined;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    child.kill(signal);
    const [code] = await once(child, 'close');
    return code;
  }

  /** Resolves when the log has a line like this. */
  async logged(pattern: RegExp, timeoutMs = 5000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!pattern.test(this.#log)) {
      const left = deadline - performance.now();
      const chunk =
        this.#child &&
        once(this.#child.stderr, 'data', { signal: AbortSignal.timeout(Math.max(Math.ceil(left), 1)) });
      await (chunk ?? Promise.reject(new Error('no daemon'))).catch(() => {
        throw new Error(`Expected ${pattern} in the log within ${timeoutMs} ms but received: ${this.#log}`);
      });
    }
  }

  /** Runs another command of bpvs on this node's pins. */
  command(...argv: readonly string[]): Promise<CommandResult> {
    const [name = '', ...rest] = argv;
    return this.node.run([process.execPath, bpvs, name, '--pin-dir', this.pinDirectory, ...rest]);
  }

  /** What bpvsadm prints of this node's pins. */
  bpvsadm(...argv: readonly string[]): Promise<string> {
    return this.node.mustRun([
      'env',
      `BPVS_PIN_DIR=${this.pinDirectory}`,
      process.execPath,
      bpvsadm,
      ...argv,
    ]);
  }

  /** The node as a machine whose processes are in the daemon's control group. */
  get host(): Host {
    return new GroupedHost(this.node, this.cgroup);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('SIGKILL');
    await this.command('cleanup');
    await removeTraces(this);
    disown(this.#removal);
  }

  #options(more: readonly string[]): readonly string[] {
    const own = ['--pin-dir', this.pinDirectory];
    return more.includes('--cgroup') ? [...own, ...more] : [...own, '--cgroup', this.cgroup, ...more];
  }
}

/** Removes what a daemon that has ended left behind. A control group can go only when its processes, ended by now, are gone. */
export async function removeTraces({ pinDirectory, cgroup, manifests }: Traces): Promise<void> {
  rmSync(manifests, { recursive: true, force: true });
  if (existsSync(pinDirectory)) removeDataPlane(pinDirectory);
  for (let tries = 200; existsSync(cgroup); tries--) {
    try {
      rmdirSync(cgroup);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || tries === 0) throw error;
      await setTimeout(10);
    }
  }
}

/** A machine whose processes start in a control group. */
export class GroupedHost extends Host {
  readonly #cgroup: string;

  constructor(host: Host, cgroup: string) {
    super(host);
    this.#cgroup = cgroup;
  }

  override command(argv: readonly string[]): string[] {
    return ['sh', '-c', `echo $$ > ${this.#cgroup}/cgroup.procs; exec "$@"`, 'sh', ...super.command(argv)];
  }
}
