// SPDX-License-Identifier: Apache-2.0
// Every address of a Service, in both families, for every client; and what clients get there without endpoints.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { nodeOne, nodeTwo } from '../lib/cast.ts';
import {
  type ClientName,
  ClusterLab,
  missingForClusterLab,
  type Place,
  patientMs,
} from '../lib/cluster/cluster-lab.ts';
import { until } from '../lib/until.ts';

const families = ['v4', 'v6'] as const;
const protocols = ['tcp', 'udp'] as const;
const clients: readonly ClientName[] = ['pod', 'remote', 'host', 'outside'];
const nodePort = 30080;
const port = 80;

const addresses = {
  ClusterIP: { v4: '10.96.0.80', v6: 'fd00:10:96::80' },
  externalIPs: { v4: '198.51.100.80', v6: 'fd00:198:51:100::80' },
  LoadBalancer: { v4: '198.51.100.90', v6: 'fd00:198:51:100::90' },
  'NodePort of node one': nodeOne,
  'NodePort of node two': nodeTwo,
};
type Kind = keyof typeof addresses;
const kinds = Object.keys(addresses) as Kind[];

suite('the addresses of a Service', { skip: missingForClusterLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: ClusterLab;

  before(async () => {
    lab = resources.use(await ClusterLab.start('test-addresses'));
  });
  after(() => resources.disposeAsync());

  const everyone = ['n1-pod2', 'n1-pod3', 'n2-pod2', 'n2-pod3'];

  function serve(selector: Readonly<Record<string, string>>, more: Readonly<Record<string, unknown>> = {}) {
    const each = { port, targetPort: 8080, nodePort };
    const spec = {
      type: 'LoadBalancer',
      clusterIP: addresses.ClusterIP.v4,
      clusterIPs: Object.values(addresses.ClusterIP),
      ipFamilyPolicy: 'RequireDualStack',
      externalIPs: Object.values(addresses.externalIPs),
      selector,
      ports: [
        { ...each, name: 'tcp', protocol: 'TCP' },
        { ...each, name: 'udp', protocol: 'UDP' },
      ],
      ...more,
    };
    return lab.serve('web', spec, Object.values(addresses.LoadBalancer));
  }

  function place(kind: Kind, family: 'v4' | 'v6', protocol: 'tcp' | 'udp'): Place {
    const isNodePort = kind.startsWith('NodePort');
    return { address: addresses[kind][family], port: isNodePort ? nodePort : port, protocol };
  }

  /** Whom the clients of each kind are answered by. */
  async function all(family: 'v4' | 'v6', who: readonly string[]): Promise<void> {
    const asked = kinds.flatMap((kind) => protocols.map((protocol) => place(kind, family, protocol)));
    for (const from of clients) await Promise.all(asked.map((each) => lab.becomes(from, each, who)));
  }

  for (const family of families) {
    test(`${family}: ClusterIP, externalIPs, LoadBalancer and NodePort lead pods, nodes and clients outside to all endpoints`, async () => {
      await serve({ app: 'web' });
      await all(family, everyone);
    });
  }

  for (const family of families) {
    test(`${family}: without endpoints every client is refused at every address, at once, and served when there are some again`, async () => {
      await serve({ app: 'nothing' });
      await all(family, ['refused']);
      await serve({ app: 'web' });
      await lab.becomes('pod', place('ClusterIP', family, 'tcp'), everyone);
    });
  }

  test('a Service that leaves dual stack loses the address of its second family alone, and gets it back', async () => {
    await serve({ app: 'web' });
    const [v4, v6] = families.map((family) => place('ClusterIP', family, 'tcp')) as [Place, Place];
    await lab.becomes('pod', v6, everyone);
    const patch = (policy: string, more = {}) => {
      const spec = JSON.stringify({ spec: { ipFamilyPolicy: policy, ...more } });
      return lab.cluster.kubectl(['patch', 'service', 'web', '--type=merge', '-p', spec]);
    };
    const addressesOf = async () => {
      const { spec } = (await lab.cluster.get('service', 'web')) as { spec: { clusterIPs: string[] } };
      return spec.clusterIPs;
    };
    await patch('SingleStack', { ipFamilies: ['IPv4'], clusterIP: v4.address, clusterIPs: [v4.address] });
    assert.deepEqual(await addressesOf(), [v4.address]);
    const listed = () => lab.agents[0].bpvsadm('-Ln');
    const listing = await until(listed, (text) => !text.includes(`[${v6.address}]`), patientMs);
    assert.ok(!listing.includes(`[${v6.address}]`), listing);
    assert.deepEqual(Object.keys(await lab.answers('pod', v4, 8)).sort(), everyone);
    await patch('RequireDualStack', { ipFamilies: ['IPv4', 'IPv6'], clusterIPs: [v4.address, v6.address] });
    await lab.becomes('pod', v6, everyone);
    assert.deepEqual(Object.keys(await lab.answers('pod', v4, 8)).sort(), everyone);
  });
});
