// SPDX-License-Identifier: Apache-2.0
// The daemon: manifests and the node's addresses in, virtual services in the data plane, programs at the devices.
import { Attachments, checkCgroup, type DeviceHook } from '../dataplane/bpf/attachments.ts';
import { BpfDataPlane } from '../dataplane/bpf/bpf-data-plane.ts';
import { setBridgePorts } from '../dataplane/bpf/bridge-ports.ts';
import { removeDataPlane } from '../dataplane/bpf/cleanup.ts';
import { type DeviceFilter, deviceProblems } from '../dataplane/bpf/devices.ts';
import type { BpfOptions } from '../dataplane/bpf/options.ts';
import { setPodDevices } from '../dataplane/bpf/pod-devices.ts';
import type { Network, UplinkFilter } from '../dataplane/bpf/uplinks.ts';
import { XdpAttachments } from '../dataplane/bpf/xdp-attachments.ts';
import { EnvironmentError, SystemError } from '../errors.ts';
import type { ClusterSource } from '../kube/cluster-source.ts';
import type { Address } from '../model/address.ts';
import type { SchedulerFlag, SchedulerName } from '../model/scheduler.ts';
import type { LinkRecord } from '../native/network-records.ts';
import { missingForDestroying } from '../native/socket-diagnostics.ts';
import type { SyncPeriods } from '../reconcile/sync-runner.ts';
import { type ClusterLocation, findSource, type OpenSource } from './cluster-source.ts';
import { daemonOf, lockPins } from './daemon-lock.ts';
import type { Log } from './log.ts';
import { NetworkFollower } from './network.ts';
import { OnceEach } from './once-each.ts';
import type { Remark } from './remarks.ts';
import { type PlanningSettings, ServiceSync, type SyncObserver } from './service-sync.ts';
import { Xdp, type XdpOptions, type XdpOutcome } from './xdp.ts';

export interface DaemonOptions {
  readonly cluster: ClusterLocation;
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
  readonly planning?: PlanningSettings;
  readonly observer?: SyncObserver;
  /** Called once with what follows the cluster. */
  readonly sourceOpened?: (source: Pick<ClusterSource, 'warn'>) => void;
  /** When to sync; kube-proxy's by default. */
  readonly syncPeriods?: SyncPeriods;
  readonly bpf: BpfOptions & { readonly pinDirectory: string };
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
  readonly #sync: ServiceSync;
  #source: ClusterSource | undefined;
  readonly #deviceProblems = new OnceEach();
  readonly #socketProblems = new OnceEach();
  #links: readonly LinkRecord[] = [];
  readonly #expiresSockets: boolean;
  #isAttached = false;
  #retry: NodeJS.Timeout | undefined;

  private constructor(options: DaemonOptions, log: Log, lock: Disposable) {
    this.#options = options;
    this.#log = log;
    this.#resources.use(lock);
    this.#dataPlane = this.#resources.use(BpfDataPlane.open(options.bpf));
    const { programs } = this.#dataPlane;
    this.#attachments = new Attachments(programs, options.bpf.pinDirectory, options.deviceHook);
    this.#xdp = new Xdp(options.xdp, new XdpAttachments(programs, options.bpf.pinDirectory), log);
    const { node, scheduler, schedulerFlags, planning, observer, syncPeriods = defaultPeriods } = options;
    this.#sync = this.#resources.use(
      new ServiceSync(
        this.#dataPlane,
        {
          node,
          scheduler,
          schedulerFlags,
          planning,
          observer,
          periods: syncPeriods,
          drains: !options.bpf.expiresTcpSockets,
        },
        processTiming,
        log,
        { reconciled: () => this.#expireSockets(), remarked: (remark) => this.#warn(remark) },
      ),
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
   * @param signal ends the waiting for the first objects; then this rejects with its reason
   * Throws EnvironmentError, InputError (no such folder, no such kubeconfig), LayoutError, SystemError.
   */
  static async start(options: DaemonOptions, log: Log, signal?: AbortSignal): Promise<Daemon> {
    const lock = await lockPins(options.bpf.pinDirectory);
    if (!lock) throw await alreadyRunning(options.bpf.pinDirectory);
    let daemon: Daemon;
    let openSource: OpenSource;
    try {
      openSource = await findSource(options.cluster);
      checkCgroup(options.cgroup);
      daemon = new Daemon(options, log, lock);
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
    try {
      await daemon.#start(openSource, signal);
      return daemon;
    } catch (error) {
      const { isAdopted } = daemon.#dataPlane.programs;
      await daemon.close();
      if (!isAdopted) removeDataPlane(options.bpf.pinDirectory);
      throw error;
    }
  }

  get services(): number {
    return this.#sync.services;
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

  async #start(openSource: OpenSource, signal: AbortSignal | undefined): Promise<void> {
    this.#resources.use(
      NetworkFollower.open({
        networkChanged: (network) => this.#setNetwork(network),
        linksChanged: (links) => this.#setLinks(links),
        addressesChanged: (addresses) => this.#setAddresses(addresses),
        failed: (error) => this.#log('warning', 'network events lost', { reason: error.message }),
      }),
    );
    await this.#follow(openSource, signal);
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

  /** Resolves when the first objects have been programmed. */
  async #follow(openSource: OpenSource, signal: AbortSignal | undefined): Promise<void> {
    const { promise: first, resolve, reject } = Promise.withResolvers<void>();
    first.catch(() => {}); // whoever awaits it hears of it
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
    signal?.throwIfAborted();
    const source = await openSource(this.#options.node, {
      objectsChanged: (change, unread) => {
        this.#sync.objectsChanged(change, unread);
        resolve();
      },
      problemsFound: (problems) => {
        for (const problem of problems) this.#log('warning', 'manifest problem', { problem });
      },
      endpointsTriggered: (slice, atMs) => this.#sync.latency.triggered(slice, atMs),
      connectionChanged: (kind, problem) => this.#tellConnection(kind, problem),
    });
    this.#source = this.#resources.use(source);
    this.#options.sourceOpened?.(source);
    await first;
  }

  #warn({ service, message, isConflict }: Remark): void {
    this.#source?.warn(service, isConflict ? 'AddressConflict' : 'InvalidConfiguration', message);
  }

  #tellConnection(kind: string, problem: string | undefined): void {
    if (problem === undefined) this.#log('info', 'the API server is followed again', { kind });
    else
      this.#log('warning', 'the API server cannot be followed, what is known stays', {
        kind,
        reason: problem,
      });
  }

  #setAddresses(addresses: readonly Address[]): void {
    this.#log('info', 'addresses of the node', { addresses: addresses.length });
    this.#dataPlane.setOwnAddresses(addresses);
    this.#sync.setAddresses(addresses);
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
    const { isUplink, isClientDevice, bpf } = this.#options;
    this.#dataPlane.uplinks.set(network, isUplink, isClientDevice);
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

/** kube-proxy's for IPVS, but that nothing waits: an event costs what its Service costs. */
const defaultPeriods: SyncPeriods = { minMs: 0, maxMs: 30_000 };

const socketsStay = 'sockets of the host keep destinations that are removed';

const processTiming = {
  now: () => performance.now(),
  after: (delayMs: number, callback: () => void) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

async function alreadyRunning(pinDirectory: string): Promise<EnvironmentError> {
  const pid = await daemonOf(pinDirectory);
  return new EnvironmentError(
    `Another \`bpvs run\`${pid === undefined ? '' : ` (process ${pid})`} serves ${pinDirectory}: ` +
      'end it first, or use another --pin-dir',
  );
}
