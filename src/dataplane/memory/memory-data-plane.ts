// SPDX-License-Identifier: Apache-2.0
// A data plane that only remembers, with the kernel's answers to operations: for tests of what stands above it.
import { OperationError } from '../../errors.ts';
import type { Connection } from '../../model/connection.ts';
import type { Operation } from '../../model/operation.ts';
import { type Counted, noRates, noStatistics } from '../../model/statistics.ts';
import type { TimeoutChanges, Timeouts } from '../../model/timeouts.ts';
import {
  type Destination,
  type DestinationKey,
  destinationId,
  type VirtualService,
  type VirtualServiceDefinition,
  type VirtualServiceKey,
  virtualServiceId,
} from '../../model/virtual-service.ts';
import type { DataPlane, OperationFailure, VirtualServiceStatus } from '../data-plane.ts';
import { checkDestination, checkServes } from '../refusals.ts';

interface Entry {
  definition: VirtualServiceDefinition;
  /** By identity, in the order of their adding. */
  readonly destinations: Map<string, Destination>;
}

const nothing: Counted = { statistics: noStatistics, rates: noRates };

/** It counts nothing, and has those numbers of connections that a test says. */
export class MemoryDataPlane implements DataPlane {
  readonly connectionTableSize = 0;
  /** How many virtual services fit; more are refused with ENOSPC. May be changed at any time. */
  maxServices: number;
  /** ip_vs_proto_tcp.c, ip_vs_proto_udp.c */
  #timeouts: Timeouts = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 };
  /** Of a destination that is there. May be changed at any time. */
  countConnections: (service: VirtualServiceKey, destination: DestinationKey) => number = () => 0;
  readonly #entries = new Map<string, Entry>();

  constructor(maxServices = Number.POSITIVE_INFINITY) {
    this.maxServices = maxServices;
  }

  services(): readonly VirtualServiceStatus[] {
    return [...this.#entries.values()].map(({ definition, destinations }) => ({
      ...definition,
      ...nothing,
      destinations: [...destinations.values()].map((destination) => ({
        ...destination,
        ...nothing,
        activeConnections: 0,
        inactiveConnections: 0,
        persistentConnections: 0,
      })),
    }));
  }

  configuration(): readonly VirtualService[] {
    return [...this.#entries.values()].map(({ definition, destinations }) => ({
      ...definition,
      destinations: [...destinations.values()],
    }));
  }

  configurationOf(service: VirtualServiceKey): VirtualService | undefined {
    const entry = this.#entries.get(virtualServiceId(service));
    return entry && { ...entry.definition, destinations: [...entry.destinations.values()] };
  }

  connectionCount(service: VirtualServiceKey, destination: DestinationKey): number {
    const isPresent = this.#entries
      .get(virtualServiceId(service))
      ?.destinations.has(destinationId(destination));
    return isPresent ? this.countConnections(service, destination) : 0;
  }

  connections(): readonly Connection[] {
    return [];
  }

  totals(): Counted {
    return nothing;
  }

  zeroStatistics(service?: VirtualServiceKey): void {
    if (service) this.#entry(service, 'No such service');
  }

  timeouts(): Timeouts {
    return this.#timeouts;
  }

  setTimeouts(changes: TimeoutChanges): void {
    const given = Object.entries(changes).filter(([, seconds]) => (seconds ?? 0) > 0);
    this.#timeouts = { ...this.#timeouts, ...Object.fromEntries(given) };
  }

  apply(operations: readonly Operation[]): readonly OperationFailure[] {
    return operations.flatMap((operation) => {
      try {
        this.#carryOut(operation);
        return [];
      } catch (error) {
        if (!(error instanceof OperationError)) throw error;
        return [{ operation, error }];
      }
    });
  }

  close(): void {}

  [Symbol.dispose](): void {
    this.close();
  }

  #carryOut(operation: Operation): void {
    const id = virtualServiceId(operation.service);
    switch (operation.do) {
      case 'add-service':
        if (this.#entries.has(id)) throw new OperationError('EEXIST', `Service already exists: ${id}`);
        if (this.#entries.size >= this.maxServices) throw new OperationError('ENOSPC', `No room for ${id}`);
        this.#entries.set(id, { definition: operation.service, destinations: new Map() });
        return;
      case 'edit-service':
        this.#editService(operation.service);
        return;
      case 'delete-service':
        this.#entry(operation.service, 'No such service');
        this.#entries.delete(id);
        return;
      case 'add-destination': {
        const { definition, destinations } = this.#entry(operation.service, 'Service not defined');
        checkDestination(operation.destination);
        const destination = destinationId(operation.destination);
        if (destinations.has(destination)) {
          throw new OperationError('EEXIST', `Destination already exists: ${id} ${destination}`);
        }
        checkServes(definition.scheduler, destinations.size + 1, definition);
        destinations.set(destination, operation.destination);
        return;
      }
      case 'edit-destination':
        this.#entry(operation.service, 'Service not defined');
        checkDestination(operation.destination);
        this.#destinations(operation).set(destinationId(operation.destination), operation.destination);
        return;
      case 'delete-destination':
        this.#destinations(operation).delete(destinationId(operation.destination));
        return;
    }
  }

  #editService(definition: VirtualServiceDefinition): void {
    const entry = this.#entry(definition, 'No such service');
    checkServes(definition.scheduler, entry.destinations.size, definition);
    entry.definition = definition;
  }

  #entry(key: VirtualServiceKey, message: string): Entry {
    const entry = this.#entries.get(virtualServiceId(key));
    if (!entry) throw new OperationError('ESRCH', `${message}: ${virtualServiceId(key)}`);
    return entry;
  }

  /** The service's destinations, of which the named one is one. */
  #destinations(operation: {
    service: VirtualServiceKey;
    destination: DestinationKey;
  }): Map<string, Destination> {
    const { destinations } = this.#entry(operation.service, 'Service not defined');
    const destination = destinationId(operation.destination);
    if (!destinations.has(destination)) {
      throw new OperationError(
        'ENOENT',
        `No such destination: ${virtualServiceId(operation.service)} ${destination}`,
      );
    }
    return destinations;
  }
}
