// SPDX-License-Identifier: Apache-2.0
// Planning for tests: from manifests to what node one has.
import assert from 'node:assert/strict';
import { ingest } from '../../src/kube/ingest.ts';
import { destinationsFor, type VirtualService } from '../../src/model/virtual-service.ts';
import type { DesiredState, NodeView, PlanConfig } from '../../src/plan/desired-state.ts';
import { plan } from '../../src/plan/plan.ts';
import { nodeOne } from './cast.ts';

export const nodeOneView: NodeView = {
  name: 'node-one',
  addresses: [nodeOne.v4, nodeOne.v6, '127.0.0.1', '::1', 'fe80::1'],
  nodeIps: [nodeOne.v4, nodeOne.v6],
  zone: 'z1',
};

const defaults: PlanConfig = { families: [4, 6], scheduler: 'rr', nodePortAddresses: [] };

/** Of manifests without a fault, on node one unless told otherwise. */
export function planned(
  documents: readonly unknown[],
  config: Partial<PlanConfig> = {},
  node: Partial<NodeView> = {},
): DesiredState {
  const objects = ingest(documents, 'test');
  assert.deepEqual(objects.problems, []);
  return plan(objects, { ...nodeOneView, ...node }, { ...defaults, ...config });
}

/** What both views of a virtual service have: addresses, and what is left without one. */
export interface Views {
  readonly inside: readonly string[];
  readonly outside: readonly string[];
  readonly without: readonly [inside: string, outside: string];
}

/** By "10.96.0.80:80", whatever the protocol. */
export function viewsByAddress(services: readonly VirtualService[]): ReadonlyMap<string, Views> {
  return new Map(
    services.map((service) => [
      `${service.address}:${service.port}`,
      {
        inside: destinationsFor(service, 'inside').map(({ address }) => address),
        outside: destinationsFor(service, 'outside').map(({ address }) => address),
        without: [service.noDestination, service.outside?.noDestination ?? service.noDestination],
      },
    ]),
  );
}
