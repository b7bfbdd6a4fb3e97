// SPDX-License-Identifier: Apache-2.0
// Traffic policies, source ranges and leaving endpoints, with real clients in pods, on the node and outside.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { BpfMaps } from '../../src/dataplane/bpf/bpf-maps.ts';
import { layouts } from '../../src/dataplane/bpf/layouts.ts';
import { decode } from '../../src/dataplane/bpf/struct.ts';
import { BpfView, openBpfView } from '../../src/dataplane/bpf/view.ts';
import { addressBytes } from '../../src/model/address.ts';
import { serviceFamily } from '../../src/model/virtual-service.ts';
import { clientOne, type ServiceAddress } from '../lib/cast.ts';
import type { Fields, NodeAgent } from '../lib/daemon.ts';
import { type ClientName, type FamilyName, FlowLab, families } from '../lib/flows.ts';
import type { Pod } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { Client } from '../lib/traffic/client.ts';

/** Longer than any answer takes on a busy machine, and as long as silence is listened to. */
const patientMs = 5000;
const silentMs = 500;
const clusterIp: ServiceAddress = { v4: '10.96.0.85', v6: 'fd00:10:96::85', port: 80 };
const loadBalancerIp: ServiceAddress = { v4: '198.51.100.85', v6: 'fd00:198:51:100::85', port: 80 };

