// SPDX-License-Identifier: Apache-2.0
// What is read from objects, and what is refused with which words.
import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { test } from 'node:test';
import { ingest } from '../../../src/kube/ingest.ts';
import { endpoint, nodeManifest, serviceManifest, sliceManifest } from '../../lib/manifests/objects.ts';
import { readCases } from '../../lib/oracle-kube-proxy.ts';

const problemsOf = (...documents: unknown[]) => ingest(documents, 'web.yaml').problems;

/** The problems of a service with these fields, without the words that all of them begin with. */
function serviceProblems(spec: Record<string, unknown>, rest?: Record<string, unknown>): readonly string[] {
  return problemsOf(serviceManifest(spec, rest)).map((line) =>
    line.replace('web.yaml: Service default/web: ', ''),
  );
}

function sliceProblems(endpoints: readonly Record<string, unknown>[], rest?: Record<string, unknown>) {
  const lines = problemsOf(sliceManifest(endpoints, rest));
  return lines.map((line) => line.replace('web.yaml: EndpointSlice default/web-a: ', ''));
}

test('a service is read with the defaults of the API', () => {
  const { services, problems } = ingest([serviceManifest()], 'web.yaml');
  assert.deepEqual(problems, []);
  assert.deepEqual(services, [
    {
      namespace: 'default',
      name: 'web',
      createdAtMs: undefined,
      hasOtherProxy: false,
      type: 'ClusterIP',
      isHeadless: false,
      clusterIps: ['10.96.0.80'],
      externalIps: [],
      loadBalancer: [],
      ports: [{ name: '', protocol: 'tcp', port: 80, nodePort: 0 }],
      affinitySeconds: undefined,
      internalPolicy: 'Cluster',
      externalPolicy: 'Cluster',
      sourceRanges: [],
      healthCheckNodePort: 0,
      annotations: {},
    },
  ]);
});

test('addresses are read in their canonical spelling', () => {
  const { services } = ingest([serviceManifest({ clusterIP: 'FD00:10:96:0::80' })], 'web.yaml');
  assert.deepEqual(services[0]?.clusterIps, ['fd00:10:96::80']);
});

test('conditions that are unset or null mean ready, serving and not terminating', () => {
  const conditions = [undefined, {}, { ready: null, serving: null, terminating: null }];
  const { slices } = ingest(
    [sliceManifest(conditions.map((each) => endpoint('10.244.1.2', each)))],
    'web.yaml',
  );
  const expected = {
    address: '10.244.1.2',
    isReady: true,
    isServing: true,
    isTerminating: false,
    nodeName: '',
    nodeHints: [],
    zoneHints: [],
  };
  assert.deepEqual(slices[0]?.endpoints, [expected, expected, expected]);
});

test('lists are read through, typed ones lend their items the kind', () => {
  const { kind: _kind, apiVersion: _version, ...bare } = serviceManifest();
  const list = {
    apiVersion: 'v1',
    kind: 'List',
    items: [
      sliceManifest([]),
      { apiVersion: 'v1', kind: 'ServiceList', items: [bare] },
      { apiVersion: 'v1', kind: 'List', items: [nodeManifest('node-one', ['192.0.2.11'])] },
    ],
  };
  const { services, slices, nodes, problems } = ingest([list], 'web.yaml');
  assert.deepEqual(problems, []);
  assert.deepEqual([services.length, slices.length, nodes.length], [1, 1, 1]);
});

test('objects of other kinds are counted, empty documents are not', () => {
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web' } };
  const foreign = { apiVersion: 'serving.knative.dev/v1', kind: 'Service', metadata: { name: 'web' } };
  const { ignored, problems } = ingest([pod, null, foreign, undefined], 'web.yaml');
  assert.deepEqual([ignored, problems], [2, []]);
});

test('documents that are no objects have a problem of the file', () => {
  assert.deepEqual(problemsOf('hello', [1]), [
    'web.yaml: expected an object with apiVersion and kind',
    'web.yaml: expected an object with apiVersion and kind',
  ]);
  assert.deepEqual(problemsOf({ metadata: { name: 'web' } }), [
    'web.yaml: object default/web: expected texts apiVersion and kind',
  ]);
});

test('a list whose items are no list has a problem, and one without items is nothing', () => {
  for (const kind of ['List', 'ServiceList']) {
    assert.deepEqual(problemsOf({ apiVersion: 'v1', kind, items: 'x' }), [
      `web.yaml: ${kind}: items: expected a list`,
    ]);
    assert.deepEqual(problemsOf({ apiVersion: 'v1', kind, items: null }), []);
  }
  const custom = { apiVersion: 'example.com/v1', kind: 'AllowList', items: { a: 1 } };
  assert.equal(ingest([custom], 'web.yaml').ignored, 1);
});

