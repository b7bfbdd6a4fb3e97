// SPDX-License-Identifier: Apache-2.0
// The daemon on a node, from a folder of manifests to answered requests.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { suite, test } from 'node:test';
import { serviceWeb } from '../lib/cast.ts';
import { NodeAgent } from '../lib/daemon.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { endpoint, serviceManifest, sliceManifest } from '../lib/manifests/objects.ts';
import { Client, tally } from '../lib/traffic/client.ts';
import { Servers } from '../lib/traffic/server.ts';

suite('the daemon', { skip: missingForLab() ?? false }, () => {
  test('a pod and a process of the host reach a cluster IP, and cleanup leaves nothing', async () => {
    await using lab = await Lab.create({ name: 'test-daemon', podsPerNode: 2 });
    const [one, two] = lab.nodes;
    const [server, pod] = one.pods;
    const [remote] = two.pods;
    assert.ok(server && pod && remote);
    await using agent = new NodeAgent(lab, one);
    await using _servers = await Servers.start(lab.pods, { tcp: [8080] });
    agent.write([
      serviceManifest(),
      sliceManifest([endpoint(server.addresses.v4), endpoint(remote.addresses.v4)]),
    ]);
    assert.equal(await agent.start(), 'bpvs: ready, 1 virtual services, 3 devices');
    const request = { address: serviceWeb.v4, port: serviceWeb.port, count: 4 };
    for (const host of [pod, agent.host]) {
      await using client = await Client.start(host);
      assert.deepEqual(tally(await client.tcp(request)), { 'n1-pod1': 2, 'n2-pod1': 2 });
    }
    assert.equal(await agent.stop(), 0);
    assert.equal((await agent.command('cleanup')).code, 0);
    assert.equal(existsSync(agent.pinDirectory), false);
  });
});
