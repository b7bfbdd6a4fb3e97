// SPDX-License-Identifier: Apache-2.0
// The one interface between the IPVS model and whatever realises it.
import type { Connection } from '../model/connection.ts';
import type { Operation } from '../model/operation.ts';
import type { Counted } from '../model/statistics.ts';
import type { TimeoutChanges, Timeouts } from '../model/timeouts.ts';
import type {
  Destination,
  DestinationKey,
  VirtualService,
  VirtualServiceDefinition,
  VirtualServiceKey,
} from '../model/virtual-service.ts';

/** A destination as the data plane has it, with the numbers that ipvsadm -L shows. */
export interface DestinationStatus extends Destination, Counted {
  /** Connections in an active state (ESTABLISHED, SYN_SENT, SYN_RECV, SYNACK). */
  readonly activeConnections: number;
  /** All other connections. */
  readonly inactiveConnections: number;
  /** Templates of persistent clients. */
  readonly persistentConnections: number;
}

/** A virtual service as the data plane has it; its numbers keep what destinations counted that are gone. */
export type VirtualServiceStatus = VirtualServiceDefinition & ServiceNumbers;

export interface ServiceNumbers extends Counted {
  /** In the order of their adding, like `VirtualService.destinations`. */
  readonly destinations: readonly DestinationStatus[];
}

/** What ipvsadm's listings show, and what its commands change that is no virtual service. */
export interface DataPlaneView extends Disposable {
  /** All virtual services, in no particular order. */
  services(): readonly VirtualServiceStatus[];
  /** All connections, in no particular order. */
  connections(): Iterable<Connection>;
  /** The number of connections that fit, the `size=` of ipvsadm's heading. */
  readonly connectionTableSize: number;
  /** All services together, deleted ones included. */
  totals(): Counted;
  /** Counts and rates of one service and its destinations, or of everything, begin at zero. Throws OperationError (ESRCH). */
  zeroStatistics(service?: VirtualServiceKey): void;
  timeouts(): Timeouts;
  /** Connections take the new timeouts with their next packet. */
  setTimeouts(changes: TimeoutChanges): void;
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
  /** The same for one of them; undefined: there is no such service. Its cost does not depend on the others. */
  configurationOf(service: VirtualServiceKey): VirtualService | undefined;
  /** Active and inactive connections of a destination; 0 where there is none of that name. Cheap, for single ones. */
  connectionCount(service: VirtualServiceKey, destination: DestinationKey): number;
  /**
   * Carries the operations out in order. After each of them the data plane is in a consistent state: no packet meets a
   * half-written service. One that fails (OperationError: EEXIST, ESRCH, ENOENT, EINVAL, as kernel IPVS answers; ENOSPC
   * where a table is full) changes nothing, and the rest is still tried.
   * @returns the failures, empty when all went well.
   */
  apply(operations: readonly Operation[]): readonly OperationFailure[];
}
