// SPDX-License-Identifier: Apache-2.0
// From cluster objects to virtual services: pure, one Service at a time.
import type { Address, Family } from '../model/address.ts';
import type { ClusterObjects, EndpointSliceObject, ServiceObject } from '../model/cluster.ts';
import type { SchedulerFlag, SchedulerName } from '../model/scheduler.ts';
import type { AddressService, Destination } from '../model/virtual-service.ts';
import { bySeniority, resolveClaims } from './conflicts.ts';
import type { DesiredState, NodeView, PlanConfig } from './desired-state.ts';
import { type PortEndpoint, portEndpoints, selectEndpoints } from './endpoints.ts';
import { frontEnds } from './front-ends.ts';
import { nodePortAddresses } from './node-port-addresses.ts';
import { isServed, isUsable, servedWarnings, serviceId } from './served.ts';

/** The node and the configuration, worked up once for all Services. */
export interface PlanContext {
  readonly families: readonly { readonly family: Family; readonly nodePortAddresses: readonly Address[] }[];
  readonly scheduler: SchedulerName;
  readonly schedulerFlags: readonly SchedulerFlag[];
}

export function planContext(node: NodeView, config: PlanConfig): PlanContext {
  return {
    families: config.families.map((family) => ({
      family,
      nodePortAddresses: nodePortAddresses(node.addresses, family, config.nodePortAddresses),
    })),
    scheduler: config.scheduler,
    // mh hashes the client's port too, as kube-proxy has it: IP_VS_SVC_F_SCHED_MH_PORT.
    schedulerFlags: config.scheduler === 'mh' ? ['flag-2'] : [],
  };
}

/**
 * What one Service wants, whatever the others are. `slices` are those that name it.
 * The lists of destinations are shared between the front ends of a port.
 */
export function planService(
  service: ServiceObject,
  slices: readonly EndpointSliceObject[],
  context: PlanContext,
): readonly AddressService[] {
  if (!isServed(service)) return [];
  return context.families.flatMap(({ family, nodePortAddresses }) =>
    service.ports.flatMap((port) => {
      const destinations = selectEndpoints(portEndpoints(slices, port, family)).map(toDestination);
      return frontEnds(service, port, family, nodePortAddresses).map(
        (frontEnd): AddressService => ({
          protocol: frontEnd.protocol,
          address: frontEnd.address,
          port: frontEnd.port,
          scheduler: context.scheduler,
          schedulerFlags: context.schedulerFlags,
          noDestination: 'reject',
          destinations,
        }),
      );
    }),
  );
}

/** The virtual services of all Services of the cluster, as this node has them. */
export function plan(objects: ClusterObjects, node: NodeView, config: PlanConfig): DesiredState {
  const context = planContext(node, config);
  const slices = Map.groupBy(
    objects.slices.filter(isUsable),
    (slice) => `${slice.namespace}/${slice.serviceName}`,
  );
  const services = [...objects.services].sort(bySeniority);
  const claims = services.map((service) => ({
    service,
    virtualServices: planService(service, slices.get(serviceId(service)) ?? [], context),
  }));
  return { ...resolveClaims(claims), warnings: services.flatMap(servedWarnings) };
}

function toDestination({ address, port }: PortEndpoint): Destination {
  return { address, port, weight: 1, forwarding: 'masq' };
}
