// SPDX-License-Identifier: Apache-2.0
// Checksums that devices complete, or do not complete, for us.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { serviceEmpty, serviceWeb } from '../lib/cast.ts';
import { mustRun } from '../lib/command.ts';
import { NodeAgent } from '../lib/daemon.ts';
import type { Host } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { buildPacket } from '../lib/packet.ts';
import { sctpChecksumOffset } from '../lib/sctp.ts';
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

  for (const [family, transport] of [
    ['v4', 34],
    ['v6', 54],
  ] as const) {
    test(`${family} sctp: a checksum that a device still has to fill in stays empty when the ports change`, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'bpvs-partial-'));
      try {
        const program = join(folder, 'partial');
        await mustRun(['clang-19', '-O2', '-Wall', '-Wextra', '-Werror', '-o', program, sendPartial]);
        await using lab = await Lab.create({ name: 'test-partial', cni: 'ptp' });
        const [node] = lab.nodes;
        const [client, server] = node.pods;
        assert.ok(client && server);
        await using agent = new NodeAgent(lab, node);
        const endpoints = [server.addresses];
        agent.write(dualServiceManifests({ name: 'web', at: serviceWeb, endpoints, protocols: ['SCTP'] }));
        await agent.start();
        const frame = Buffer.from(
          buildPacket({
            source: client.addresses[family],
            sourcePort: 40000,
            destination: serviceWeb[family],
            destinationPort: serviceWeb.port,
            protocol: 'sctp',
            flags: 'INIT',
            destinationMac: await macOf(node, client.hostDevice),
          }),
        );
        frame.writeUInt32LE(0, transport + sctpChecksumOffset);
        const received = receiveOne(server);
        await received.ready;
        const offsets = [String(transport), String(sctpChecksumOffset)];
        await client.mustRun([program, 'eth0', ...offsets], { input: `${frame.toString('hex')}\n` });
        const packet = (await received.frame).subarray(transport);
        assert.deepEqual([packet.readUInt16BE(2), packet.readUInt32LE(sctpChecksumOffset)], [8080, 0]);
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  }
});

const sendPartial = fileURLToPath(new URL('packet/partial.c', import.meta.url));

async function macOf(host: Host, device: string): Promise<string> {
  const [link] = JSON.parse(await host.mustRun(['ip', '-json', 'link', 'show', 'dev', device]));
  return link.address;
}

/** The next SCTP packet that a machine receives, once it listens. */
function receiveOne(host: Host): { readonly ready: Promise<unknown>; readonly frame: Promise<Buffer> } {
  const options = ['-Z', 'root', '-n', '--immediate-mode', '-xx', '-c', '1', '-i', 'eth0', '-Q', 'in'];
  const child = host.spawn(['timeout', '10', 'tcpdump', ...options, 'ip proto 132 or ip6 proto 132']);
  const hex = (lines: string) => [...lines.matchAll(/^\t0x[0-9a-f]+: +(.*)$/gm)].map(([, words]) => words);
  return {
    ready: once(child.stderr, 'data'),
    frame: text(child.stdout).then((lines) => Buffer.from(hex(lines).join('').replaceAll(' ', ''), 'hex')),
  };
}
