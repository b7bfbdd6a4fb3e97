// SPDX-License-Identifier: Apache-2.0
// Links that carry more than frames of 1500 bytes.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { serviceWeb } from '../lib/cast.ts';
import { NodeAgent } from '../lib/daemon.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { Client } from '../lib/traffic/client.ts';
import { Servers } from '../lib/traffic/server.ts';

const port = 8080;
const megabytes = 1 << 20;

suite('links', { skip: missingForLab() ?? false }, () => {
  test('jumbo frames to a virtual address arrive whole, datagrams of 8900 bytes and streams alike', async () => {
    await using lab = await Lab.create({ name: 'test-links' });
    const [node] = lab.nodes;
    const [server, pod] = node.pods;
    assert.ok(server && pod);
    for (const each of [server, pod]) {
      for (const [host, device] of [
        [each, 'eth0'],
        [node, each.hostDevice],
      ] as const) {
        await host.mustRun(['ip', 'link', 'set', device, 'mtu', '9000']);
      }
    }
    await using _servers = await Servers.start([server], { tcp: [port], udp: [port] });
    await using agent = new NodeAgent(lab, node);
    agent.write(dualServiceManifests({ name: 'web', at: serviceWeb, endpoints: [server.addresses] }));
    await agent.start();
    await using client = await Client.start(pod);
    for (const family of ['v4', 'v6'] as const) {
      const target = { address: serviceWeb[family], port: serviceWeb.port };
      const [answer] = await client.udp({ ...target, connected: true, size: 8900 });
      assert.equal(answer?.outcome, 'reply', family);
      await using connection = await client.open({ protocol: 'tcp', ...target });
      const done = { outcome: 'done', bytes: 64 * megabytes, firstDifference: null };
      assert.deepEqual(await connection.receive(64 * megabytes), done, family);
      assert.deepEqual(await connection.send(64 * megabytes), done, family);
    }
  });
});
