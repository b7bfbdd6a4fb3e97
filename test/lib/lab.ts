// SPDX-License-Identifier: Apache-2.0
// The lab: an outside client, two nodes and their pods as network namespaces; makes, finds and removes it.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { EnvironmentError, InputError } from '../../src/errors.ts';
import { clientOne, nodeOne, nodeTwo, podRangeOne, podRangeTwo } from './cast.ts';
import { attachPod, detachPod, type PodNetwork, pluginFolder, pluginNames, type Wiring } from './cni.ts';
import { mustRun, runCommand } from './command.ts';
import { Host, type HostRecord, Node, type NodeRecord, Pod, type PodRecord } from './host.ts';
import {
  type Joint,
  kernelSettings,
  machineCommands,
  segmentCommands,
  tunnelCommands,
} from './lab-layout.ts';
import { disown, own, type Removal } from './owned.ts';

export interface LabOptions {
  /** Prefix of every namespace; labs of different names do not touch each other. Letters, digits and dashes. */
  readonly name: string;
  /** How pods are wired; ptp if not given. */
  readonly cni?: Wiring;
  /** 3 if not given. */
  readonly podsPerNode?: number;
  /** Plain routes if not given. */
  readonly joint?: Joint;
}

interface LabRecord extends Required<LabOptions> {
  /** Missing while the lab is half made. */
  readonly machines?: { readonly client: HostRecord; readonly nodes: readonly NodeRecord[] };
}

const namespaceFolder = '/run/netns';
const stateFolder = '/run/bpvs-lab';

const nodePlans = [
  { name: 'node1', podPrefix: 'n1-pod', addresses: nodeOne, podRange: podRangeOne },
  { name: 'node2', podPrefix: 'n2-pod', addresses: nodeTwo, podRange: podRangeTwo },
] as const;

/** What this machine lacks for a lab, as a sentence; undefined if a lab can be made. For the skip option of tests. */
export function missingForLab(): string | undefined {
  if (process.getuid?.() !== 0) return 'the lab needs root';
  const plugin = pluginNames.find((name) => !existsSync(`${pluginFolder}/${name}`));
  if (plugin) return `the lab needs ${pluginFolder}/${plugin} (Debian package containernetworking-plugins)`;
  const tools = { ip: 'iproute2', nsenter: 'util-linux', tcpdump: 'tcpdump' };
  const tool = Object.entries(tools).find(([name]) => spawnSync('which', [name]).status !== 0);
  if (tool) return `the lab needs ${tool[0]} (Debian package ${tool[1]})`;
  if (spawnSync('unshare', ['--net', 'true']).status !== 0)
    return 'the lab needs the right to make network namespaces';
  return undefined;
}

/** As {@link missingForLab}, for a test that needs one more program. */
export function missingForLabWith(tool: string, debianPackage: string): string | undefined {
  const missing = missingForLab();
  if (missing || spawnSync('which', [tool]).status === 0) return missing;
  return `the test needs ${tool} (Debian package ${debianPackage})`;
}

/** A lab that stands. Remove it with `await using`, {@link teardown}, or {@link removeLab}. */
export class Lab {
  readonly name: string;
  readonly cni: Wiring;
  /** Outside the cluster; its default route and the virtual addresses lead to node one. */
  readonly client: Host;
  readonly nodes: readonly [Node, Node];
  readonly #record: LabRecord;

  private constructor(record: LabRecord) {
    const [first, second] = record.machines?.nodes ?? [];
    if (!record.machines || !first || !second) {
      throw new InputError(
        `Expected a complete lab "${record.name}" but received a half-made one; tear it down`,
      );
    }
    this.name = record.name;
    this.cni = record.cni;
    this.client = new Host(record.machines.client);
    this.nodes = [new Node(first), new Node(second)];
    this.#record = record;
  }

  /**
   * Removes what a lab of this name left behind and makes a new one. It is removed when this process ends,
   * by SIGINT, SIGTERM or SIGHUP too, unless {@link keep} was called.
   * Throws EnvironmentError if the machine lacks something, InputError for a name that cannot be used.
   */
  static async create(options: LabOptions): Promise<Lab> {
    const missing = missingForLab();
    if (missing) throw new EnvironmentError(`Expected a machine that can hold a lab but ${missing}`);
    own(removalOf(checkedName(options.name)));
    try {
      return new Lab(await setup({ cni: 'ptp', podsPerNode: 3, joint: 'routes', ...options }));
    } catch (error) {
      await removeLab(options.name);
      disown(removalOf(options.name));
      throw error;
    }
  }

