// SPDX-License-Identifier: Apache-2.0
// Outside clients of a node whose uplink has XDP; in the lab that is one end of a veth pair, which has a native mode, too.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { CapturedPacket } from '../lib/capture.ts';
import { externalWeb, loadBalancerWeb, serviceEmpty, serviceWeb } from '../lib/cast.ts';
import { mustRun } from '../lib/command.ts';
import { NodeAgent } from '../lib/daemon.ts';
import type { Host, Pod } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { Client } from '../lib/traffic/client.ts';
import { Servers } from '../lib/traffic/server.ts';

const port = 8080;
const nodePort = 30080;
const megabytes = 1 << 20;
/** Of the packet that ends a capture. */
const lastPort = 19_999;
const lastWithinMs = 60_000;
const externalEmpty = { v4: '198.51.100.99', v6: 'fd00:198:51:100::99' };
const withXdp = ['--xdp', 'native', '--xdp-devices', 'eth0'];

/** Whether a host's senders leave checksums and segments to devices, as with a NIC they would be gone from the wire. */
async function setOffloads(host: Host, isOn: boolean, device = 'eth0'): Promise<void> {
  await host.mustRun(['ethtool', '-K', device, 'tx', isOn ? 'on' : 'off']);
}

suite('XDP at an uplink', { skip: missingForLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: Lab;
  let agent: NodeAgent;
  let client: Client;
  let pod: Pod;

  before(async () => {
    lab = resources.use(await Lab.create({ name: 'test-xdp', podsPerNode: 1 }));
    [pod] = lab.pods as [Pod];
    resources.use(await Servers.start([pod], { tcp: [port], udp: [port] }));
    agent = resources.use(new NodeAgent(lab, lab.nodes[0]));
    agent.write([
      ...dualServiceManifests({
        name: 'web',
        at: serviceWeb,
        endpoints: [pod.addresses],
        nodePort,
        externalIps: [externalWeb],
        loadBalancerIps: [loadBalancerWeb],
      }),
      ...dualServiceManifests({
        name: 'empty',
        at: serviceEmpty,
        endpoints: [],
        externalIps: [externalEmpty],
      }),
    ]);
    client = resources.use(await Client.start(lab.client));
    // The pod takes no packet on trust: what is still to be summed up, the node sums up before the pod sees it.
    await setOffloads(lab.nodes[0], false, pod.hostDevice);
    await agent.start(...withXdp);
  });
  after(() => resources.disposeAsync());

  /** The outside client's packets meanwhile, as tcpdump sees them: behind XDP and before tc. */
  async function packetsBehindXdp(
    family: 'v4' | 'v6',
    action: () => Promise<unknown>,
  ): Promise<readonly CapturedPacket[]> {
    const address = lab.client.addresses[family];
    const capture = await agent.node.capture(`src host ${address} and (tcp or udp)`, { device: 'eth0' });
    await action();
    const last = capture.until((packet) => packet.sourcePort === lastPort, lastWithinMs);
    await client.udp({ address: pod.addresses[family], port, connected: true, sourcePort: lastPort });
    await last;
    return (await capture.stop()).filter(({ sourcePort }) => sourcePort !== lastPort);
  }

  for (const family of ['v4', 'v6'] as const) {
    for (const protocol of ['tcp', 'udp'] as const) {
      test(`${family} ${protocol}: an outside client reaches node port, external IP and load-balancer IP as itself, by XDP after the first packet`, async () => {
        await setOffloads(lab.client, false);
        const targets = [
          { address: agent.node.addresses[family], port: nodePort },
          { address: externalWeb[family], port: externalWeb.port },
          { address: loadBalancerWeb[family], port: loadBalancerWeb.port },
        ];
        const seen = await packetsBehindXdp(family, async () => {
          for (const target of targets) {
            await using connection = await client.open({ protocol, ...target });
            for (let i = 0; i < 2; i++) {
              const answer = await connection.ask();
              assert.ok(answer.outcome === 'reply', `${target.address}: ${answer.outcome}`);
              assert.equal(answer.server, pod.name);
              assert.equal(answer.client.address, lab.client.addresses[family]);
            }
          }
        });
        const byTc = seen.filter(({ target }) => target !== pod.addresses[family]);
        assert.deepEqual(
          byTc.map(({ target }) => target),
          targets.map(({ address }) => address),
        );
        assert.ok(seen.length > byTc.length);
      });
    }

    for (const isOn of [false, true]) {
      const by = isOn ? 'that leave their checksums to the device, by tc,' : 'with whole checksums, by XDP,';
      test(`${family}: 64 MiB each way in segments ${by} arrive whole`, async () => {
        await setOffloads(lab.client, isOn);
        const target = { address: externalWeb[family], port: externalWeb.port };
        await using connection = await client.open({ protocol: 'tcp', ...target });
        const whole = { outcome: 'done', bytes: 64 * megabytes, firstDifference: null };
        const seen = await packetsBehindXdp(family, async () => {
          assert.equal((await connection.ask()).outcome, 'reply');
        });
        assert.deepEqual(await connection.receive(64 * megabytes), whole);
        assert.deepEqual(await connection.send(64 * megabytes), whole);
        assert.deepEqual(targetsOf(seen), [isOn ? target.address : pod.addresses[family]]);
      });
    }

    test(`${family}: a service without destinations refuses an outside client at once, by tc`, async () => {
      await setOffloads(lab.client, false);
      const target = { address: externalEmpty[family], port: serviceEmpty.port };
      const [tcp] = await client.tcp(target);
      const [udp] = await client.udp({ ...target, connected: true });
      assert.deepEqual([tcp?.outcome, udp?.outcome], ['refused', 'refused']);
    });
  }

  for (const family of ['v4', 'v6'] as const) {
    test(`${family}: 64 MiB each way in frames of several buffers, 9000 bytes long, arrive whole, by XDP`, async () => {
      await setOffloads(lab.client, false);
      const lan = `/run/netns/${lab.name}-lan`;
      const ofLan = ['segment', 'client', 'node1'].map((name) => ['nsenter', `--net=${lan}`, ...mtu(name)]);
      for (const argv of ofLan) await mustRun(argv);
      for (const host of [lab.client, agent.node, pod]) await host.mustRun(mtu('eth0'));
      await agent.node.mustRun(mtu(pod.hostDevice));
      const target = { address: externalWeb[family], port: externalWeb.port };
      await using connection = await client.open({ protocol: 'tcp', ...target });
      const seen = await packetsBehindXdp(family, async () => {
        const whole = { outcome: 'done', bytes: 64 * megabytes, firstDifference: null };
        assert.deepEqual(await connection.receive(64 * megabytes), whole);
        assert.deepEqual(await connection.send(64 * megabytes), whole);
      });
      const large = seen.filter(({ detail }) => Number(/length (\d+)/.exec(detail)?.[1]) > 8000);
      // One whole packet in 65,536 looks as if a device had to complete its checksum, and is left to tc.
      const byXdp = large.filter(({ target }) => target === pod.addresses[family]);
      assert.ok(
        byXdp.length > 1000 && large.length - byXdp.length < 10,
        `${byXdp.length} of ${large.length}`,
      );
    });
  }
});

function mtu(device: string): readonly string[] {
  return ['ip', 'link', 'set', device, 'mtu', '9000'];
}

function targetsOf(packets: readonly CapturedPacket[]): readonly string[] {
  return [...new Set(packets.map(({ target }) => target))];
}
