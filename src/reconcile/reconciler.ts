// SPDX-License-Identifier: Apache-2.0
// Keeps a data plane at what is desired: compares, applies, and tries again what failed.
import type { DataPlane, OperationFailure } from '../dataplane/data-plane.ts';
import type { Operation } from '../model/operation.ts';
import {
  type VirtualService,
  type VirtualServiceKey,
  virtualServiceId,
  virtualServiceKey,
} from '../model/virtual-service.ts';
import { diff } from './diff.ts';
import { type Draining, withDraining } from './draining.ts';

/** How one comparison with the actual state ended. */
export interface Reconciliation {
  readonly services: number;
  readonly operations: number;
  /** Virtual services that are kept until what is desired is completely known. */
  readonly withheld: number;
  /** Destinations with weight 0 that go when their connections have ended. */
  readonly draining: number;
  /** All that is not as desired, and is tried again. */
  readonly failures: readonly OperationFailure[];
  readonly durationMs: number;
}

export interface ReconcilerOptions {
  /** TCP destinations that are not desired any more stay until their connections have ended; they go at once by default. */
  readonly drains: boolean;
}

/** Clock and timer of the process; tests bring their own. */
export interface Timing {
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  /** Calls back once after this time, unless the returned function is called first. */
  after(delayMs: number, callback: () => void): () => void;
}

const firstRetryMs = 1000;
const lastRetryMs = 30_000;

/** How soon a destination goes after its last connection has; a look costs a few look-ups for each that drains. */
const drainLookMs = 1000;

export class Reconciler implements Disposable {
  readonly #dataPlane: DataPlane;
  readonly #timing: Timing;
  readonly #report: (reconciliation: Reconciliation) => void;
  #desired: Map<string, VirtualService> | undefined;
  #failures: readonly OperationFailure[] = [];
  /** Of removals of what has drained, which the next look tries again. */
  #drainFailures: readonly OperationFailure[] = [];
  #isComplete = true;
  /** While not all that is desired is known: what was desired at any time, and so was not only unknown when it ceased to be. */
  readonly #everDesired = new Set<string>();
  /** Those of them that had a destination. */
  readonly #everServed = new Set<string>();
  readonly #drains: boolean;
  #draining: readonly Draining[] = [];
  #cancelLook: () => void = () => {};
  #cancelRetry: () => void = () => {};
  #retryMs = firstRetryMs;

  constructor(
    dataPlane: DataPlane,
    timing: Timing,
    report: (reconciliation: Reconciliation) => void,
    { drains }: ReconcilerOptions = { drains: false },
  ) {
    this.#drains = drains;
    this.#dataPlane = dataPlane;
    this.#timing = timing;
    this.#report = report;
  }

  /**
   * Makes the data plane what is desired, at once. Operations that fail are tried again until the next call.
   * @param isComplete whether all that is desired is known; if not, a virtual service that was never desired stays
   */
  want(desired: readonly VirtualService[], isComplete = true): void {
    if (isComplete) {
      this.#everDesired.clear();
      this.#everServed.clear();
    } else this.#remember([...(this.#desired?.values() ?? []), ...desired]);
    this.#desired = new Map(desired.map((service) => [virtualServiceId(service), service]));
    this.#isComplete = isComplete;
    this.#retryMs = firstRetryMs;
    this.#reconcile();
  }

