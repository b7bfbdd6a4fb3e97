// SPDX-License-Identifier: Apache-2.0
// The BPF data plane: operations in, maps out.
import { BpvsError, OperationError } from '../../errors.ts';
import type { Address } from '../../model/address.ts';
import type { Connection } from '../../model/connection.ts';
import type { Operation } from '../../model/operation.ts';
import type { VersionProfile } from '../../model/schedulers/scheduler.ts';
import type { Counted } from '../../model/statistics.ts';
import type { TimeoutChanges, Timeouts } from '../../model/timeouts.ts';
import {
  type DestinationKey,
  destinationId,
  type VirtualService,
  type VirtualServiceDefinition,
  type VirtualServiceKey,
  virtualServiceId,
} from '../../model/virtual-service.ts';
import type { DataPlane, OperationFailure, VirtualServiceStatus } from '../data-plane.ts';
import { checkDestination, checkServes } from '../refusals.ts';
import { AddressFilter } from './address-filter.ts';
import { BpfPrograms } from './bpf-programs.ts';
import { DestinationTable, type Slot } from './destination-table.ts';
import { HostedAddresses } from './hosted-addresses.ts';
import type { BpfOptions } from './options.ts';
import { SchedulerCaches } from './scheduler-caches.ts';
import { isKnownScheduler, knownSchedulers, watchesEdits } from './schedulers.ts';
import { ServiceKinds } from './service-kinds.ts';
import { type ServiceEntry, ServiceTableMap } from './service-table.ts';
import { readServiceKinds, writeSettings } from './settings.ts';
import { hostTables, SocketExpiry } from './socket-expiry.ts';
import { Uplinks } from './uplinks.ts';
import { BpfView } from './view.ts';
import type { SchedulerEvent } from './view-table.ts';

/**
 * Writes virtual services into the maps. All operations on one service that follow one another are shown to packets at once,
 * by one write of its entry.
 */
export class BpfDataPlane implements DataPlane {
  readonly programs: BpfPrograms;
  /** Its rounds are the caller's to run: after {@link apply}, and from time to time. */
  readonly socketExpiry: SocketExpiry;
  readonly #view: BpfView;
  readonly #services: ServiceTableMap;
  readonly #destinations: DestinationTable;
  readonly #hosted: HostedAddresses;
  /** Which devices lead off this node. */
  readonly uplinks: Uplinks;
  readonly #profile: VersionProfile;

