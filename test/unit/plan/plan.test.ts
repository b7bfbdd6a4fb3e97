// SPDX-License-Identifier: Apache-2.0
// The rules of planning that recordings of kube-proxy cannot show, and each of the others once by itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatSave } from '../../../src/cli/format-save.ts';
import { ingest } from '../../../src/kube/ingest.ts';
import { parseCidr } from '../../../src/model/cidr.ts';
import type { NodeView, PlanConfig } from '../../../src/plan/desired-state.ts';
import { nodePortAddresses } from '../../../src/plan/node-port-addresses.ts';
import { plan } from '../../../src/plan/plan.ts';
import { externalWeb, nodeOne, podFour, podOne, podTwo, serviceWeb } from '../../lib/cast.ts';
import { endpoint, serviceManifest, sliceManifest } from '../../lib/manifests/objects.ts';

const node: NodeView = {
  name: 'node-one',
  addresses: [nodeOne.v4, nodeOne.v6, '127.0.0.1', '::1', 'fe80::1'],
};
const config: PlanConfig = { families: [4, 6], scheduler: 'rr', nodePortAddresses: [] };

function planned(documents: readonly unknown[], changes: Partial<PlanConfig> = {}) {
  const objects = ingest(documents, 'test');
  assert.deepEqual(objects.problems, []);
  return plan(objects, node, { ...config, ...changes });
}

const lines = (documents: readonly unknown[], changes: Partial<PlanConfig> = {}) =>
  formatSave(planned(documents, changes).services);

const destinations = (slices: readonly unknown[]) =>
  lines([serviceManifest(), ...slices])
    .slice(1)
    .map((line) => line.split(' ')[4]);

test('destinations have weight 1, masquerade, and are added in the order of their text', () => {
  const slice = sliceManifest([endpoint('10.244.1.3'), endpoint('10.244.1.20'), endpoint('10.244.1.2')]);
  assert.deepEqual(planned([serviceManifest(), slice]).services, [
    {
      protocol: 'tcp',
      address: serviceWeb.v4,
      port: 80,
      scheduler: 'rr',
      schedulerFlags: [],
      noDestination: 'reject',
      destinations: ['10.244.1.20', '10.244.1.2', '10.244.1.3'].map((address) => ({
        address,
        port: 8080,
        weight: 1,
        forwarding: 'masq',
      })),
    },
  ]);
});

test('the scheduler mh hashes ports too', () => {
  assert.deepEqual(lines([serviceManifest()], { scheduler: 'mh' }), ['-A -t 10.96.0.80:80 -s mh -b mh-port']);
});

test('a family that is not configured is not served', () => {
  const dual = serviceManifest({ clusterIP: serviceWeb.v4, clusterIPs: [serviceWeb.v4, serviceWeb.v6] });
  assert.deepEqual(lines([dual], { families: [6] }), ['-A -t [fd00:10:96::80]:80 -s rr']);
});

test('a port answers on the cluster IP, external IPs, load-balancer IPs of mode VIP, and as node port', () => {
  const service = serviceManifest(
    {
      type: 'LoadBalancer',
      externalIPs: [externalWeb.v4, externalWeb.v6],
      ports: [{ port: 80, nodePort: 30080 }],
    },
    {
      status: {
        loadBalancer: { ingress: [{ ip: '198.51.100.90' }, { ip: '198.51.100.91', ipMode: 'Proxy' }] },
      },
    },
  );
  assert.deepEqual(lines([service]), [
    '-A -t 10.96.0.80:80 -s rr',
    '-A -t 192.0.2.11:30080 -s rr',
    '-A -t 198.51.100.80:80 -s rr',
    '-A -t 198.51.100.90:80 -s rr',
  ]);
});

test('a forgotten cluster IP is a warning, a headless service is none', () => {
  const headless = serviceManifest({ clusterIP: 'None' }, { metadata: { name: 'headless' } });
  const { services, warnings } = planned([serviceManifest({ clusterIP: '' }), headless]);
  assert.deepEqual(services, []);
  assert.deepEqual(warnings, [
    { service: 'default/web', message: 'spec.clusterIP is empty: nothing is served' },
  ]);
});

test('an endpoint that serves but is neither ready nor terminating gets nothing', () => {
  const serving = endpoint(podOne.v4, { ready: false, serving: true, terminating: false });
  assert.deepEqual(destinations([sliceManifest([serving])]), []);
});

test('terminating endpoints that serve are used only while none is ready', () => {
  const leaving = endpoint(podOne.v4, { ready: false, serving: true, terminating: true });
  assert.deepEqual(destinations([sliceManifest([leaving])]), ['10.244.1.2:8080']);
  assert.deepEqual(destinations([sliceManifest([leaving, endpoint(podTwo.v4)])]), ['10.244.1.3:8080']);
});

