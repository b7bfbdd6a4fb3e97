// SPDX-License-Identifier: Apache-2.0
// Which endpoints serve whom under the traffic policies, and what clients get where there is none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { externalWeb, nodeOne, podFour, podOne, serviceWeb } from '../../lib/cast.ts';
import { serviceManifest, sliceManifest } from '../../lib/manifests/objects.ts';
import { planned, type Views, viewsByAddress } from '../../lib/planned.ts';

type Condition = 'ready' | 'leaving' | 'unready';

const conditions: Readonly<Record<Condition, Record<string, boolean>>> = {
  ready: { ready: true },
  leaving: { ready: false, serving: true, terminating: true },
  unready: { ready: false, serving: true },
};

const on = (nodeName: string, address: string, condition: Condition) => ({
  addresses: [address],
  nodeName,
  conditions: conditions[condition],
});
const here = (condition: Condition) => on('node-one', podOne.v4, condition);
const there = (condition: Condition) => on('node-two', podFour.v4, condition);

const [local, remote] = [podOne.v4, podFour.v4];
const clusterIp = `${serviceWeb.v4}:80`;
const outsideAddresses = [`${nodeOne.v4}:30080`, `${externalWeb.v4}:80`, '198.51.100.90:80'];

/** A service with every kind of address. */
function views(policies: Record<string, string>, endpoints: readonly object[]): ReadonlyMap<string, Views> {
  const service = serviceManifest(
    {
      type: 'LoadBalancer',
      externalIPs: [externalWeb.v4],
      ports: [{ port: 80, nodePort: 30080 }],
      ...policies,
    },
    { status: { loadBalancer: { ingress: [{ ip: '198.51.100.90' }] } } },
  );
  return viewsByAddress(planned([service, sliceManifest(endpoints as never)]).services);
}

const all = (addresses: readonly string[], without = 'reject'): Views => ({
  inside: addresses,
  outside: addresses,
  without: [without, without],
});

test('without a policy every client gets every endpoint at every address, or a reject', () => {
  const both = views({}, [here('ready'), there('ready')]);
  for (const address of [clusterIp, ...outsideAddresses])
    assert.deepEqual(both.get(address), all([local, remote]));
  for (const [, none] of views({}, [here('unready')])) assert.deepEqual(none, all([]));
});

interface Row {
  readonly title: string;
  readonly endpoints: readonly object[];
  /** At the cluster IP with internalTrafficPolicy Local. */
  readonly internal: Views;
  /** At all other addresses with externalTrafficPolicy Local. */
  readonly external: Views;
}

const rows: readonly Row[] = [
  {
    title: 'endpoints on both nodes',
    endpoints: [here('ready'), there('ready')],
    internal: all([local], 'drop'),
    external: { inside: [local, remote], outside: [local], without: ['reject', 'drop'] },
  },
  {
    title: 'endpoints on the other node only',
    endpoints: [there('ready')],
    internal: all([], 'drop'),
    external: { inside: [remote], outside: [], without: ['reject', 'drop'] },
  },
  {
    title: 'no endpoint anywhere',
    endpoints: [],
    internal: all([], 'reject'),
    external: { inside: [], outside: [], without: ['reject', 'reject'] },
  },
  {
    title: 'a leaving endpoint here, a ready one there',
    endpoints: [here('leaving'), there('ready')],
    internal: all([local], 'drop'),
    external: { inside: [remote], outside: [local], without: ['reject', 'drop'] },
  },
  {
    title: 'a ready endpoint here, a leaving one there',
    endpoints: [here('ready'), there('leaving')],
    internal: all([local], 'drop'),
    external: { inside: [local], outside: [local], without: ['reject', 'drop'] },
  },
  {
    title: 'only leaving endpoints',
    endpoints: [here('leaving'), there('leaving')],
    internal: all([local], 'drop'),
    external: { inside: [local, remote], outside: [local], without: ['reject', 'drop'] },
  },
  {
    title: 'an endpoint here that only serves',
    endpoints: [here('unready')],
    internal: all([], 'reject'),
    external: { inside: [], outside: [], without: ['reject', 'reject'] },
  },
];

for (const { title, endpoints, internal, external } of rows) {
  test(`internalTrafficPolicy Local holds at the cluster IP for all clients: ${title}`, () => {
    const actual = views({ internalTrafficPolicy: 'Local' }, endpoints);
    assert.deepEqual(actual.get(clusterIp), internal);
    for (const address of outsideAddresses)
      assert.deepEqual(actual.get(address), all(external.inside), address);
  });

  test(`externalTrafficPolicy Local holds at all other addresses for clients outside: ${title}`, () => {
    const actual = views({ externalTrafficPolicy: 'Local' }, endpoints);
    for (const address of outsideAddresses) assert.deepEqual(actual.get(address), external, address);
    assert.deepEqual(actual.get(clusterIp), all(external.inside));
  });
}

test('an endpoint without a node is on no node', () => {
  const actual = views({ internalTrafficPolicy: 'Local' }, [{ addresses: [local] }]);
  assert.deepEqual(actual.get(clusterIp), all([], 'drop'));
});

test('topology hints do not choose among the endpoints of policy Local', () => {
  const hinted = { ...here('ready'), hints: { forZones: [{ name: 'z2' }] } };
  const other = { ...there('ready'), hints: { forZones: [{ name: 'z1' }] } };
  assert.deepEqual(views({ externalTrafficPolicy: 'Local' }, [hinted, other]).get(`${externalWeb.v4}:80`), {
    inside: [remote],
    outside: [local],
    without: ['reject', 'drop'],
  });
});
