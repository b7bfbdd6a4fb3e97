// SPDX-License-Identifier: Apache-2.0
// Fields and annotations of Services that change single virtual services: source ranges, affinity, schedulers, weights,
// health checks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatSave } from '../../../src/cli/format-save.ts';
import { formatCidr, parseCidr } from '../../../src/model/cidr.ts';
import { healthCheckAddresses } from '../../../src/plan/node-port-addresses.ts';
import { loadBalancerWeb, nodeOne, podFour, podOne, podTwo } from '../../lib/cast.ts';
import { endpoint, serviceManifest, sliceManifest } from '../../lib/manifests/objects.ts';
import { planned } from '../../lib/planned.ts';

const [v4, v6] = [loadBalancerWeb.v4, loadBalancerWeb.v6];

/** The ranges of each address that has some, of a dual-stack service with a load-balancer IP of each family. */
function ranges(texts: readonly string[], ipMode = 'VIP', nodeIps?: readonly string[]) {
  const service = serviceManifest(
    {
      type: 'LoadBalancer',
      clusterIPs: ['10.96.0.80', 'fd00:10:96::80'],
      ports: [{ port: 80, nodePort: 30080 }],
      loadBalancerSourceRanges: texts,
      externalIPs: ['198.51.100.80'],
    },
    { status: { loadBalancer: { ingress: [v4, v6].map((ip) => ({ ip, ipMode })) } } },
  );
  const { services } = planned([service], {}, nodeIps ? { nodeIps } : {});
  return Object.fromEntries(
    services.flatMap(({ address, sourceRanges }) =>
      sourceRanges ? [[address, sourceRanges.map(formatCidr)]] : [],
    ),
  );
}

test('source ranges restrict load-balancer IPs alone, each family by its own ranges', () => {
  assert.deepEqual(ranges(['203.0.113.0/24', 'fd01::/16', '203.0.113.9/24']), {
    [v4]: ['203.0.113.0/24'],
    [v6]: ['fd01::/16'],
  });
  assert.deepEqual(ranges(['203.0.113.0/24']), { [v4]: ['203.0.113.0/24'] });
  assert.deepEqual(ranges(['203.0.113.0/24', '0.0.0.0/0', '::/0']), {});
  assert.deepEqual(ranges(['203.0.113.0/24'], 'Proxy'), {});
});

test('where a range has the node, its processes may use the virtual address as their source', () => {
  assert.deepEqual(ranges(['192.0.2.0/24', 'fd01::/16']), {
    [v4]: ['192.0.2.0/24', `${v4}/32`],
    [v6]: ['fd01::/16'],
  });
  assert.deepEqual(ranges([`${nodeOne.v6}/128`])[v6], [`${nodeOne.v6}/128`, `${v6}/128`]);
  assert.deepEqual(ranges(['192.0.2.0/24'], 'VIP', []), { [v4]: ['192.0.2.0/24'] });
});

test('affinity to the client is persistence of single addresses, at every address of the service', () => {
  const service = serviceManifest({
    sessionAffinity: 'ClientIP',
    sessionAffinityConfig: { clientIP: { timeoutSeconds: 600 } },
    clusterIPs: ['10.96.0.80', 'fd00:10:96::80'],
    externalIPs: ['198.51.100.80'],
  });
  const { services } = planned([service]);
  assert.deepEqual(
    services.map(({ address, persistence }) => [address, persistence]),
    [
      ['10.96.0.80', { timeoutSeconds: 600, prefixLength: 32 }],
      ['198.51.100.80', { timeoutSeconds: 600, prefixLength: 32 }],
      ['fd00:10:96::80', { timeoutSeconds: 600, prefixLength: 128 }],
    ],
  );
  assert.equal(formatSave(services)[0], '-A -t 10.96.0.80:80 -s rr -p 600');
});

test('external IPs have no meaning where they are not allowed', () => {
  const service = serviceManifest({ externalIPs: ['198.51.100.80'] });
  const addresses = (allowsExternalIps: boolean) =>
    planned([service], { allowsExternalIps }).services.map(({ address }) => address);
  assert.deepEqual(addresses(true), ['10.96.0.80', '198.51.100.80']);
  assert.deepEqual(addresses(false), ['10.96.0.80']);
});

const annotated = (annotations: Record<string, string>) =>
  serviceManifest({}, { metadata: { name: 'web', annotations } });

interface SchedulerRow {
  readonly annotations: Record<string, string>;
  readonly line: string;
  readonly warning?: string;
}

