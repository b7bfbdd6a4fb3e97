// SPDX-License-Identifier: Apache-2.0
// What planning starts from besides the objects, and what it ends with.
import type { Address, Family } from '../model/address.ts';
import type { Cidr } from '../model/cidr.ts';
import type { SchedulerName } from '../model/scheduler.ts';
import type { AddressService, AddressServiceKey } from '../model/virtual-service.ts';

/** The node that is planned for. */
export interface NodeView {
  readonly name: string;
  /** What the node's real devices hold; loopback and link-local addresses may be among them. */
  readonly addresses: readonly Address[];
}

export interface PlanConfig {
  /** The families that are served; objects and addresses of others count as absent. */
  readonly families: readonly Family[];
  readonly scheduler: SchedulerName;
  /** Where node ports answer; a family without a CIDR in the list is not restricted. */
  readonly nodePortAddresses: readonly Cidr[];
}

/** A Service by namespace and name: "default/web". */
export type ServiceId = string;

/** Two services claim one front end; the older one has it. */
export interface Conflict {
  readonly virtualService: AddressServiceKey;
  readonly winner: ServiceId;
  readonly loser: ServiceId;
}

/** Something in the objects that its author would want to know of. */
export interface Warning {
  readonly service: ServiceId;
  /** A sentence without the service's name. */
  readonly message: string;
}

export interface DesiredState {
  /** Oldest Service first; no two have the same identity. */
  readonly services: readonly AddressService[];
  readonly conflicts: readonly Conflict[];
  readonly warnings: readonly Warning[];
}
