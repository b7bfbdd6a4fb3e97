// SPDX-License-Identifier: Apache-2.0
// Rejects where no device completes checksums for us: what leaves must be whole as it is.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { serviceEmpty } from '../lib/cast.ts';
import { NodeAgent } from '../lib/daemon.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { Client } from '../lib/traffic/client.ts';

suite('offloads', { skip: missingForLab() ?? false }, () => {
  test('a pod whose device completes no checksums is refused by a service without endpoints, at the first try', async () => {
    await using lab = await Lab.create({ name: 'test-offloads', cni: 'ptp' });
    const [node] = lab.nodes;
    const [pod] = node.pods;
    assert.ok(pod);
    await node.mustRun(['ethtool', '-K', pod.hostDevice, 'tx', 'off']);
    await using agent = new NodeAgent(lab, node);
    agent.write(dualServiceManifests({ name: 'empty', at: serviceEmpty, endpoints: [] }));
    await agent.start();
    await using client = await Client.start(pod);
    for (const family of ['v4', 'v6'] as const) {
      const target = { address: serviceEmpty[family], port: serviceEmpty.port };
      const [tcp] = await client.tcp({ ...target, timeoutMs: 2500 });
      assert.equal(tcp?.outcome, 'refused', `TCP over IP${family}`);
      const [udp] = await client.udp({ ...target, connected: true });
      assert.equal(udp?.outcome, 'refused', `UDP over IP${family}`);
    }
    const counters = await pod.mustRun(['cat', '/proc/net/snmp', '/proc/net/snmp6']);
    const [names = '', values = ''] = counters.split('\n').filter((line) => line.startsWith('Icmp: '));
    const wrong4 = values.split(' ')[names.split(' ').indexOf('InCsumErrors')];
    const wrong6 = /Icmp6InCsumErrors\s+(\d+)/.exec(counters)?.[1];
    assert.deepEqual({ wrong4, wrong6 }, { wrong4: '0', wrong6: '0' }, 'ICMP messages with a wrong checksum');
  });
});
