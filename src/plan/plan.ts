// SPDX-License-Identifier: Apache-2.0
// From cluster objects to virtual services: pure, one Service at a time.
import { type Address, addressFamily, type Family } from '../model/address.ts';
import type { ClusterObjects, EndpointSliceObject, ServiceObject, ServicePort } from '../model/cluster.ts';
import type { AddressService, Destination } from '../model/virtual-service.ts';
import { persistence } from './affinity.ts';
import { bySeniority, resolveClaims } from './conflicts.ts';
import type { DesiredState, HealthCheck, NodeView, PlanConfig, Warning } from './desired-state.ts';
import { type PortEndpoint, portEndpoints } from './endpoints.ts';
import { frontEnds } from './front-ends.ts';
import { healthCheck } from './health-checks.ts';
import { nodePortAddresses } from './node-port-addresses.ts';
import { type Scheduling, scheduling } from './scheduling.ts';
import { isServed, isUsable, servedWarnings, serviceId } from './served.ts';
import { sourceRanges } from './source-ranges.ts';
import { endpointSets, type Offer, offer } from './traffic-policy.ts';
import { weightWarnings } from './weights.ts';

/** The node and the configuration, worked up once for all Services. */
export interface PlanContext {
  readonly node: NodeView;
  readonly config: PlanConfig;
  readonly families: readonly { readonly family: Family; readonly nodePortAddresses: readonly Address[] }[];
}

export function planContext(node: NodeView, config: PlanConfig): PlanContext {
  return {
    node,
    config,
    families: config.families.map((family) => ({
      family,
      nodePortAddresses: nodePortAddresses(node.addresses, family, config.nodePortAddresses),
    })),
  };
}

/** What one Service wants, whatever the others are. */
export interface ServicePlan {
  readonly virtualServices: readonly AddressService[];
  readonly healthChecks: readonly HealthCheck[];
  readonly warnings: readonly Warning[];
}

/**
 * Plans one Service by itself: `slices` are those that name it. Nothing else of the cluster has a say, so that an event
 * costs what its Service costs: who keeps the plans of all Services makes this one anew, and hands those that share a
 * front end with it, before or after, to `resolveClaims` in order of seniority. That pass depends only on the claims of
 * each front end, so running it over these Services alone gives what running it over all would.
 * The lists of destinations are shared between the front ends of a port but for its cluster IP's.
 */
export function planService(
  service: ServiceObject,
  slices: readonly EndpointSliceObject[],
  context: PlanContext,
): ServicePlan {
  if (!isServed(service)) return { virtualServices: [], healthChecks: [], warnings: servedWarnings(service) };
  const { warnings, ...schedule } = scheduling(service, context.config);
  const families = context.families.filter(({ family }) =>
    service.clusterIps.some((address) => addressFamily(address) === family),
  );
  return {
    virtualServices: families.flatMap(({ family, nodePortAddresses }) =>
      service.ports.flatMap((port) =>
        planPort(service, port, family, nodePortAddresses, slices, schedule, context),
      ),
    ),
    healthChecks: families.flatMap(({ family }) => healthCheck(service, slices, family, context.node) ?? []),
    warnings: [...warnings, ...slices.flatMap(weightWarnings)].map((message) => ({
      service: serviceId(service),
      message,
    })),
  };
}

function planPort(
  service: ServiceObject,
  port: ServicePort,
  family: Family,
  nodePortAddresses: readonly Address[],
  slices: readonly EndpointSliceObject[],
  schedule: Scheduling,
  { node, config }: PlanContext,
): readonly AddressService[] {
  const sets = endpointSets(portEndpoints(slices, port, family), node);
  const internal = toOffered(offer(service, true, sets));
  const external = hasOutsideAddress(service, port) ? toOffered(offer(service, false, sets)) : internal;
  const kept = persistence(service, family);
  return frontEnds(service, port, family, nodePortAddresses, config.allowsExternalIps).map((frontEnd) => {
    const { kind, protocol, address } = frontEnd;
    const ranges = sourceRanges(service, address, node.nodeIps ?? []);
    return {
      protocol,
      address,
      port: frontEnd.port,
      ...schedule,
      ...(kept && { persistence: kept }),
      ...(ranges && { sourceRanges: ranges }),
      ...(kind === 'cluster-ip' ? internal : external),
    };
  });
}

/** A service that is reachable by its cluster IP alone needs no second list. */
function hasOutsideAddress({ externalIps, loadBalancer }: ServiceObject, { nodePort }: ServicePort): boolean {
  return nodePort !== 0 || externalIps.length > 0 || loadBalancer.length > 0;
}

function toOffered({
  endpoints,
  noDestination,
  outside,
}: Offer<PortEndpoint>): Pick<AddressService, 'noDestination' | 'outside' | 'destinations'> {
  return {
    noDestination,
    ...(outside && { outside }),
    destinations: endpoints.map(({ endpoint, clients }) => toDestination(endpoint, clients)),
  };
}

/** The virtual services of all Services of the cluster, as this node has them. */
export function plan(objects: ClusterObjects, node: NodeView, config: PlanConfig): DesiredState {
  const context = planContext(node, config);
  const slices = Map.groupBy(
    objects.slices.filter(isUsable),
    (slice) => `${slice.namespace}/${slice.serviceName}`,
  );
  const plans = [...objects.services].sort(bySeniority).map((service) => ({
    service,
    ...planService(service, slices.get(serviceId(service)) ?? [], context),
  }));
  return {
    ...resolveClaims(plans),
    healthChecks: plans.flatMap((each) => each.healthChecks),
    warnings: plans.flatMap((each) => each.warnings),
  };
}

function toDestination(
  { address, port, weight }: PortEndpoint,
  clients: Destination['clients'],
): Destination {
  return { address, port, weight, forwarding: 'masq', ...(clients && { clients }) };
}