test('a problem is one line, whatever control characters the object holds', () => {
  const metadata = { name: 'we\nb\u2028', namespace: 'a\x1b[2J', labels: { 'x\ny': 1 } };
  const lines = problemsOf(serviceManifest({ loadBalancerSourceRanges: ['\r\n'] }, { metadata }));
  assert.equal(lines.length, 5);
  for (const line of lines) {
    assert.match(line, /^web\.yaml: Service "a\\u001b\[2J"\/"we\\u000ab\\u2028": /);
    assert.doesNotMatch(line, /[\p{Cc}\p{Zl}\p{Zp}]/u);
  }
});

test('an invalid object is left out, all its problems are told, and the others stay', () => {
  const bad = serviceManifest(
    { ports: [{ port: 70000 }, { name: 'a', port: '80' }] },
    { metadata: { name: 'bad' } },
  );
  const { services, problems, refused } = ingest([bad, serviceManifest()], 'web.yaml');
  assert.deepEqual(
    services.map((service) => service.name),
    ['web'],
  );
  assert.deepEqual(problems, [
    'web.yaml: Service default/bad: spec.ports[0].name: is missing, and the service has several ports',
    'web.yaml: Service default/bad: spec.ports[0].port: expected a whole number in 1..65535 but received 70000',
    'web.yaml: Service default/bad: spec.ports[1].port: expected a whole number in 1..65535 but received "80"',
  ]);
  assert.deepEqual(refused, ['Service default/bad']);
});

const port = { port: 80 };
const loadBalancer = { type: 'LoadBalancer' };
const refusals: readonly [Record<string, unknown>, string][] = [
  [
    { type: 'Clusterip' },
    'spec.type: expected ClusterIP, NodePort, LoadBalancer or ExternalName but received "Clusterip"',
  ],
  [{ clusterIP: '10.96.0.300' }, 'spec.clusterIP: expected an IP address but received "10.96.0.300"'],
  [
    { clusterIP: '::ffff:10.96.0.1' },
    'spec.clusterIP: expected an IP address but received "::ffff:10.96.0.1"',
  ],
  [{ clusterIP: 42 }, 'spec.clusterIP: expected a text but received 42'],
  [
    { clusterIPs: ['10.96.0.81'] },
    'spec.clusterIPs[0]: must be the same as spec.clusterIP ("10.96.0.80") but is "10.96.0.81"',
  ],
  [
    { clusterIPs: ['10.96.0.80', '10.96.0.81'] },
    'spec.clusterIPs: may hold one address of each family, but both are of one',
  ],
  [{ ipFamilies: ['IPv6'] }, 'spec.ipFamilies[0]: is IPv6, but the cluster IP at this place is 10.96.0.80'],
  [{ ipFamilies: ['IPv4', 'IPv4'] }, 'spec.ipFamilies: names a family twice'],
  [{ clusterIP: 'None', type: 'NodePort' }, 'spec.clusterIP: type NodePort may not have "None"'],
  [{ ports: null }, 'spec.ports: is missing'],
  [{ ports: port }, 'spec.ports: expected a list but received {"port":80}'],
  [{ ports: [{ name: 'Web', port: 80 }] }, 'spec.ports[0].name: expected a DNS label but received "Web"'],
  [{ ports: [{ port: null }] }, 'spec.ports[0].port: is missing'],
  [
    { ports: [{ ...port, protocol: 'tcp' }] },
    'spec.ports[0].protocol: expected TCP, UDP or SCTP but received "tcp"',
  ],
  [{ ports: [{ ...port, nodePort: 30080 }] }, 'spec.ports[0].nodePort: type ClusterIP may not have one'],
  [
    { ports: [{ ...port, targetPort: 0 }] },
    'spec.ports[0].targetPort: expected a whole number in 1..65535 but received 0',
  ],
  [
    { ports: [{ ...port, targetPort: '80' }] },
    'spec.ports[0].targetPort: expected a port number or a port name but received "80"',
  ],
  [
    {
      ports: [
        { name: 'a', ...port },
        { name: 'b', ...port },
      ],
    },
    'spec.ports[1].port: is the same as of an earlier port',
  ],
  [
    {
      ports: [
        { name: 'a', ...port },
        { name: 'a', port: 81 },
      ],
    },
    'spec.ports[1].name: is the same as of an earlier port',
  ],
  [
    { ...loadBalancer, ports: [{ port: 10250 }] },
    "spec.ports[0].port: 10250 is the kubelet's and may not be exposed",
  ],
  [{ externalIPs: ['127.0.0.1'] }, 'spec.externalIPs[0]: may not be a loopback address (127.0.0.1)'],
  [{ externalIPs: ['fe80::1'] }, 'spec.externalIPs[0]: may not be a link-local address (fe80::1)'],
  [
    { externalTrafficPolicy: 'Cluster' },
    'spec.externalTrafficPolicy: only a service that is reachable from outside may have it',
  ],
  [
    { internalTrafficPolicy: 'local' },
    'spec.internalTrafficPolicy: expected Cluster or Local but received "local"',
  ],
  [
    { ...loadBalancer, healthCheckNodePort: 32000 },
    'spec.healthCheckNodePort: only type LoadBalancer with externalTrafficPolicy Local may have it',
  ],
  [
    { loadBalancerSourceRanges: ['10.0.0.0/8'] },
    'spec.loadBalancerSourceRanges: only type LoadBalancer may have it',
  ],
  [
    { ...loadBalancer, loadBalancerSourceRanges: ['10.0.0.0/33'] },
    'spec.loadBalancerSourceRanges[0]: expected a CIDR but received "10.0.0.0/33"',
  ],
  [
    { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } } },
    'spec.sessionAffinityConfig.clientIP.timeoutSeconds: expected a whole number in 1..86400 but received 0',
  ],
  [
    { type: 'ExternalName', externalName: 'example.org' },
    'spec.clusterIPs: type ExternalName may not have any',
  ],
  [{ type: 'ExternalName', clusterIP: '' }, 'spec.externalName: type ExternalName needs a DNS name here'],
];