const schedulerRows: readonly SchedulerRow[] = [
  { annotations: { 'bpvs.io/scheduler': 'sh' }, line: '-s sh' },
  { annotations: { 'kube-router.io/service.scheduler': 'lc' }, line: '-s lc' },
  { annotations: { 'bpvs.io/scheduler': 'sh', 'kube-router.io/service.scheduler': 'lc' }, line: '-s sh' },
  { annotations: { 'bpvs.io/scheduler': 'mh' }, line: '-s mh -b mh-port' },
  { annotations: { 'bpvs.io/scheduler': 'mh', 'bpvs.io/scheduler-flags': '' }, line: '-s mh' },
  {
    annotations: {
      'kube-router.io/service.scheduler': 'mh',
      'kube-router.io/service.schedflags': 'flag-2, flag-1',
    },
    line: '-s mh -b mh-fallback,mh-port',
  },
  {
    annotations: { 'bpvs.io/scheduler': 'sh', 'bpvs.io/scheduler-flags': 'sh-port,sh-port' },
    line: '-s sh -b sh-port',
  },
  {
    annotations: { 'bpvs.io/scheduler': 'fastest' },
    line: '-s rr',
    warning: 'bpvs.io/scheduler: expected a scheduler but received "fastest": it stays rr',
  },
  {
    annotations: { 'bpvs.io/scheduler': 'sh', 'bpvs.io/scheduler-flags': 'mh-port' },
    line: '-s sh',
    warning:
      'bpvs.io/scheduler-flags: expected flags of the scheduler sh but received "mh-port": they are left out',
  },
];

for (const { annotations, line, warning } of schedulerRows) {
  test(`the annotations ${JSON.stringify(annotations)} give ${line}`, () => {
    const { services, warnings } = planned([annotated(annotations)]);
    assert.deepEqual(formatSave(services), [`-A -t 10.96.0.80:80 ${line}`]);
    assert.deepEqual(warnings, warning === undefined ? [] : [{ service: 'default/web', message: warning }]);
  });
}

test('a scheduler that the data plane has not is left out, with a warning', () => {
  const { services, warnings } = planned([annotated({ 'bpvs.io/scheduler': 'lblc' })], {
    schedulers: ['rr', 'sh'],
  });
  assert.equal(services[0]?.scheduler, 'rr');
  assert.equal(warnings.length, 1);
});

test('a slice gives its endpoints a weight, in our spelling or in that of Cilium', () => {
  const slice = (name: string, address: string, annotations: Record<string, string>) =>
    sliceManifest([endpoint(address)], {
      metadata: { name, labels: { 'kubernetes.io/service-name': 'web' }, annotations },
    });
  const { services, warnings } = planned([
    serviceManifest(),
    slice('a', podOne.v4, { 'bpvs.io/weight': '3' }),
    slice('b', podTwo.v4, { 'service.cilium.io/weight': '0' }),
    slice('c', podFour.v4, { 'bpvs.io/weight': '-1', 'service.cilium.io/weight': '7' }),
  ]);
  assert.deepEqual(
    services[0]?.destinations.map(({ address, weight }) => [address, weight]),
    [
      [podOne.v4, 3],
      [podTwo.v4, 0],
      [podFour.v4, 1],
    ],
  );
  assert.deepEqual(warnings, [
    {
      service: 'default/web',
      message:
        'EndpointSlice c: bpvs.io/weight: expected a whole number in 0..65535 but received "-1": it stays 1',
    },
  ]);
});

test('a health check counts the addresses of ready endpoints here, once each, for each family of the service', () => {
  const local = (address: string, conditions?: object) => ({
    ...endpoint(address),
    nodeName: 'node-one',
    ...(conditions && { conditions }),
  });
  const service = (spec: object) =>
    serviceManifest({
      type: 'LoadBalancer',
      clusterIPs: ['10.96.0.80', 'fd00:10:96::80'],
      ports: [
        { name: 'a', port: 80, nodePort: 30080 },
        { name: 'b', port: 81, nodePort: 30081 },
      ],
      ...spec,
    });
  const slice = sliceManifest(
    [
      local(podOne.v4),
      local(podTwo.v4, { ready: false, serving: true, terminating: true }),
      { ...endpoint(podFour.v4), nodeName: 'node-two' },
    ],
    {
      ports: [
        { name: 'a', port: 8080 },
        { name: 'b', port: 8081 },
      ],
    },
  );
  const checks = (spec: object) => planned([service(spec), slice]).healthChecks;
  assert.deepEqual(checks({ externalTrafficPolicy: 'Local', healthCheckNodePort: 30100 }), [
    { service: 'default/web', family: 4, port: 30_100, localReadyEndpoints: 1 },
    { service: 'default/web', family: 6, port: 30_100, localReadyEndpoints: 0 },
  ]);
  assert.deepEqual(checks({ externalTrafficPolicy: 'Local' }), []);
  assert.deepEqual(checks({}), []);
});

test('health checks listen where node ports do, and on loopback if it is asked for', () => {
  const cidrs = (...texts: string[]) => texts.flatMap((text) => parseCidr(text) ?? []);
  const addresses = [nodeOne.v4, nodeOne.v6, '127.0.0.1', '::1'];
  assert.deepEqual(healthCheckAddresses(addresses, 4, []), ['0.0.0.0']);
  assert.deepEqual(healthCheckAddresses(addresses, 6, cidrs('10.0.0.0/8')), ['::']);
  assert.deepEqual(healthCheckAddresses(addresses, 4, cidrs('127.0.0.0/8')), ['127.0.0.1']);
  assert.deepEqual(healthCheckAddresses(addresses, 4, cidrs('10.0.0.0/8')), []);
});
