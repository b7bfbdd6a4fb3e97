// SPDX-License-Identifier: Apache-2.0
// From the cluster's objects and the node's addresses to the data plane: plans what has changed, and has it programmed.
import { type AgentSettings, nodePortCidrs } from '../config/agent-settings.ts';
import { knownSchedulers } from '../dataplane/bpf/schedulers.ts';
import type { DataPlane } from '../dataplane/data-plane.ts';
import { OperationError } from '../errors.ts';
import { emptyChange, type MutableClusterChange } from '../kube/cluster-source.ts';
import type { Address } from '../model/address.ts';
import type { Cidr } from '../model/cidr.ts';
import type { ClusterChange, NodeObject } from '../model/cluster.ts';
import type { SchedulerFlag, SchedulerName } from '../model/scheduler.ts';
import { virtualServiceId } from '../model/virtual-service.ts';
import type { DesiredState } from '../plan/desired-state.ts';
import { nodeView } from '../plan/node-view.ts';
import { type PlanContext, planContext } from '../plan/plan.ts';
import { type PlanChange, Planner } from '../plan/planner.ts';
import { Reconciler, type Reconciliation, type Timing } from '../reconcile/reconciler.ts';
import { type SyncPeriods, SyncRunner } from '../reconcile/sync-runner.ts';
import type { Log } from './log.ts';
import { OnceEach } from './once-each.ts';
import { ProgrammingLatency } from './programming-latency.ts';
import { describeOperation, formatRemark, type Remark, remarks } from './remarks.ts';

/** What of a kube-proxy's configuration decides about Services. */
export type PlanningSettings = Pick<AgentSettings, 'nodePortAddresses' | 'allowsExternalIps'>;

/** Whoever tells others how the daemon is. */
export interface SyncObserver {
  /** Something is different, and will be planned and programmed. */
  queued(): void;
  /** What was planned is programmed; `isComplete`: all of it that is not refused. */
  synced(isComplete: boolean): void;
  /** @param node undefined: there is no Node of this name */
  planned(
    desired: Pick<DesiredState, 'healthChecks'>,
    node: NodeObject | undefined,
    nodePorts: NodePortRange,
  ): void;
}

/** Where node ports may answer. */
export interface NodePortRange {
  /** Empty: everywhere. */
  readonly cidrs: readonly Cidr[];
  /** All that the node's devices hold. */
  readonly addresses: readonly Address[];
}

export interface ServiceSyncOptions {
  readonly node: string;
  readonly scheduler: SchedulerName;
  readonly schedulerFlags?: readonly SchedulerFlag[] | undefined;
  /** kube-proxy's defaults if not given. */
  readonly planning?: PlanningSettings | undefined;
  readonly observer?: SyncObserver | undefined;
  readonly periods: SyncPeriods;
  /** TCP destinations that go stay until their connections have ended. */
  readonly drains: boolean;
}

export interface ServiceSyncListener {
  /** After each reconciliation. */
  reconciled(): void;
  /** What the author of a Service would want to know of, once. */
  remarked(remark: Remark): void;
}

/** Nothing is programmed before the first objects have been told. */
export class ServiceSync implements Disposable {
  readonly latency = new ProgrammingLatency();
  readonly #options: ServiceSyncOptions;
  readonly #log: Log;
  readonly #listener: ServiceSyncListener;
  readonly #reconciler: Reconciler;
  readonly #runner: SyncRunner;
  readonly #planner: Planner;
  readonly #remarks = new OnceEach();
  readonly #failures = new OnceEach();
  readonly #withheld = new OnceEach();
  #change: MutableClusterChange = emptyChange();
  #unread: readonly string[] = [];
  #node: NodeObject | undefined;
  #addresses: readonly Address[] = [];
  #hasObjects = false;
  #isNodeNew = true;
  /** Something is different that has not been planned yet. */
  #isQueued = false;
  /** What is desired was known completely at the last sync. */
  #wasComplete = false;
  #isRegular = false;
  #services = 0;

