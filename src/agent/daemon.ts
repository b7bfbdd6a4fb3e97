// SPDX-License-Identifier: Apache-2.0
// The daemon: manifests and the node's addresses in, virtual services in the data plane, programs at the devices.
import { access } from 'node:fs/promises';
import { type AgentSettings, nodePortCidrs } from '../config/agent-settings.ts';
import { Attachments, checkCgroup, type DeviceHook } from '../dataplane/bpf/attachments.ts';
import { BpfDataPlane } from '../dataplane/bpf/bpf-data-plane.ts';
import { setBridgePorts } from '../dataplane/bpf/bridge-ports.ts';
import { removeDataPlane } from '../dataplane/bpf/cleanup.ts';
import { type DeviceFilter, deviceProblems } from '../dataplane/bpf/devices.ts';
import type { BpfOptions } from '../dataplane/bpf/options.ts';
import { setPodDevices } from '../dataplane/bpf/pod-devices.ts';
import { knownSchedulers } from '../dataplane/bpf/schedulers.ts';
import type { Network, UplinkFilter } from '../dataplane/bpf/uplinks.ts';
import { XdpAttachments } from '../dataplane/bpf/xdp-attachments.ts';
import { EnvironmentError, InputError, SystemError } from '../errors.ts';
import { ManifestDirectory } from '../kube/manifest-directory.ts';
import type { Address } from '../model/address.ts';
import type { Cidr } from '../model/cidr.ts';
import type { ClusterObjects, NodeObject } from '../model/cluster.ts';
import type { SchedulerFlag, SchedulerName } from '../model/scheduler.ts';
import type { LinkRecord } from '../native/network-records.ts';
import { missingForDestroying } from '../native/socket-diagnostics.ts';
import type { DesiredState } from '../plan/desired-state.ts';
import { nodeView } from '../plan/node-view.ts';
import { plan } from '../plan/plan.ts';
import { Reconciler, type Reconciliation } from '../reconcile/reconciler.ts';
import { daemonOf, lockPins } from './daemon-lock.ts';
import type { Log } from './log.ts';
import { NetworkFollower } from './network.ts';
import { OnceEach } from './once-each.ts';
import { describeOperation, remarks } from './remarks.ts';
import { Xdp, type XdpOptions, type XdpOutcome } from './xdp.ts';

export interface DaemonOptions {
  readonly manifests: string;
  readonly node: string;
  readonly cgroup: string;
  readonly isClientDevice: DeviceFilter;
  /** Those that the filter names one by one: it is said of which there is none, or none that can be served. */
  readonly namedDevices: readonly string[];
  readonly isUplink: UplinkFilter;
  readonly deviceHook: DeviceHook;
  readonly xdp: XdpOptions;
  readonly scheduler: SchedulerName;
  readonly schedulerFlags?: readonly SchedulerFlag[] | undefined;
  /** What of a kube-proxy's configuration decides about Services; its defaults if not given. */
  readonly planning?: Pick<AgentSettings, 'nodePortAddresses' | 'allowsExternalIps'>;
  readonly observer?: DaemonObserver;
  readonly bpf: BpfOptions & { readonly pinDirectory: string };
}

/** Whoever tells others how the daemon is. */
export interface DaemonObserver {
  /** Something is different, and will be planned and programmed. */
  queued(): void;
  /** What was planned is programmed; `isComplete`: all of it. */
  synced(isComplete: boolean): void;
  /** @param node undefined: there is no Node of this name */
  planned(desired: DesiredState, node: NodeObject | undefined, nodePorts: NodePortRange): void;
}

/** Where node ports may answer. */
export interface NodePortRange {
  /** Empty: everywhere. */
  readonly cidrs: readonly Cidr[];
  /** All that the node's devices hold. */
  readonly addresses: readonly Address[];
}

const retryMs = 1000;

/** Nobody tells of filters that are taken off a device. */
const lookMs = 5000;

/** Closing it ends the following of changes; what it put into the kernel goes on working. */
export class Daemon implements AsyncDisposable {
  readonly #options: DaemonOptions;
  readonly #log: Log;
  readonly #resources = new AsyncDisposableStack();
  readonly #dataPlane: BpfDataPlane;
  readonly #attachments: Attachments;
  readonly #xdp: Xdp;
  readonly #reconciler: Reconciler;
  readonly #remarks = new OnceEach();
  readonly #failures = new OnceEach();
  readonly #withheld = new OnceEach();
  readonly #deviceProblems = new OnceEach();
  readonly #socketProblems = new OnceEach();
  #objects: ClusterObjects | undefined;
  #unread: readonly string[] = [];
  #addresses: readonly Address[] = [];
  #links: readonly LinkRecord[] = [];
  readonly #expiresSockets: boolean;
  #isAttached = false;
  #retry: NodeJS.Timeout | undefined;
  #services = 0;

