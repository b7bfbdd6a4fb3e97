// SPDX-License-Identifier: Apache-2.0
// Frames whose headers lie in page fragments of the socket buffer: they must be pulled in before they can be read.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openBpfView } from '../../src/dataplane/bpf/view.ts';
import { serviceWeb } from '../lib/cast.ts';
import { mustRun } from '../lib/command.ts';
import { NodeAgent } from '../lib/daemon.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { buildPacket } from '../lib/packet.ts';

const source = fileURLToPath(new URL('tap/send.c', import.meta.url));
const nodeMac = '02:00:00:00:00:02';
const missing =
  missingForLab() ?? (existsSync('/dev/net/tun') ? undefined : 'this machine has no /dev/net/tun');

suite('frames in page fragments', { skip: missing ?? false }, () => {
  for (const [linear, split] of [
    ['Ethernet', 14],
    ['Ethernet and IP', 34],
  ] as const) {
    test(`a SYN of which only the ${linear} header is linear opens a connection`, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'bpvs-tap-'));
      try {
        const send = join(folder, 'send');
        await mustRun(['clang-19', '-O2', '-Wall', '-Wextra', '-Werror', '-o', send, source]);
        await using lab = await Lab.create({ name: 'test-tap', cni: 'ptp' });
        const [node] = lab.nodes;
        const tap = node.spawn([send, 'tap0', String(split)]);
        const lines = createInterface({ input: tap.stdout });
        await once(lines, 'line');
        await node.mustRun(['ip', 'link', 'set', 'tap0', 'address', nodeMac, 'up']);
        await node.mustRun(['ethtool', '-K', 'tap0', 'gro', 'off']); // it would pull the headers in
        await using agent = new NodeAgent(lab, node);
        const endpoints = node.pods.slice(0, 1).map((pod) => pod.addresses);
        agent.write(dualServiceManifests({ name: 'web', at: serviceWeb, endpoints }));
        await agent.start('--devices', 'tap0');
        const frame = buildPacket({
          source: '10.50.0.2',
          sourcePort: 40000,
          destination: serviceWeb.v4,
          destinationPort: serviceWeb.port,
          protocol: 'tcp',
          flags: 'S',
          destinationMac: nodeMac,
        });
        const sent = once(lines, 'line');
        tap.stdin.write(`${Buffer.from(frame).toString('hex')}\n`);
        await sent;
        using view = openBpfView(agent.pinDirectory);
        assert.deepEqual(
          [...view.connections()].map(({ state, client }) => [state, client.address]),
          [['SYN_RECV', '10.50.0.2']],
        );
        const ended = once(tap, 'close');
        tap.stdin.end();
        await ended;
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  }
});
