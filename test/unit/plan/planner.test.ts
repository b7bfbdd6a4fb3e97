// SPDX-License-Identifier: Apache-2.0
// Plans that are kept up give what planning everything anew gives.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { changeBetween } from '../../../src/kube/cluster-source.ts';
import { ingest } from '../../../src/kube/ingest.ts';
import type { ClusterObjects } from '../../../src/model/cluster.ts';
import { type AddressService, virtualServiceId } from '../../../src/model/virtual-service.ts';
import type { PlanConfig } from '../../../src/plan/desired-state.ts';
import { plan, planContext } from '../../../src/plan/plan.ts';
import { Planner } from '../../../src/plan/planner.ts';
import { serviceManifest, sliceManifest } from '../../lib/manifests/objects.ts';
import { nodeOneView } from '../../lib/planned.ts';

const config: PlanConfig = { families: [4, 6], scheduler: 'rr', nodePortAddresses: [] };

/** Few names and addresses, so that Services claim each other's. */
const service = fc
  .record({
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    year: fc.constantFrom(undefined, 2024, 2025),
    address: fc.constantFrom('10.96.0.1', '10.96.0.2', '10.96.0.3'),
    externalIPs: fc.subarray(['198.51.100.1', '198.51.100.2']),
    nodePort: fc.constantFrom(0, 30080),
    scheduler: fc.constantFrom('rr', 'none'),
  })
  .map(({ name, year, address, externalIPs, nodePort, scheduler }) =>
    serviceManifest(
      {
        type: nodePort === 0 ? 'ClusterIP' : 'NodePort',
        clusterIP: address,
        externalIPs,
        ports: [{ port: 80, ...(nodePort !== 0 && { nodePort }) }],
      },
      {
        metadata: {
          name,
          annotations: { 'bpvs.io/scheduler': scheduler },
          ...(year && { creationTimestamp: `${year}-01-01T00:00:00Z` }),
        },
      },
    ),
  );

const slice = fc
  .record({
    name: fc.constantFrom('one', 'two', 'three'),
    of: fc.constantFrom('a', 'b', 'c', 'd', ''),
    addresses: fc.subarray(['10.244.1.2', '10.244.1.3', '10.244.2.2']),
  })
  .map(({ name, of, addresses }) =>
    sliceManifest(
      addresses.map((address) => ({ addresses: [address] })),
      { metadata: { name, labels: of === '' ? {} : { 'kubernetes.io/service-name': of } } },
    ),
  );

/** Each name once. */
const objects: fc.Arbitrary<ClusterObjects> = fc
  .record({
    services: fc.uniqueArray(service, { selector: nameOf, maxLength: 4 }),
    slices: fc.uniqueArray(slice, { selector: nameOf, maxLength: 3 }),
  })
  .map(({ services, slices }) => ingest([...services, ...slices], 'test'));

function nameOf({ metadata }: Readonly<Record<string, unknown>>): string {
  return (metadata as { readonly name: string }).name;
}

const byId = (services: Iterable<AddressService>) =>
  new Map([...services].map((each) => [virtualServiceId(each), each]));
const sorted = (values: readonly unknown[]) => values.map((each) => JSON.stringify(each)).sort();

test('after any changes the plans are those of the objects, and each change tells what became different', () => {
  fc.assert(
    fc.property(fc.array(objects, { minLength: 1, maxLength: 5 }), (states) => {
      const planner = new Planner(planContext(nodeOneView, config));
      const told = new Map<string, AddressService>();
      let former: ClusterObjects = { services: [], slices: [], nodes: [] };
      for (const state of states) {
        const { changed, gone } = planner.update(changeBetween(former, state));
        for (const each of changed) told.set(virtualServiceId(each), each);
        for (const each of gone) told.delete(virtualServiceId(each));
        former = state;
        const expected = plan(state, nodeOneView, config);
        assert.deepEqual(told, byId(planner.services()));
        assert.deepEqual(sorted([...told.values()]), sorted(expected.services));
        assert.deepEqual(sorted(planner.conflicts), sorted(expected.conflicts));
        assert.deepEqual(sorted(planner.warnings), sorted(expected.warnings));
        assert.deepEqual(sorted(planner.healthChecks), sorted(expected.healthChecks));
      }
    }),
  );
});

test('a change of one slice touches the virtual services of its Service alone', () => {
  const planner = new Planner(planContext(nodeOneView, config));
  const services = ['10.96.0.1', '10.96.0.2'].map((clusterIP, i) =>
    serviceManifest({ clusterIP }, { metadata: { name: `web-${i}` } }),
  );
  const labels = { 'kubernetes.io/service-name': 'web-1' };
  const before = ingest(services, 'test');
  planner.update(changeBetween({ services: [], slices: [], nodes: [] }, before));
  const { slices } = ingest(
    [sliceManifest([{ addresses: ['10.244.1.2'] }], { metadata: { name: 's', labels } })],
    '',
  );
  const { changed, gone } = planner.update(changeBetween(before, { ...before, slices }));
  assert.deepEqual(changed.map(virtualServiceId), ['tcp 10.96.0.2:80']);
  assert.deepEqual(gone, []);
});

test('another node plans everything anew', () => {
  const planner = new Planner(planContext(nodeOneView, config));
  const nodePort = serviceManifest({ type: 'NodePort', ports: [{ port: 80, nodePort: 30080 }] });
  planner.update(changeBetween({ services: [], slices: [], nodes: [] }, ingest([nodePort], 'test')));
  const moved = { ...nodeOneView, addresses: ['192.0.2.77'] };
  const { changed, gone } = planner.setContext(planContext(moved, config));
  assert.deepEqual(changed.map(virtualServiceId), ['tcp 10.96.0.80:80', 'tcp 192.0.2.77:30080']);
  assert.deepEqual(gone.map(virtualServiceId), ['tcp 192.0.2.11:30080']);
});
