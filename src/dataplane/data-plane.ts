// SPDX-License-Identifier: Apache-2.0
// The one interface between the IPVS model and whatever realises it.
import type { Connection } from '../model/connection.ts';
import type { Operation } from '../model/operation.ts';
import type { Rates, Statistics } from '../model/statistics.ts';
import type { Destination, VirtualService, VirtualServiceDefinition } from '../model/virtual-service.ts';

/** A destination as the data plane has it, with the numbers that ipvsadm -L shows. */
export interface DestinationStatus extends Destination {
  /** Connections in an active state (ESTABLISHED, SYN_SENT, SYN_RECV, SYNACK). */
  readonly activeConnections: number;
  /** All other connections. */
  readonly inactiveConnections: number;
  readonly statistics: Statistics;
  readonly rates: Rates;
}

/** A virtual service as the data plane has it. */
export type VirtualServiceStatus = VirtualServiceDefinition & ServiceNumbers;

export interface ServiceNumbers {
  /** In the order of their adding, like `VirtualService.destinations`. */
  readonly destinations: readonly DestinationStatus[];
  readonly statistics: Statistics;
  readonly rates: Rates;
}

/** What only looks; ipvsadm's listings need nothing else. */
export interface DataPlaneView extends Disposable {
  /** All virtual services, in no particular order. */
  services(): readonly VirtualServiceStatus[];
  /** All connections, in no particular order. */
  connections(): Iterable<Connection>;
  /** The number of connections that fit, the `size=` of ipvsadm's heading. */
  readonly connectionTableSize: number;
  close(): void;
}

/** How one operation ended. */
export interface OperationFailure {
  readonly operation: Operation;
  readonly error: Error;
}

export interface DataPlane extends DataPlaneView {
  /** What {@link services} tells but for the numbers; cheap enough for every change in a large cluster. */
  configuration(): readonly VirtualService[];
  /**
   * Carries the operations out in order. After each of them the data plane is in a consistent state: no packet meets a
   * half-written service. One that fails (OperationError: EEXIST, ESRCH, ENOENT, EINVAL, as kernel IPVS answers; ENOSPC
   * where a table is full) changes nothing, and the rest is still tried.
   * @returns the failures, empty when all went well.
   */
  apply(operations: readonly Operation[]): readonly OperationFailure[];
}
