// SPDX-License-Identifier: Apache-2.0
// Who of a Service's endpoints serves whom: traffic policies, topology hints, source ranges, affinity.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { clientOne, externalWeb, loadBalancerWeb } from '../lib/cast.ts';
import { ClusterLab, isWhole, missingForClusterLab, patientMs } from '../lib/cluster/cluster-lab.ts';
import { setReady } from '../lib/cluster/objects.ts';
import { until } from '../lib/until.ts';

const clusterIp = { address: '10.96.0.85', port: 80 };
const loadBalancer = { address: loadBalancerWeb.v4, port: 80 };
const external = { address: externalWeb.v4, port: 80 };
const nodePort = 30085;

suite('the policies of a Service', { skip: missingForClusterLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: ClusterLab;

  before(async () => {
    lab = resources.use(await ClusterLab.start('test-policy'));
  });
  after(() => resources.disposeAsync());

  const here = ['n1-pod2', 'n1-pod3'];
  const there = ['n2-pod2', 'n2-pod3'];
  const everyone = [...here, ...there];

  function serve(more: Readonly<Record<string, unknown>>): Promise<void> {
    const spec = {
      type: 'LoadBalancer',
      clusterIP: clusterIp.address,
      externalIPs: [external.address],
      selector: { app: 'web' },
      ports: [{ port: 80, targetPort: 8080, nodePort }],
      ...more,
    };
    return lab.serve('web', spec, [loadBalancer.address]);
  }

  function setAllReady(pods: readonly string[], isReady: boolean): Promise<unknown> {
    return Promise.all(pods.map((pod) => setReady(lab.cluster, pod, isReady)));
  }

  test('externalTrafficPolicy Local leads clients outside to the endpoints of the node they come to, and others to all', async () => {
    await serve({ externalTrafficPolicy: 'Local' });
    for (const { address, port } of [loadBalancer, external]) {
      await lab.becomes('outside', { address, port }, here);
      for (const from of ['pod', 'host', 'remote'] as const)
        await lab.becomes(from, { address, port }, everyone);
    }
    const [one, two] = lab.lab.nodes.map(({ addresses }) => ({ address: addresses.v4, port: nodePort }));
    assert.ok(one && two);
    await lab.becomes('outside', one, here);
    await lab.becomes('outside', two, there);
    const [answer] = await (await lab.client('outside')).tcp(two);
    assert.equal(answer?.outcome === 'reply' && answer.client.address, clientOne.v4);
  });

  test('externalTrafficPolicy Local without an endpoint on the node answers clients outside nothing, so that they try another', async () => {
    await setAllReady(here, false);
    await lab.becomes('outside', loadBalancer, ['timeout']);
    await lab.becomes('pod', loadBalancer, there);
    const two = { address: lab.lab.nodes[1].addresses.v4, port: nodePort };
    await lab.becomes('outside', two, there);
    await setAllReady(here, true);
    await lab.becomes('outside', loadBalancer, here);
  });

  test('internalTrafficPolicy Local leads clients of the cluster IP to the endpoints of their node alone', async () => {
    await serve({ internalTrafficPolicy: 'Local' });
    for (const from of ['pod', 'host'] as const) await lab.becomes(from, clusterIp, here);
    await lab.becomes('remote', clusterIp, there);
    await lab.becomes('pod', loadBalancer, everyone);
    await setAllReady(here, false);
    await lab.becomes('pod', clusterIp, ['timeout']);
    await lab.becomes('remote', clusterIp, there);
    await setAllReady(here, true);
    await lab.becomes('pod', clusterIp, here);
  });

  for (const distribution of isWhole ? ['PreferSameZone', 'PreferSameNode'] : ['PreferSameZone']) {
    test(`with trafficDistribution ${distribution} the controller's hints are followed while each endpoint has them`, async () => {
      await serve({ trafficDistribution: distribution });
      await lab.becomes('pod', clusterIp, here);
      await lab.becomes('remote', clusterIp, there);
      await setAllReady(here, false);
      await lab.becomes('pod', clusterIp, there);
      await setAllReady(here, true);
      await lab.becomes('pod', clusterIp, here);
      await serve({});
      await lab.becomes('pod', clusterIp, everyone);
    });
  }

  test('loadBalancerSourceRanges keep others from the load-balancer IP, and from nothing else', async () => {
    await serve({ loadBalancerSourceRanges: ['203.0.113.0/24'] });
    for (const from of ['outside', 'pod', 'host', 'remote'] as const)
      await lab.becomes(from, loadBalancer, ['timeout']);
    for (const place of [clusterIp, external]) await lab.becomes('outside', place, everyone);
    await serve({ loadBalancerSourceRanges: ['203.0.113.0/24', `${clientOne.v4}/32`] });
    await lab.becomes('outside', loadBalancer, everyone);
    await lab.becomes('pod', loadBalancer, ['timeout']);
    await serve({});
    await lab.becomes('pod', loadBalancer, everyone);
  });

  test('with sessionAffinity a client stays at one endpoint until that goes, and without it at none', async () => {
    await serve({ sessionAffinity: 'ClientIP' });
    const sticks = async () => {
      const found = await until(
        () => lab.answers('pod', clusterIp, 12),
        (each) => Object.keys(each).length === 1,
        patientMs,
      );
      const [name = '', ...others] = Object.keys(found);
      assert.deepEqual(others, []);
      return name;
    };
    const first = await sticks();
    assert.ok(everyone.includes(first));
    await setReady(lab.cluster, first, false);
    await until(sticks, (name) => name !== first, patientMs);
    const second = await sticks();
    assert.notEqual(second, first);
    await setReady(lab.cluster, first, true);
    assert.equal(await sticks(), second);
    await serve({ sessionAffinity: 'None' });
    await lab.becomes('pod', clusterIp, everyone);
  });
});
