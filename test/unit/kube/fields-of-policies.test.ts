// SPDX-License-Identifier: Apache-2.0
// The fields that policies of traffic are made of, as they are read; and objects that come from an API server.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ingest } from '../../../src/kube/ingest.ts';
import { formatCidr } from '../../../src/model/cidr.ts';
import { endpoint, serviceManifest, sliceManifest } from '../../lib/manifests/objects.ts';

test('policies, affinity, source ranges and annotations are read, the ranges in their canonical spelling', () => {
  const [service] = ingest(
    [
      serviceManifest(
        {
          type: 'LoadBalancer',
          sessionAffinity: 'ClientIP',
          internalTrafficPolicy: 'Local',
          externalTrafficPolicy: 'Local',
          healthCheckNodePort: 30100,
          loadBalancerSourceRanges: [' 192.0.2.77/24 ', '2001:DB8::/64'],
        },
        { metadata: { name: 'web', annotations: { 'bpvs.io/scheduler': 'sh', 'example.org/other': 'x' } } },
      ),
    ],
    'web.yaml',
  ).services;
  assert.deepEqual(
    [
      service?.affinitySeconds,
      service?.internalPolicy,
      service?.externalPolicy,
      service?.healthCheckNodePort,
    ],
    [10_800, 'Local', 'Local', 30_100],
  );
  assert.deepEqual(service?.sourceRanges.map(formatCidr), ['192.0.2.0/24', '2001:db8::/64']);
  assert.deepEqual(service?.annotations, { 'bpvs.io/scheduler': 'sh' });
});

test('an endpoint is read with its node and its hints', () => {
  const hints = { forNodes: [{ name: 'node-one' }], forZones: [{ name: 'z1' }, { name: 'z2' }] };
  const { slices } = ingest(
    [sliceManifest([{ ...endpoint('10.244.1.2'), nodeName: 'node-one', hints }])],
    'web.yaml',
  );
  const [read] = slices[0]?.endpoints ?? [];
  assert.deepEqual(
    [read?.nodeName, read?.nodeHints, read?.zoneHints],
    ['node-one', ['node-one'], ['z1', 'z2']],
  );
});

test('what an API server has stored counts without the fields that cannot be used', () => {
  const old = serviceManifest({
    externalTrafficPolicy: 'Local',
    externalIPs: [],
    ports: [{ port: 80 }, { port: 0 }],
  });
  const { services, problems, refused } = ingest([old], 'the API', true);
  assert.equal(problems.length > 0, true);
  assert.deepEqual(refused, []);
  assert.deepEqual(
    services.map(({ externalPolicy, ports }) => [externalPolicy, ports.map(({ port }) => port)]),
    [['Local', [80]]],
  );
});