  constructor(
    dataPlane: DataPlane,
    options: ServiceSyncOptions,
    timing: Timing,
    log: Log,
    listener: ServiceSyncListener,
  ) {
    this.#options = options;
    this.#log = log;
    this.#listener = listener;
    this.#planner = new Planner(this.#context());
    this.#reconciler = new Reconciler(dataPlane, timing, (outcome) => this.#reconciled(outcome), {
      drains: options.drains,
    });
    this.#runner = new SyncRunner((isRequested) => this.#sync(isRequested), options.periods, timing);
  }

  /** Virtual services that are desired. */
  get services(): number {
    return this.#services;
  }

  /** As `ClusterListener` has it. */
  objectsChanged({ services, slices, nodes }: ClusterChange, unread: readonly string[]): void {
    for (const [id, object] of services) this.#change.services.set(id, object);
    for (const [id, object] of slices) this.#change.slices.set(id, object);
    // A Node that is deleted is remembered: what it said of this machine stays true.
    const node = nodes.get(this.#options.node);
    if (node) this.#setNode(node);
    this.#unread = unread;
    this.#hasObjects = true;
    this.#request();
  }

  /** What the node's devices hold. */
  setAddresses(addresses: readonly Address[]): void {
    this.#addresses = addresses;
    this.#isNodeNew = true;
    this.#request();
  }

  /** Before there are objects it would only make the first sync wait for its minimum period. */
  #request(): void {
    if (!this.#hasObjects) return;
    this.#isQueued = true;
    this.#options.observer?.queued();
    this.#runner.request();
  }

  close(): void {
    this.#runner.close();
    this.#reconciler.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #setNode(node: NodeObject): void {
    const former = JSON.stringify(this.#context());
    this.#node = node;
    this.#isNodeNew ||= JSON.stringify(this.#context()) !== former;
  }

  #context(): PlanContext {
    const { node, scheduler, schedulerFlags, planning } = this.#options;
    return planContext(nodeView(node, this.#addresses, this.#node), {
      families: [4, 6],
      scheduler,
      schedulerFlags,
      schedulers: knownSchedulers,
      allowsExternalIps: planning?.allowsExternalIps,
      nodePortAddresses: this.#nodePortCidrs(),
    });
  }

  #nodePortCidrs(): readonly Cidr[] {
    return nodePortCidrs(this.#options.planning?.nodePortAddresses ?? [], this.#node?.addresses ?? []);
  }

  #sync(isRequested: boolean): void {
    if (!this.#hasObjects) return;
    this.#isRegular = !isRequested;
    if (!isRequested) {
      this.#reconciler.check();
      return;
    }
    this.#isQueued = false;
    const change = this.#plan();
    this.#options.observer?.planned(this.#planner, this.#node, {
      cidrs: this.#nodePortCidrs(),
      addresses: this.#addresses,
    });
    this.#remark();
    const isComplete = this.#unread.length === 0;
    if (this.#wasComplete && isComplete) this.#reconciler.change(change.changed, change.gone);
    else this.#reconciler.want(this.#planner.services(), isComplete);
    this.#wasComplete = isComplete;
  }

  #plan(): PlanChange {
    const pending = this.#change;
    this.#change = emptyChange();
    const change = this.#planner.update(pending);
    if (!this.#isNodeNew) return change;
    this.#isNodeNew = false;
    return joined(change, this.#planner.setContext(this.#context()));
  }

  #remark(): void {
    const all = new Map(remarks(this.#planner).map((remark) => [formatRemark(remark), remark]));
    for (const line of this.#remarks.fresh([...all.keys()])) {
      this.#log('warning', 'service problem', { problem: line });
      const remark = all.get(line);
      if (remark) this.#listener.remarked(remark);
    }
  }

  #reconciled({ services, operations, withheld, draining, failures, durationMs }: Reconciliation): void {
    this.#services = services;
    // A Service that is refused is refused on every node: it must not make all of them unhealthy.
    const isComplete = failures.every(({ error }) => error instanceof OperationError);
    if (!this.#isQueued) this.#options.observer?.synced(isComplete);
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
    const took = failures.length === 0 && !this.#isQueued ? this.latency.programmed() : [];
    const isNews = !this.#isRegular || operations > 0;
    if (isNews) {
      this.#log('info', 'reconciled', {
        services,
        operations,
        failures: failures.length,
        ...(withheld > 0 && { withheld }),
        ...(draining > 0 && { draining }),
        ms: Math.round(durationMs),
        ...(took.length > 0 && { latencyMs: Math.max(...took) }),
      });
    }
    this.#isRegular = false;
    this.#listener.reconciled();
  }
}

/** One after the other as one change. */
function joined(first: PlanChange, second: PlanChange): PlanChange {
  const changed = new Map(first.changed.map((each) => [virtualServiceId(each), each]));
  const gone = new Map(first.gone.map((each) => [virtualServiceId(each), each]));
  for (const each of second.changed) {
    changed.set(virtualServiceId(each), each);
    gone.delete(virtualServiceId(each));
  }
  for (const each of second.gone) {
    gone.set(virtualServiceId(each), each);
    changed.delete(virtualServiceId(each));
  }
  return { changed: [...changed.values()], gone: [...gone.values()] };
}
