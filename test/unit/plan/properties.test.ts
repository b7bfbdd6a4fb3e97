// SPDX-License-Identifier: Apache-2.0
// What holds for the plan of any Service and any endpoints.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { destinationId, destinationsFor, virtualServiceId } from '../../../src/model/virtual-service.ts';
import { endpointSets, offer } from '../../../src/plan/traffic-policy.ts';
import { serviceManifest, sliceManifest } from '../../lib/manifests/objects.ts';
import { planned } from '../../lib/planned.ts';

const hints = fc.record({
  forZones: fc.subarray(['z1', 'z2']).map((names) => names.map((name) => ({ name }))),
  forNodes: fc.subarray(['node-one', 'node-two']).map((names) => names.map((name) => ({ name }))),
});

const anyEndpoint = fc.record({
  addresses: fc.integer({ min: 1, max: 9 }).map((last) => [`10.244.1.${last}`]),
  nodeName: fc.constantFrom(undefined, 'node-one', 'node-two'),
  conditions: fc.record({ ready: fc.boolean(), serving: fc.boolean(), terminating: fc.boolean() }),
  hints: fc.option(hints, { nil: undefined }),
});

const anySlices = fc.array(fc.array(anyEndpoint, { maxLength: 6 }), { maxLength: 3 }).map((lists) =>
  lists.map((endpoints, i) =>
    sliceManifest(endpoints, {
      metadata: { name: `web-${i}`, labels: { 'kubernetes.io/service-name': 'web' } },
    }),
  ),
);

const policy = fc.constantFrom('Cluster', 'Local');

const anyService = fc
  .record({ internalTrafficPolicy: policy, externalTrafficPolicy: policy })
  .map((policies) =>
    serviceManifest({
      type: 'NodePort',
      ports: [{ port: 80, nodePort: 30080 }],
      externalIPs: ['198.51.100.80'],
      ...policies,
    }),
  );

test('for any endpoints, those of a view are ready, or all of its set are leaving, and each is there once', () => {
  fc.assert(
    fc.property(anyService, anySlices, (service, slices) => {
      const { services } = planned([service, ...slices]);
      assert.equal(new Set(services.map(virtualServiceId)).size, services.length);
      for (const each of services) {
        const ids = each.destinations.map(destinationId);
        assert.equal(new Set(ids).size, ids.length);
        if (!each.outside) assert.ok(each.destinations.every(({ clients }) => clients === undefined));
      }
    }),
  );
});

test('for any endpoints, policy Local serves none of another node, and a client is dropped only while some endpoint serves', () => {
  fc.assert(
    fc.property(anyService, anySlices, (service, slices) => {
      const byAddress = new Map(planned([service, ...slices]).services.map((each) => [each.address, each]));
      const [nodePort, externalIp] = [byAddress.get('192.0.2.11'), byAddress.get('198.51.100.80')];
      assert.deepEqual(nodePort?.destinations, externalIp?.destinations);
      for (const each of byAddress.values()) {
        const inside = destinationsFor(each, 'inside');
        const outside = destinationsFor(each, 'outside');
        if (each.outside?.noDestination === 'drop') assert.ok(inside.length > 0);
        if (each.outside?.noDestination === 'reject')
          assert.deepEqual([inside.length, outside.length], [0, 0]);
      }
    }),
  );
});

const model = fc.record({
  address: fc.integer({ min: 1, max: 99 }).map(String),
  isReady: fc.boolean(),
  isServing: fc.boolean(),
  isTerminating: fc.boolean(),
  nodeName: fc.constantFrom('', 'node-one', 'node-two'),
  nodeHints: fc.subarray(['node-one', 'node-two']),
  zoneHints: fc.subarray(['z1', 'z2']),
});

test('for any endpoints, both sets fall back to leaving endpoints by themselves, and never hold others', () => {
  fc.assert(
    fc.property(fc.array(model), (endpoints) => {
      const sets = endpointSets(endpoints, { name: 'node-one', zone: 'z1' });
      for (const [set, all] of [
        [sets.cluster, endpoints],
        [sets.local, endpoints.filter(({ nodeName }) => nodeName === 'node-one')],
      ] as const) {
        const ready = all.filter(({ isReady }) => isReady);
        if (ready.length > 0) assert.ok(set.length > 0 && set.every((each) => ready.includes(each)));
        else
          assert.deepEqual(
            set,
            all.filter(({ isServing, isTerminating }) => isServing && isTerminating),
          );
      }
    }),
  );
});

test('for any sets, the views of an offer are the sets', () => {
  fc.assert(
    fc.property(fc.uniqueArray(model, { selector: ({ address }) => address }), (endpoints) => {
      const sets = endpointSets(endpoints, { name: 'node-one', zone: 'z1' });
      const service = { externalPolicy: 'Local', type: 'NodePort', externalIps: [] };
      const offered = offer(service as never, false, sets);
      const view = (side: string) =>
        offered.endpoints
          .filter(({ clients }) => clients === undefined || clients === side)
          .map(({ endpoint }) => endpoint.address)
          .sort();
      assert.deepEqual(view('inside'), sets.cluster.map(({ address }) => address).sort());
      assert.deepEqual(view('outside'), sets.local.map(({ address }) => address).sort());
    }),
  );
});

test('for any endpoints, the order of the slices and of their endpoints makes no difference', () => {
  fc.assert(
    fc.property(anyService, anySlices, (service, slices) => {
      const forwards = planned([service, ...slices]);
      assert.deepEqual(planned([...slices.toReversed(), service]), forwards);
    }),
  );
});
