// SPDX-License-Identifier: Apache-2.0
// The plans of all Services of a cluster, kept up change by change: an event costs what the Services cost that it is about.
import type { ClusterChange, EndpointSliceObject, ServiceObject } from '../model/cluster.ts';
import { type AddressService, type AddressServiceKey, virtualServiceId } from '../model/virtual-service.ts';
import { bySeniority } from './conflicts.ts';
import type { Conflict, HealthCheck, ServiceId, Warning } from './desired-state.ts';
import { type PlanContext, planService, type ServicePlan } from './plan.ts';
import { isUsable } from './served.ts';

/** What a change makes different. */
export interface PlanChange {
  /** Virtual services that may be new or different. */
  readonly changed: readonly AddressService[];
  readonly gone: readonly AddressServiceKey[];
}

/** Gives what `plan` gives of the same objects, whatever the changes were that led to them. */
export class Planner {
  #context: PlanContext;
  readonly #services = new Map<ServiceId, ServiceObject>();
  readonly #slices = new Map<string, EndpointSliceObject>();
  readonly #slicesOf = new Map<ServiceId, Map<string, EndpointSliceObject>>();
  readonly #plans = new Map<ServiceId, ServicePlan>();
  /** By virtual service those Services that want it, the senior one first; of nearly all there is one. */
  readonly #claims = new Map<string, ServiceId | readonly ServiceId[]>();
  readonly #contested = new Set<string>();
  /** Services with warnings or health checks, which few have. */
  readonly #notable = new Set<ServiceId>();

  constructor(context: PlanContext) {
    this.#context = context;
  }

  /** Plans anew what the objects have to do with. */
  update({ services, slices }: Pick<ClusterChange, 'services' | 'slices'>): PlanChange {
    const affected = new Set<ServiceId>(services.keys());
    for (const [id, service] of services) {
      if (service) this.#services.set(id, service);
      else this.#services.delete(id);
    }
    for (const [key, slice] of slices) this.#setSlice(key, slice, affected);
    return this.#replan(affected);
  }

  /** Plans everything anew for another node or configuration. */
  setContext(context: PlanContext): PlanChange {
    this.#context = context;
    return this.#replan(this.#services.keys());
  }

  /** All virtual services; no two have the same identity. */
  services(): readonly AddressService[] {
    return Array.from(this.#claims.keys(), (id) => this.#winning(id)).filter((each) => each !== undefined);
  }

  get conflicts(): readonly Conflict[] {
    return [...this.#contested].flatMap((id) => {
      const [winner = '', ...losers] = this.#claimants(id);
      const service = this.#winning(id);
      if (!service) return [];
      const { protocol, address, port } = service;
      return losers.map((loser) => ({ virtualService: { protocol, address, port }, winner, loser }));
    });
  }

  get warnings(): readonly Warning[] {
    return [...this.#notable].flatMap((id) => this.#plans.get(id)?.warnings ?? []);
  }

  get healthChecks(): readonly HealthCheck[] {
    return [...this.#notable].flatMap((id) => this.#plans.get(id)?.healthChecks ?? []);
  }

  #setSlice(key: string, slice: EndpointSliceObject | undefined, affected: Set<ServiceId>): void {
    const former = this.#slices.get(key);
    if (former) {
      const id = serviceOf(former);
      affected.add(id);
      this.#slices.delete(key);
      const slices = this.#slicesOf.get(id);
      slices?.delete(key);
      if (slices?.size === 0) this.#slicesOf.delete(id);
    }
    if (!slice || !isUsable(slice)) return;
    const id = serviceOf(slice);
    affected.add(id);
    this.#slices.set(key, slice);
    const slices = this.#slicesOf.get(id) ?? new Map<string, EndpointSliceObject>();
    slices.set(key, slice);
    this.#slicesOf.set(id, slices);
  }

  #replan(affected: Iterable<ServiceId>): PlanChange {
    const touched = new Map<string, AddressServiceKey>();
    for (const id of affected) this.#replanService(id, touched);
    const changed: AddressService[] = [];
    const gone: AddressServiceKey[] = [];
    for (const [id, key] of touched) {
      const service = this.#winning(id);
      if (service) changed.push(service);
      else gone.push(key);
    }
    return { changed, gone };
  }

  #replanService(id: ServiceId, touched: Map<string, AddressServiceKey>): void {
    const service = this.#services.get(id);
    const former = this.#plans.get(id);
    const plan =
      service && planService(service, [...(this.#slicesOf.get(id)?.values() ?? [])], this.#context);
    if (plan) this.#plans.set(id, plan);
    else this.#plans.delete(id);
    if (plan && plan.warnings.length + plan.healthChecks.length > 0) this.#notable.add(id);
    else this.#notable.delete(id);
    const wanted = new Set<string>();
    for (const each of plan?.virtualServices ?? []) {
      const key = virtualServiceId(each);
      wanted.add(key);
      touched.set(key, each);
      this.#claim(key, id, true);
    }
    for (const each of former?.virtualServices ?? []) {
      const key = virtualServiceId(each);
      if (wanted.has(key)) continue;
      touched.set(key, each);
      this.#claim(key, id, false);
    }
  }

  /** Also puts a Service in its place whose time of creation is another one now. */
  #claim(key: string, id: ServiceId, isWanted: boolean): void {
    const others = this.#claimants(key).filter((each) => each !== id);
    const all = isWanted ? [...others, id] : others;
    const [only] = all;
    if (only === undefined) this.#claims.delete(key);
    else if (all.length === 1) this.#claims.set(key, only);
    else
      this.#claims.set(
        key,
        all.sort((a, b) => this.#compare(a, b)),
      );
    if (all.length > 1) this.#contested.add(key);
    else this.#contested.delete(key);
  }

  #compare(a: ServiceId, b: ServiceId): number {
    const [one, two] = [this.#services.get(a), this.#services.get(b)];
    return one && two ? bySeniority(one, two) : 0;
  }

  #claimants(key: string): readonly ServiceId[] {
    const claimants = this.#claims.get(key) ?? [];
    return typeof claimants === 'string' ? [claimants] : claimants;
  }

  #winning(key: string): AddressService | undefined {
    const [winner = ''] = this.#claimants(key);
    return this.#plans.get(winner)?.virtualServices.find((each) => virtualServiceId(each) === key);
  }
}

function serviceOf({ namespace, serviceName }: EndpointSliceObject): ServiceId {
  return `${namespace}/${serviceName}`;
}