for (const [spec, problem] of refusals) {
  test(`a service with ${JSON.stringify(spec)} is refused`, () => {
    assert.deepEqual(serviceProblems(spec), [problem]);
  });
}

test('a service is refused for a broken name, namespace, time or status', () => {
  const metadata = { name: 'Web', namespace: 'a/b', creationTimestamp: 'yesterday' };
  assert.deepEqual(problemsOf(serviceManifest({}, { metadata })), [
    'web.yaml: Service a/b/Web: metadata.namespace: expected a DNS label but received "a/b"',
    'web.yaml: Service a/b/Web: metadata.name: expected a DNS name but received "Web"',
    'web.yaml: Service a/b/Web: metadata.creationTimestamp: expected a time of RFC 3339 but received "yesterday"',
  ]);
  assert.deepEqual(problemsOf(serviceManifest({}, { metadata: null })), [
    'web.yaml: Service default/(no name): metadata.name: is missing',
  ]);
  const status = { loadBalancer: { ingress: [{ ip: '198.51.100.90' }] } };
  assert.deepEqual(serviceProblems({}, { status }), [
    'status.loadBalancer.ingress: must be empty for type ClusterIP',
  ]);
});

test('a slice is refused for a broken address type, address, condition or port', () => {
  const problems = (endpoints: readonly Record<string, unknown>[], rest?: Record<string, unknown>) =>
    sliceProblems(endpoints, rest);
  assert.deepEqual(problems([], { addressType: null }), ['addressType: is missing']);
  assert.deepEqual(problems([{}]), ['endpoints[0].addresses: is missing']);
  assert.deepEqual(problems([endpoint('fd00::1')]), [
    'endpoints[0].addresses[0]: expected an IPv4 address but received fd00::1',
  ]);
  assert.deepEqual(problems([endpoint('169.254.0.1')]), [
    'endpoints[0].addresses[0]: may not be a link-local address (169.254.0.1)',
  ]);
  assert.deepEqual(problems([endpoint('10.244.1.2', { ready: 'yes' })]), [
    'endpoints[0].conditions.ready: expected true or false but received "yes"',
  ]);
  const hint = (forZones: unknown) => problems([{ ...endpoint('10.244.1.2'), hints: { forZones } }]);
  assert.deepEqual(hint([{}]), ['endpoints[0].hints.forZones[0].name: is missing']);
  assert.deepEqual(hint(Array(9).fill({ name: 'z1' })), [
    'endpoints[0].hints.forZones: expected at most 8 entries but received 9',
  ]);
  assert.deepEqual(problems([], { ports: [{ port: 1 }, { port: 70000 }] }), [
    'ports[1].name: is the same as of an earlier port',
    'ports[1].port: expected a whole number in 0..65535 but received 70000',
  ]);
});

test('what the API server refused is refused, and nothing else that it was given', () => {
  const cases = globSync('test/oracle/kube-proxy/*/*.json').flatMap(readCases);
  assert.notEqual(cases.length, 0);
  for (const recorded of cases) {
    const problems = recorded.steps.flatMap((step) => ingest(step.objects, recorded.name).problems);
    assert.equal(problems.length > 0, recorded.refusedByAPI ?? false, `${recorded.name}: ${problems[0]}`);
  }
});