test('of two copies of an endpoint the ready one counts, whatever the order of the slices', () => {
  const slice = (name: string, ready: boolean) =>
    sliceManifest([endpoint(podOne.v4, { ready })], {
      metadata: { name, labels: { 'kubernetes.io/service-name': 'web' } },
    });
  const pairs = [
    [slice('a', true), slice('b', false)],
    [slice('a', false), slice('b', true)],
  ];
  for (const pair of pairs) {
    assert.deepEqual(destinations(pair), ['10.244.1.2:8080']);
    assert.deepEqual(destinations(pair.toReversed()), ['10.244.1.2:8080']);
  }
});

test('of two copies of an endpoint the one that is not terminating counts, even if it is not ready', () => {
  const copies = [{ ready: true, terminating: true }, { ready: false }];
  for (const order of [copies, copies.toReversed()]) {
    const slice = sliceManifest(order.map((conditions) => endpoint(podOne.v4, conditions)));
    assert.deepEqual(destinations([slice]), []);
  }
});

test('slices that are labelled as headless, or name no service, are left out', () => {
  const labelled = (labels: Record<string, string>) =>
    sliceManifest([endpoint(podOne.v4)], { metadata: { name: 'web-b', labels } });
  const name = { 'kubernetes.io/service-name': 'web' };
  assert.deepEqual(destinations([labelled(name)]), ['10.244.1.2:8080']);
  assert.deepEqual(destinations([labelled({ ...name, 'service.kubernetes.io/headless': '' })]), []);
  assert.deepEqual(destinations([labelled({})]), []);
});

test('the older service keeps a front end that two claim, and the other loses only that', () => {
  const claim = (name: string, clusterIP: string, creationTimestamp?: string) =>
    serviceManifest({ clusterIP, externalIPs: [externalWeb.v4] }, { metadata: { name, creationTimestamp } });
  const slice = (name: string, address: string) =>
    sliceManifest([endpoint(address)], {
      metadata: { name, labels: { 'kubernetes.io/service-name': name } },
    });
  const documents = [
    claim('a-none', '10.96.0.1'),
    claim('b-new', '10.96.0.2', '2026-01-02T00:00:00Z'),
    claim('c-newer', '10.96.0.3', '2026-01-01T23:00:00-02:00'),
    claim('d-oldest', '10.96.0.4', '2026-01-01T00:00:00Z'),
    slice('d-oldest', podFour.v4),
  ];
  for (const order of [documents, documents.toReversed()]) {
    const { services, conflicts } = planned(order);
    assert.deepEqual(services.map((each) => each.address).sort(), [
      '10.96.0.1',
      '10.96.0.2',
      '10.96.0.3',
      '10.96.0.4',
      '198.51.100.80',
    ]);
    assert.equal(
      services.find((each) => each.address === externalWeb.v4)?.destinations[0]?.address,
      podFour.v4,
    );
    const virtualService = { protocol: 'tcp', address: externalWeb.v4, port: 80 };
    assert.deepEqual(
      conflicts,
      ['default/b-new', 'default/c-newer', 'default/a-none'].map((loser) => ({
        virtualService,
        winner: 'default/d-oldest',
        loser,
      })),
    );
  }
});

const addresses = ['10.0.0.1', '10.1.0.1', '127.0.0.1', 'fd00::1', 'fe80::1', '::1'];
const addressRows: readonly [string, readonly string[], readonly string[], readonly string[]][] = [
  ['no CIDR', [], ['10.0.0.1', '10.1.0.1'], ['fd00::1']],
  ['a CIDR of one family', ['10.1.0.0/16'], ['10.1.0.1'], ['fd00::1']],
  ['a CIDR that matches nothing', ['192.168.0.0/16', 'fd01::/16'], [], []],
  ['a zero CIDR beside others', ['10.1.0.0/16', '0.0.0.0/0', '::/0'], ['10.0.0.1', '10.1.0.1'], ['fd00::1']],
  ['the loopback CIDRs', ['127.0.0.0/8', '::1/128'], [], []],
  ['a link-local CIDR', ['fe80::/10'], ['10.0.0.1', '10.1.0.1'], ['fe80::1']],
  ['a CIDR with bits beyond its length', ['10.1.2.3/16'], ['10.1.0.1'], ['fd00::1']],
];
for (const [what, texts, v4, v6] of addressRows) {
  test(`node ports with ${what} answer on ${[...v4, ...v6].join(', ') || 'nothing'}`, () => {
    const cidrs = texts.flatMap((text) => parseCidr(text) ?? []);
    assert.equal(cidrs.length, texts.length);
    assert.deepEqual(nodePortAddresses(addresses, 4, cidrs), v4);
    assert.deepEqual(nodePortAddresses(addresses, 6, cidrs), v6);
  });
}
