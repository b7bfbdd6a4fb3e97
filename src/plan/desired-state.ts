// SPDX-License-Identifier: Apache-2.0
// What planning starts from besides the objects, and what it ends with.
import type { Address, Family } from '../model/address.ts';
import type { Cidr } from '../model/cidr.ts';
import type { SchedulerFlag, SchedulerName } from '../model/scheduler.ts';
import type { AddressService, AddressServiceKey } from '../model/virtual-service.ts';

/** The node that is planned for. */
export interface NodeView {
  readonly name: string;
  /** What the node's real devices hold; loopback and link-local addresses may be among them. */
  readonly addresses: readonly Address[];
  /** The Node object's own addresses, as source ranges see them; undefined: not known. */
  readonly nodeIps?: readonly Address[] | undefined;
  /** The Node's label topology.kubernetes.io/zone; undefined: not known, and hints of zones have no say. */
  readonly zone?: string | undefined;
}

export interface PlanConfig {
  /** The families that are served; objects and addresses of others count as absent. */
  readonly families: readonly Family[];
  readonly scheduler: SchedulerName;
  /** Those that the data plane has, for Services that ask for one; undefined: all of the kernel's. */
  readonly schedulers?: readonly SchedulerName[] | undefined;
  /** False: spec.externalIPs have no meaning (the feature gate AllowServiceExternalIPs); undefined: they have. */
  readonly allowsExternalIps?: boolean | undefined;
  /** Not given: those that kube-proxy gives it. */
  readonly schedulerFlags?: readonly SchedulerFlag[] | undefined;
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

/** A port on which a load balancer asks whether this node has endpoints for it. */
export interface HealthCheck {
  readonly service: ServiceId;
  readonly family: Family;
  readonly port: number;
  /** The node should get no traffic if there is none. */
  readonly localReadyEndpoints: number;
}

export interface DesiredState {
  /** Oldest Service first; no two have the same identity. */
  readonly services: readonly AddressService[];
  /** Oldest Service first. */
  readonly healthChecks: readonly HealthCheck[];
  readonly conflicts: readonly Conflict[];
  readonly warnings: readonly Warning[];
}