  private constructor(options: DaemonOptions, log: Log, lock: Disposable) {
    this.#options = options;
    this.#log = log;
    this.#resources.use(lock);
    this.#dataPlane = this.#resources.use(BpfDataPlane.open(options.bpf));
    const { programs } = this.#dataPlane;
    this.#attachments = new Attachments(programs, options.bpf.pinDirectory, options.deviceHook);
    this.#xdp = new Xdp(options.xdp, new XdpAttachments(programs, options.bpf.pinDirectory), log);
    this.#reconciler = this.#resources.use(
      new Reconciler(this.#dataPlane, processTiming, (outcome) => this.#reconciled(outcome), {
        drains: !options.bpf.expiresTcpSockets,
      }),
    );
    this.#resources.defer(() => clearTimeout(this.#retry));
    const missing = missingForDestroying();
    this.#expiresSockets = missing === undefined;
    if (missing !== undefined) log('warning', socketsStay, { reason: missing });
    log('info', programs.isAdopted ? 'maps adopted' : 'maps made', { pins: options.bpf.pinDirectory });
    for (const other of programs.maps.otherSizes(options.bpf.sizes)) {
      log('warning', 'table adopted with another size, `bpvs cleanup` lets it be made anew', other);
    }
  }

  /**
   * Resolves when every virtual service is in the maps and every device and the control group has its programs: nothing is
   * attached before the services are there, and no service is deleted that an unread manifest may have.
   * A start that fails removes the maps that it has made.
   * Throws EnvironmentError, InputError (no such folder), LayoutError, SystemError.
   */
  static async start(options: DaemonOptions, log: Log): Promise<Daemon> {
    const lock = await lockPins(options.bpf.pinDirectory);
    if (!lock) throw await alreadyRunning(options.bpf.pinDirectory);
    let daemon: Daemon;
    try {
      await access(`${options.manifests}/.`).catch((error) => {
        throw unreadable(options.manifests, error);
      });
      checkCgroup(options.cgroup);
      daemon = new Daemon(options, log, lock);
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
    try {
      await daemon.#start();
      return daemon;
    } catch (error) {
      const { isAdopted } = daemon.#dataPlane.programs;
      await daemon.close();
      if (!isAdopted) removeDataPlane(options.bpf.pinDirectory);
      throw error;
    }
  }

  get services(): number {
    return this.#services;
  }

  get devices(): number {
    return this.#attachments.devices.length;
  }

  async close(): Promise<void> {
    await this.#resources.disposeAsync();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(): Promise<void> {
    this.#resources.use(
      NetworkFollower.open({
        networkChanged: (network) => this.#setNetwork(network),
        linksChanged: (links) => this.#setLinks(links),
        addressesChanged: (addresses) => this.#setAddresses(addresses),
        failed: (error) => this.#log('warning', 'network events lost', { reason: error.message }),
      }),
    );
    this.#resources.use(await this.#openManifests());
    this.#attachments.attachSockets(this.#options.cgroup);
    this.#isAttached = true;
    this.#xdp.check(this.#attachDevices());
    this.#attachments.pinPrograms();
    const look = setInterval(() => {
      this.#attachDevices();
      this.#expireSockets();
    }, lookMs).unref();
    this.#resources.defer(() => clearInterval(look));
  }

  async #openManifests(): Promise<ManifestDirectory> {
    const { manifests } = this.#options;
    try {
      return await ManifestDirectory.open(manifests, {
        objectsChanged: (objects, unread) => {
          this.#objects = objects;
          this.#unread = unread;
          this.#plan();
        },
        problemsFound: (problems) => {
          for (const problem of problems) this.#log('warning', 'manifest problem', { problem });
        },
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
      throw unreadable(manifests, error);
    }
  }

  #setAddresses(addresses: readonly Address[]): void {
    this.#addresses = addresses;
    this.#log('info', 'addresses of the node', { addresses: addresses.length });
    this.#dataPlane.setOwnAddresses(addresses);
    this.#plan();
  }

  #plan(): void {
    if (!this.#objects) return;
    const { node, scheduler, schedulerFlags, planning, observer } = this.#options;
    const own = this.#objects.nodes.find(({ name }) => name === node);
    const cidrs = nodePortCidrs(planning?.nodePortAddresses ?? [], own?.addresses ?? []);
    observer?.queued();
    const desired = plan(this.#objects, nodeView(node, this.#addresses, own), {
      families: [4, 6],
      scheduler,
      schedulerFlags,
      schedulers: knownSchedulers,
      allowsExternalIps: planning?.allowsExternalIps,
      nodePortAddresses: cidrs,
    });
    observer?.planned(desired, own, { cidrs, addresses: this.#addresses });
    this.#remark(desired);
    this.#reconciler.want(desired.services, this.#unread.length === 0);
  }

  #remark(desired: DesiredState): void {
    for (const remark of this.#remarks.fresh(remarks(desired))) {
      this.#log('warning', 'service problem', { problem: remark });
    }
  }

  #reconciled({ services, operations, withheld, draining, failures, durationMs }: Reconciliation): void {
    this.#services = services;
    this.#options.observer?.synced(failures.length === 0);
    const lines = failures.map(({ operation, error }) => `${describeOperation(operation)}: ${error.message}`);
    for (const problem of this.#failures.fresh(lines)) {
      this.#log('error', 'operation failed, it will be tried again', { problem });
    }
    const files = withheld > 0 ? [this.#unread.join(', ')] : [];
    for (const file of this.#withheld.fresh(files)) {
      this.#log('warning', 'virtual services that no manifest has are kept until these files are mended', {
        files: file,
        kept: withheld,
      });
    }
    this.#log('info', 'reconciled', {
      services,
      operations,
      failures: failures.length,
      ...(withheld > 0 && { withheld }),
      ...(draining > 0 && { draining }),
      ms: Math.round(durationMs),
    });
    this.#expireSockets();
  }

  /** After a reconciliation, so that who connects anew gets another destination; and again for those that came too late. */
  #expireSockets(): void {
    if (!this.#expiresSockets) return;
    try {
      const sockets = this.#dataPlane.socketExpiry.expire();
      if (sockets > 0) this.#log('info', 'sockets of the host ended with their destination', { sockets });
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      for (const reason of this.#socketProblems.fresh([error.message]))
        this.#log('warning', socketsStay, { reason });
    }
  }

  #setNetwork(network: Network): void {
    const { isUplink, bpf } = this.#options;
    this.#dataPlane.uplinks.set(network, isUplink);
    const podDevices = this.#dataPlane.programs.maps.get('pod_devices');
    if (bpf.redirectsLocally) setPodDevices(podDevices, network, isUplink);
  }

  #setLinks(links: readonly LinkRecord[]): void {
    this.#links = links;
    setBridgePorts(this.#dataPlane.programs.maps.get('bridge_ports'), links);
    if (this.#isAttached) this.#attachDevices();
  }

  #attachDevices(): XdpOutcome {
    clearTimeout(this.#retry);
    const { namedDevices } = this.#options;
    for (const problem of this.#deviceProblems.fresh(deviceProblems(namedDevices, this.#links))) {
      this.#log('warning', 'device not served', { problem });
    }
    const wanted = this.#links.filter(this.#options.isClientDevice);
    const others = this.#links.filter((link) => !wanted.includes(link));
    const { attached, forgotten, failures } = this.#attachments.setDevices(wanted, others);
    for (const { name } of attached) this.#log('info', 'device attached', { device: name });
    for (const { name } of forgotten) this.#log('info', 'device forgotten', { device: name });
    for (const { device, error } of failures) {
      this.#log('error', 'device not attached, it will be tried again', {
        device: device.name,
        reason: error.message,
      });
    }
    if (failures.length > 0) this.#retry = setTimeout(() => this.#attachDevices(), retryMs);
    const served = new Set(this.#attachments.devices.map(({ index }) => index));
    return this.#xdp.update(this.#links, served);
  }
}

const socketsStay = 'sockets of the host keep destinations that are removed';

const processTiming = {
  now: () => performance.now(),
  after: (delayMs: number, callback: () => void) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

function unreadable(manifests: string, cause: unknown): InputError {
  return new InputError(`Expected a readable folder for --manifests but received "${manifests}"`, { cause });
}

async function alreadyRunning(pinDirectory: string): Promise<EnvironmentError> {
  const pid = await daemonOf(pinDirectory);
  return new EnvironmentError(
    `Another \`bpvs run\`${pid === undefined ? '' : ` (process ${pid})`} serves ${pinDirectory}: ` +
      'end it first, or use another --pin-dir',
  );
}