  /** Finds a lab that another process made. Throws InputError if there is none, or a half-made one. */
  static async open(name: string): Promise<Lab> {
    const record = await readRecord(checkedName(name));
    if (!record) throw new InputError(`Expected a lab named "${name}" but there is none; set it up first`);
    return new Lab(record);
  }

  /** Every pod, node one's first. */
  get pods(): readonly Pod[] {
    return this.nodes.flatMap((node) => node.pods);
  }

  /** Every machine: client, nodes, pods. */
  get hosts(): readonly Host[] {
    return [this.client, ...this.nodes, ...this.pods];
  }

  /** The machine of this name ("client", "node1", "n1-pod1"). Throws InputError if there is none. */
  host(name: string): Host {
    const host = this.hosts.find((each) => each.name === name);
    if (host) return host;
    const names = this.hosts.map((each) => each.name).join(', ');
    throw new InputError(`Expected one of ${names} but received "${name}"`);
  }

  /** Makes one more pod ("n1-pod9") on a node; {@link pods} does not list it. */
  async addPod(node: Node, name: string): Promise<Pod> {
    return new Pod(await addPod(this.#record, node.name, name));
  }

  /** Kills what runs in a pod and removes it. */
  async removePod(node: Node, pod: Pod): Promise<void> {
    await killProcessesIn([pod.namespacePath]);
    await detachPod(podNetwork(this.#record, node.name), `${this.name}-${pod.name}`, pod.namespacePath);
    await ip([], `netns del ${this.name}-${pod.name}`);
  }

  /** Leaves the lab standing when this process ends. */
  keep(): void {
    disown(removalOf(this.name));
  }

  /** Kills every process in the lab and removes all of it. Idempotent. */
  async teardown(): Promise<void> {
    await removeLab(this.name);
    disown(removalOf(this.name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.teardown();
  }
}

async function setup(options: Required<LabOptions>): Promise<LabRecord> {
  const { name, podsPerNode } = options;
  await removeLab(name);
  await writeRecord(options);
  const pods = nodePlans.map(({ podPrefix }) =>
    Array.from({ length: podsPerNode }, (_, i) => `${podPrefix}${i + 1}`),
  );
  const machines = ['client', ...nodePlans.map((plan) => plan.name)];
  const namespaces = ['lan', ...machines, ...pods.flat()];
  await ip([], namespaces.map((each) => `netns add ${name}-${each}`).join('\n'));
  await Promise.all(
    namespaces.map((each) => mustRun([...inside(name, each), 'sh', '-c', kernelSettings(each)])),
  );
  await ip(['-n', `${name}-lan`], segmentCommands(name, machines));
  await Promise.all(machines.map((each) => ip(['-n', `${name}-${each}`], machineCommands(each))));
  const nodes = await Promise.all(
    nodePlans.map(async (plan, i) => {
      if (options.joint === 'vxlan') await ip(['-n', `${name}-${plan.name}`], tunnelCommands(plan.name));
      const records: PodRecord[] = [];
      for (const pod of pods[i] ?? []) records.push(await wirePod(options, plan.name, pod)); // one by one: addresses in order
      return { ...hostRecord(name, plan.name, plan.addresses), pods: records };
    }),
  );
  const record = { ...options, machines: { client: hostRecord(name, 'client', clientOne), nodes } };
  await writeRecord(record);
  return record;
}

async function addPod(lab: Required<LabOptions>, node: string, pod: string): Promise<PodRecord> {
  await ip([], `netns add ${lab.name}-${checkedPodName(node, pod)}`);
  await mustRun([...inside(lab.name, pod), 'sh', '-c', kernelSettings(pod)]);
  return wirePod(lab, node, pod);
}

async function wirePod(lab: Required<LabOptions>, node: string, pod: string): Promise<PodRecord> {
  const path = namespacePath(lab.name, pod);
  const { hostDevice, ...addresses } = await attachPod(podNetwork(lab, node), `${lab.name}-${pod}`, path);
  return { ...hostRecord(lab.name, pod, addresses), hostDevice };
}

/**
 * Removes a lab, half-made or whole, this process's or another's: kills the processes in its namespaces,
 * calls the plugins' DEL, deletes namespaces and state. Does nothing if there is none; throws InputError for a bad name.
 */
export async function removeLab(name: string): Promise<void> {
  const record = await readRecord(checkedName(name));
  const namespaces = await labNamespaces(name);
  await killProcessesIn(namespaces.map((each) => namespacePath(name, each)));
  if (record) {
    await Promise.all(
      nodePlans
        .filter((plan) => namespaces.includes(plan.name))
        .map(async (plan) => {
          const pods = namespaces.filter((each) => each.startsWith(plan.podPrefix));
          for (const pod of pods) await unwirePod(record, plan.name, pod);
        }),
    );
  }
  if (namespaces.length > 0) {
    await ip(['-force'], namespaces.map((each) => `netns del ${name}-${each}`).join('\n'));
  }
  await rm(`${stateFolder}/${name}`, { recursive: true, force: true });
}

function removalOf(name: string): Removal {
  return { module: import.meta.url, call: 'removeLab', argument: name };
}

/** A pod that its plugin cannot detach goes with its namespace; that is worth a line, not a failed teardown. */
async function unwirePod(record: LabRecord, node: string, pod: string): Promise<void> {
  try {
    await detachPod(podNetwork(record, node), `${record.name}-${pod}`, namespacePath(record.name, pod));
  } catch (error) {
    process.emitWarning(`CNI DEL failed for ${record.name}-${pod}: ${(error as Error).message}`);
  }
}

function podNetwork(lab: Required<LabOptions>, node: string): PodNetwork {
  const plan = nodePlans.find((each) => each.name === node);
  if (!plan) throw new InputError(`Expected node1 or node2 but received "${node}"`);
  return {
    wiring: lab.cni,
    range: plan.podRange,
    leaseFolder: `${stateFolder}/${lab.name}/${node}`,
    nodeNamespacePath: namespacePath(lab.name, node),
  };
}

function hostRecord(lab: string, name: string, addresses: HostRecord['addresses']): HostRecord {
  return { name, namespacePath: namespacePath(lab, name), addresses };
}

function namespacePath(lab: string, name: string): string {
  return `${namespaceFolder}/${lab}-${name}`;
}

function inside(lab: string, name: string): string[] {
  return ['nsenter', `--net=${namespacePath(lab, name)}`, '--'];
}

async function ip(options: readonly string[], commands: string): Promise<void> {
  await mustRun(['ip', ...options, '-batch', '-'], { input: `${commands}\n` });
}

/** The names, without the lab's, of the lab's namespaces that exist. */
async function labNamespaces(lab: string): Promise<string[]> {
  const all = await readdir(namespaceFolder).catch(() => []);
  const own = new RegExp(`^${lab}-(lan|client|far|node\\d+|n\\d+-pod\\d+)$`);
  return all.map((each) => own.exec(each)?.[1]).filter((each) => each !== undefined);
}

async function killProcessesIn(paths: readonly string[]): Promise<void> {
  if (paths.length === 0) return;
  const inodes = new Set(await Promise.all(paths.map(async (path) => `net:[${(await stat(path)).ino}]`)));
  const processes = (await readdir('/proc')).filter(
    (entry) => /^\d+$/.test(entry) && entry !== `${process.pid}`,
  );
  await Promise.all(
    processes.map(async (pid) => {
      const namespace = await readlink(`/proc/${pid}/ns/net`).catch(() => ''); // ended meanwhile
      if (inodes.has(namespace)) await runCommand(['kill', '-KILL', pid]);
    }),
  );
}

function checkedName(name: string): string {
  if (/^[a-z0-9][a-z0-9-]{0,30}$/.test(name)) return name;
  throw new InputError(`Expected a lab name of letters, digits and dashes but received "${name}"`);
}

function checkedPodName(node: string, pod: string): string {
  const prefix = nodePlans.find((plan) => plan.name === node)?.podPrefix;
  if (prefix && new RegExp(`^${prefix}\\d+$`).test(pod)) return pod;
  throw new InputError(`Expected a pod name like ${prefix}9 for ${node} but received "${pod}"`);
}

async function readRecord(name: string): Promise<LabRecord | undefined> {
  const text = await readFile(`${stateFolder}/${name}/lab.json`, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as LabRecord);
}

async function writeRecord(record: LabRecord): Promise<void> {
  await mkdir(`${stateFolder}/${record.name}`, { recursive: true });
  await writeFile(`${stateFolder}/${record.name}/lab.json`, `${JSON.stringify(record, null, 2)}\n`);
}