  /**
   * Makes what is desired different for these virtual services, at once. Nothing else is looked at, so that the cost is that of
   * the change, unless something is to be tried again anyway. What is desired has to be known completely.
   */
  change(changed: readonly VirtualService[], gone: readonly VirtualServiceKey[]): void {
    const desired = this.#desired;
    if (!desired) return;
    for (const service of changed) desired.set(virtualServiceId(service), service);
    for (const service of gone) desired.delete(virtualServiceId(service));
    this.#retryMs = firstRetryMs;
    if (this.#failures.length > 0) {
      this.#reconcile();
      return;
    }
    const actual = [...changed, ...gone].flatMap((each) => this.#dataPlane.configurationOf(each) ?? []);
    const touched = new Set([...changed, ...gone].map(virtualServiceId));
    this.#make(changed, actual, (service) => touched.has(virtualServiceId(service)));
  }

  /** Compares everything, for what others may have changed. */
  check(): void {
    this.#reconcile();
  }

  /** Tries nothing again any more. */
  close(): void {
    this.#cancelRetry();
    this.#cancelLook();
    this.#desired = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #reconcile(): void {
    if (this.#desired) this.#make([...this.#desired.values()], this.#dataPlane.configuration(), () => true);
  }

  /** @param isTouched which virtual services these lists are about: all of them */
  #make(
    desired: readonly VirtualService[],
    actual: readonly VirtualService[],
    isTouched: (service: VirtualServiceKey) => boolean,
  ): void {
    this.#cancelRetry();
    const start = this.#timing.now();
    const { services, draining } = this.#withDraining(desired, actual);
    const all = diff(services, actual);
    const operations = this.#isComplete ? all : all.filter((operation) => !this.#mayBeUnknown(operation));
    this.#failures = this.#dataPlane.apply(operations);
    if (this.#failures.length > 0) {
      if (this.#failures.length < operations.length) this.#retryMs = firstRetryMs; // what had no room may have it now
      this.#cancelRetry = this.#timing.after(this.#retryMs, () => this.#reconcile());
      this.#retryMs = Math.min(2 * this.#retryMs, lastRetryMs);
    }
    this.#drainFailures = this.#drainFailures.filter(({ operation }) => !isTouched(operation.service));
    this.#keepLooking([...this.#draining.filter(({ service }) => !isTouched(service)), ...draining]);
    this.#report({
      services: this.#desired?.size ?? 0,
      operations: operations.length,
      withheld: all.length - operations.length,
      draining: this.#draining.length,
      failures: [...this.#failures, ...this.#drainFailures],
      durationMs: this.#timing.now() - start,
    });
  }

  /** What may be wanted by a manifest that has not been read does not drain either. */
  #withDraining(desired: readonly VirtualService[], actual: readonly VirtualService[]) {
    if (!this.#drains) return { services: desired, draining: [] };
    return withDraining(
      desired,
      actual,
      (service, destination) => this.#dataPlane.connectionCount(service, destination),
      (service) => this.#isComplete || this.#everServed.has(virtualServiceId(service)),
    );
  }

  #keepLooking(draining: readonly Draining[]): void {
    this.#cancelLook();
    this.#draining = draining;
    if (draining.length > 0) this.#cancelLook = this.#timing.after(drainLookMs, () => this.#endDrained());
  }

  /** Only what drains is looked at, whatever the size of the cluster. */
  #endDrained(): void {
    const start = this.#timing.now();
    const isIdle = ({ service, destination }: Draining) =>
      this.#dataPlane.connectionCount(service, destination) === 0;
    const idle = this.#draining.filter(isIdle);
    const operations = idle.map(
      ({ service, destination }): Operation => ({
        do: 'delete-destination',
        service: virtualServiceKey(service),
        destination: { address: destination.address, port: destination.port },
      }),
    );
    this.#drainFailures = operations.length > 0 ? this.#dataPlane.apply(operations) : [];
    const failed = new Set(this.#drainFailures.map(({ operation }) => operation));
    const isLeft = (each: Draining) => {
      const place = idle.indexOf(each);
      return place === -1 || failed.has(operations[place] as Operation);
    };
    this.#keepLooking(this.#draining.filter(isLeft));
    if (operations.length === 0) return;
    this.#report({
      services: this.#desired?.size ?? 0,
      operations: operations.length,
      withheld: 0,
      draining: this.#draining.length,
      failures: [...this.#failures, ...this.#drainFailures],
      durationMs: this.#timing.now() - start,
    });
  }

  #remember(desired: readonly VirtualService[]): void {
    for (const service of desired) {
      this.#everDesired.add(virtualServiceId(service));
      if (service.destinations.length > 0) this.#everServed.add(virtualServiceId(service));
    }
  }

  /** A service that nobody named yet may be in what is unread; so may all destinations of one that never had any here. */
  #mayBeUnknown(operation: Operation): boolean {
    const id = virtualServiceId(operation.service);
    if (operation.do === 'delete-service') return !this.#everDesired.has(id);
    return operation.do === 'delete-destination' && !this.#everServed.has(id);
  }
}