  private constructor(programs: BpfPrograms, options: BpfOptions) {
    const now = () => performance.now();
    this.programs = programs;
    this.socketExpiry = new SocketExpiry(hostTables(programs, options.expiresTcpSockets ?? false));
    this.#view = new BpfView(programs.maps, (name, words) => {
      programs.run(name, words);
      return true;
    });
    const virtualFilter = new AddressFilter(programs.maps.get('virtual_addresses'));
    this.#hosted = new HostedAddresses(programs.maps.get('hosted_addresses'));
    this.uplinks = new Uplinks(programs.maps.get('uplinks'), virtualFilter);
    const caches = new SchedulerCaches(programs.maps, () => this.#view.now());
    const kinds = new ServiceKinds(readServiceKinds(programs.maps.get('settings')), (all) =>
      programs.run('set_service_kinds', [all]),
    );
    this.#services = new ServiceTableMap(programs.maps, virtualFilter, this.#hosted, kinds, caches, now);
    const zeroStatistics = (index: number) => programs.run('zero_one', [index]);
    this.#profile = options.ipvsProfile ?? 'recent';
    this.#destinations = new DestinationTable(
      programs.maps,
      !programs.isAdopted,
      virtualFilter,
      kinds,
      this.#profile,
      zeroStatistics,
      caches,
      now,
    );
    const live = this.#destinations.adopt();
    this.#services.adopt(live, this.#destinations.highestServiceId);
    this.#removeLeftovers(live);
    kinds.forgetInherited();
    for (const entry of this.#services.entries()) this.#refresh(entry);
    if (programs.isAdopted) this.#markOrphans(); // an earlier process may have ended before it did
  }

  /** Loads the programs and takes over the virtual services that are pinned. Throws as BpfPrograms.load. */
  static open(options: BpfOptions): BpfDataPlane {
    return BpfDataPlane.over(BpfPrograms.load(options), options);
  }

  /** The same over programs that are loaded already; closing it closes them. */
  static over(programs: BpfPrograms, options: BpfOptions): BpfDataPlane {
    try {
      writeSettings(programs, options);
      if (!options.hasVirtualClock) programs.run('start_sweep');
      return new BpfDataPlane(programs, options);
    } catch (error) {
      programs.close();
      throw error;
    }
  }

  get connectionTableSize(): number {
    return this.#view.connectionTableSize;
  }

  get view(): BpfView {
    return this.#view;
  }

  services(): readonly VirtualServiceStatus[] {
    return this.#view.services();
  }

  configuration(): readonly VirtualService[] {
    return Array.from(this.#services.entries(), configurationOf);
  }

  configurationOf(service: VirtualServiceKey): VirtualService | undefined {
    const entry = this.#services.get(service);
    return entry && configurationOf(entry);
  }

  connectionCount(service: VirtualServiceKey, destination: DestinationKey): number {
    const entry = this.#services.get(service);
    const slot = entry && find(entry, destination);
    return slot ? this.#destinations.connections(slot) : 0;
  }

  connections(): Iterable<Connection> {
    return this.#view.connections();
  }

  totals(): Counted {
    return this.#view.totals();
  }

  zeroStatistics(service?: VirtualServiceKey): void {
    this.#view.zeroStatistics(service);
  }

  timeouts(): Timeouts {
    return this.#view.timeouts();
  }

  setTimeouts(changes: TimeoutChanges): void {
    this.#view.setTimeouts(changes);
  }

  apply(operations: readonly Operation[]): readonly OperationFailure[] {
    const failures = groups(operations).flatMap((group) => this.#applyGroup(group));
    if (this.#destinations.takeNewOrphans()) this.#markOrphans();
    this.#hosted.update();
    return failures;
  }

  /** The node's own addresses: what no service takes there is the stack's to answer, not ours. Throws SystemError. */
  setOwnAddresses(addresses: readonly Address[]): void {
    this.#hosted.setOwn(addresses);
    this.#hosted.update();
  }

  close(): void {
    this.programs.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** An earlier process may have ended after it deleted a service, and before it removed its destinations. */
  #removeLeftovers(live: ReadonlyMap<number, readonly Slot[]>): void {
    const served = new Set(Array.from(this.#services.entries(), ({ id }) => id));
    for (const [id, slots] of live)
      if (!served.has(id)) for (const slot of slots) this.#destinations.remove(slot);
  }

  #markOrphans(): void {
    this.programs.run('mark_orphans');
    this.socketExpiry.destinationsRemoved();
  }

  /** Where there is no room for it, the table that is there goes on: all that it holds is right. */
  #refresh(entry: ServiceEntry): void {
    try {
      this.#services.refresh(entry);
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
    }
  }

  /** When a table has no room for all of a group, each operation is tried alone, so that only those fail that do not fit. */
  #applyGroup(group: readonly Operation[]): readonly OperationFailure[] {
    const failures: OperationFailure[] = [];
    const undo: (() => void)[] = [];
    let changed: ServiceEntry | undefined;
    for (const operation of group) {
      attempt(failures, operation, () => {
        changed = this.#carryOut(operation, undo) ?? changed;
      });
    }
    try {
      if (changed) this.#services.write(changed);
      return failures;
    } catch (error) {
      for (const step of undo.reverse()) step();
      if (!(error instanceof BpvsError)) throw error;
      if (group.length > 1) return group.flatMap((operation) => this.#applyGroup([operation]));
      return group.map((operation) => ({ operation, error }));
    }
  }

  /**
   * @param undo takes what brings back the state before, should the entry not be written
   * @returns the service if its entry has to be written
   */
  #carryOut(operation: Operation, undo: (() => void)[]): ServiceEntry | undefined {
    switch (operation.do) {
      case 'add-service': {
        if (this.#services.get(operation.service))
          throw refusal('EEXIST', 'Service already exists', operation.service);
        checkScheduler(operation.service);
        const entry = this.#services.add(operation.service);
        undo.push(() => this.#services.delete(entry));
        return entry;
      }
      case 'edit-service': {
        const entry = this.#service(operation.service, 'No such service');
        checkScheduler(operation.service, entry.slots.length);
        undo.push(keep(entry));
        if (entry.definition.scheduler !== operation.service.scheduler) tell(entry, 'bound');
        else if (!entry.definition.outside !== !operation.service.outside) tell(entry, 'changed');
        entry.definition = operation.service;
        return entry;
      }
      case 'delete-service': {
        const entry = this.#service(operation.service, 'No such service');
        this.#services.delete(entry);
        for (const slot of entry.slots) this.#destinations.remove(slot);
        return undefined;
      }
      case 'add-destination': {
        const entry = this.#service(operation.service, 'Service not defined');
        checkDestination(operation.destination, this.#profile);
        if (find(entry, operation.destination))
          throw refusal('EEXIST', 'Destination already exists', operation.service);
        checkScheduler(entry.definition, entry.slots.length + 1);
        const { slot, takeBack } = this.#destinations.add(entry.definition, entry.id, operation.destination);
        undo.push(takeBack, keep(entry));
        entry.slots = [slot, ...entry.slots];
        tell(entry, 'changed');
        return entry;
      }
      case 'edit-destination': {
        const entry = this.#service(operation.service, 'Service not defined');
        checkDestination(operation.destination, this.#profile);
        const slot = this.#slot(entry, operation.destination);
        const { slot: edited, takeBack } = this.#destinations.edit(slot, operation.destination);
        undo.push(takeBack, keep(entry));
        entry.slots = entry.slots.map((other) => (other === slot ? edited : other));
        const isForOthers = slot.destination.clients !== operation.destination.clients;
        if (!watchesEdits(entry.definition.scheduler) && !isForOthers) return undefined;
        tell(entry, 'changed');
        return entry;
      }
      case 'delete-destination': {
        const entry = this.#service(operation.service, 'Service not defined');
        const slot = this.#slot(entry, operation.destination);
        const restore = keep(entry);
        entry.slots = entry.slots.filter((other) => other !== slot);
        tell(entry, 'changed');
        try {
          this.#services.write(entry);
        } catch (error) {
          restore();
          throw error;
        }
        this.#destinations.remove(slot);
        return undefined;
      }
    }
  }

  #service(key: VirtualServiceKey, message: string): ServiceEntry {
    const entry = this.#services.get(key);
    if (!entry) throw refusal('ESRCH', message, key);
    return entry;
  }

  #slot(entry: ServiceEntry, key: DestinationKey): Slot {
    const slot = find(entry, key);
    if (!slot) throw refusal('ENOENT', `No such destination ${destinationId(key)}`, entry.definition);
    return slot;
  }
}

function configurationOf({ definition, slots }: ServiceEntry): VirtualService {
  return { ...definition, destinations: slots.map((slot) => slot.destination).reverse() };
}

/** Operations on one service that follow one another, for one write; a removal by itself, as it ends what others refer to. */
function groups(operations: readonly Operation[]): Operation[][] {
  const all: Operation[][] = [];
  let id: string | undefined;
  for (const operation of operations) {
    const isRemoval = operation.do === 'delete-service' || operation.do === 'delete-destination';
    const next = isRemoval ? undefined : virtualServiceId(operation.service);
    if (next !== undefined && next === id) all.at(-1)?.push(operation);
    else all.push([operation]);
    id = next;
  }
  return all;
}

/** What brings back what this process knows of a service. */
function keep(entry: ServiceEntry): () => void {
  const { definition, slots, events } = entry;
  return () => {
    Object.assign(entry, { definition, slots, events });
  };
}

/** A scheduler that was just given to the service knows nothing of what was before. */
function tell(entry: ServiceEntry, kind: SchedulerEvent['kind']): void {
  const event = { kind, list: entry.slots };
  entry.events = kind === 'bound' ? [event] : [...entry.events, event];
}

function find(entry: ServiceEntry, { address, port }: DestinationKey): Slot | undefined {
  return entry.slots.find(({ destination }) => destination.port === port && destination.address === address);
}

/** Failures of one operation are its own; anything that is not ours to foresee goes up. */
function attempt(failures: OperationFailure[], operation: Operation, action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof BpvsError)) throw error;
    failures.push({ operation, error });
  }
}

/** ip_vs_ctl.c's errno, and ipvsadm's words for it. */
function refusal(code: string, message: string, service: VirtualServiceKey): OperationError {
  return new OperationError(code, `${message}: ${virtualServiceId(service)}`);
}

/** @param destinations that the service has */
function checkScheduler(service: VirtualServiceDefinition, destinations = 0): void {
  const { scheduler } = service;
  if (!isKnownScheduler(scheduler)) {
    const known = knownSchedulers.join(', ');
    throw refusal('ENOENT', `Scheduler ${scheduler} not found, this data plane has ${known}`, service);
  }
  checkServes(scheduler, destinations, service);
}