suite('policies', { skip: missingForLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let flows: FlowLab;
  let agent: NodeAgent;

  before(async () => {
    flows = resources.use(await FlowLab.start(await Lab.create({ name: 'test-policies', cni: 'ptp' })));
    agent = resources.use(flows.agent());
    await agent.start();
  });
  after(() => resources.disposeAsync());

  /** A service of type LoadBalancer with these endpoints, each on its node. */
  async function serve(pods: readonly Pod[], spec: Fields): Promise<void> {
    const manifests = dualServiceManifests({
      name: 'policies',
      at: clusterIp,
      endpoints: pods.map((pod) => pod.addresses),
      nodePort: 30085,
      loadBalancerIps: [loadBalancerIp],
      protocols: ['TCP'],
    });
    const [service, ...slices] = manifests as [Fields, ...Fields[]];
    const onNodes = slices.map((slice) => ({
      ...slice,
      endpoints: (slice.endpoints as Fields[]).map((each, i) => ({
        ...each,
        nodeName: pods[i] === flows.there ? flows.lab.nodes[1].name : flows.lab.nodes[0].name,
      })),
    }));
    agent.write(
      [{ ...service, spec: { ...(service.spec as Fields), ...spec } }, ...onNodes],
      'policies.json',
    );
    while (!isServed(pods, spec)) await setTimeout(20);
  }

  /** Whether the maps hold what was written last. */
  function isServed(pods: readonly Pod[], spec: Fields): boolean {
    using maps = BpfMaps.openPinned(agent.pinDirectory);
    using view = new BpfView(maps);
    const isLocal = spec.externalTrafficPolicy === 'Local';
    const own = view
      .services()
      .filter(({ address }) => [loadBalancerIp.v4, loadBalancerIp.v6].includes(address ?? ''));
    const served = (destinations: readonly { address: string; weight: number }[]) =>
      destinations
        .flatMap(({ address, weight }) => (weight > 0 ? address : []))
        .sort()
        .join();
    const wanted = (family: FamilyName) =>
      pods
        .map((pod) => pod.addresses[family])
        .sort()
        .join();
    const ranges = Array.from(maps.get('source_ranges').keys(), (key) => {
      const { prefix_length, address } = decode(layouts.source_range, key);
      return `${Buffer.from(address).toString('hex')}/${prefix_length - 32}`;
    });
    const wantedRanges = ((spec.loadBalancerSourceRanges ?? []) as string[]).map((text) => {
      const [address = '', length] = text.split('/');
      return `${Buffer.from(addressBytes(address)).toString('hex')}/${length}`;
    });
    return (
      own.length === 2 &&
      own.every(({ outside }) => (outside !== undefined) === isLocal) &&
      own.every((each) => served(each.destinations) === wanted(serviceFamily(each) === 4 ? 'v4' : 'v6')) &&
      ranges.sort().join() === wantedRanges.sort().join()
    );
  }

  /** Who answered some connections of both families, each once, or what came instead. */
  async function answers(
    from: ClientName,
    { v4, v6, port }: ServiceAddress,
    waitMs = patientMs,
  ): Promise<readonly string[]> {
    const all: string[] = [];
    await using host = from === 'host' ? await Client.start(agent.host) : undefined;
    const client = host ?? flows.client(from as Exclude<ClientName, 'host'>);
    for (const address of [v4, v6]) {
      for (let i = 0; i < (waitMs === patientMs ? 4 : 1); i++) {
        const answer = await flows.ask(client, 'tcp', address, port, waitMs);
        all.push(answer.outcome === 'reply' ? answer.server : answer.outcome);
      }
    }
    return [...new Set(all)].sort();
  }

  function count(reason: string): bigint {
    using view = openBpfView(agent.pinDirectory);
    return view.reasons().get(reason) ?? 0n;
  }

  test('externalTrafficPolicy Local: clients outside get the endpoints of the node, pods and the node get all', async () => {
    await serve([flows.here, flows.there], { externalTrafficPolicy: 'Local' });
    assert.deepEqual(await answers('outside', loadBalancerIp), ['n1-pod1']);
    for (const from of ['pod', 'host'] as const)
      assert.deepEqual(await answers(from, loadBalancerIp), ['n1-pod1', 'n2-pod1'], from);
    await serve([flows.there], { externalTrafficPolicy: 'Local' });
    assert.deepEqual(await answers('outside', loadBalancerIp, silentMs), ['timeout']);
    assert.ok(count('dropped_no_destination') >= 2n);
    for (const from of ['pod', 'host'] as const)
      assert.deepEqual(await answers(from, loadBalancerIp), ['n2-pod1'], from);
    await serve([], { externalTrafficPolicy: 'Local' });
    assert.deepEqual(await answers('outside', loadBalancerIp), ['refused']);
  });

  test('internalTrafficPolicy Local: cluster IPs lead to the endpoints of the node alone', async () => {
    await serve([flows.here, flows.there], { internalTrafficPolicy: 'Local' });
    assert.deepEqual(await answers('pod', clusterIp), ['n1-pod1']);
    assert.deepEqual(await answers('pod', loadBalancerIp), ['n1-pod1', 'n2-pod1']);
    await serve([flows.there], { internalTrafficPolicy: 'Local' });
    assert.deepEqual(await answers('pod', clusterIp, silentMs), ['timeout']);
  });

  test('source ranges let in whom they name, and drop everybody else', async () => {
    await serve([flows.here], { loadBalancerSourceRanges: ['203.0.113.0/24', 'fd00:203:0:113::/64'] });
    for (const from of ['outside', 'pod', 'host'] as const)
      assert.deepEqual(await answers(from, loadBalancerIp, silentMs), ['timeout'], from);
    assert.deepEqual(await answers('outside', clusterIp), ['n1-pod1']);
    const ranges = [`${clientOne.v4}/32`, `${clientOne.v6}/128`];
    await serve([flows.here], { loadBalancerSourceRanges: ranges });
    assert.deepEqual(await answers('outside', loadBalancerIp), ['n1-pod1']);
    assert.deepEqual(await answers('pod', loadBalancerIp, silentMs), ['timeout']);
  });

  for (const family of families) {
    test(`${family}: a connection goes on while its endpoint drains, and new ones go elsewhere`, async () => {
      await serve([flows.here], {});
      const { [family]: address, port } = clusterIp;
      await using held = await flows
        .client('pod')
        .open({ protocol: 'tcp', address, port, timeoutMs: 10_000 });
      assert.equal((await held.ask()).outcome, 'reply');
      await serve([flows.there], {});
      const again = await held.ask();
      assert.deepEqual([again.outcome, again.outcome === 'reply' && again.server], ['reply', 'n1-pod1']);
      assert.deepEqual(await answers('pod', clusterIp), ['n2-pod1']);
      assert.match(
        await agent.bpvsadm('-Ln'),
        /-> \[?10\.244\.1\.2\]?:8080 +Masq +0 |-> \[fd00:10:244:1::2\]:8080 +Masq +0 /,
      );
    });
  }
});
