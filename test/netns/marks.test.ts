// SPDX-License-Identifier: Apache-2.0
// Services of a firewall mark, which sockets of the host and classifiers of tc give: real connections through the hooks.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Operation } from '../../src/model/operation.ts';
import type { DualAddress } from '../lib/cast.ts';
import { mustRun } from '../lib/command.ts';
import { configure } from '../lib/configured.ts';
import { NodeAgent } from '../lib/daemon.ts';
import type { Pod } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { Client, tally } from '../lib/traffic/client.ts';
import { Servers } from '../lib/traffic/server.ts';

const marked = fileURLToPath(new URL('../lib/traffic/marked.py', import.meta.url));
const source = fileURLToPath(new URL('foreign/mark.bpf.c', import.meta.url));
/** What mark.bpf.c gives. */
const mark = 7;
/** Nobody's address, and nobody's port: only the mark says whom it is for. */
const anywhere: DualAddress = { v4: '203.0.113.9', v6: 'fd00:203:0:113::9' };
const port = 4711;
const targetPort = 8080;
const families = ['v4', 'v6'] as const;

suite('services of a firewall mark', { skip: missingForLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: Lab;
  let agent: NodeAgent;
  let from: Pod;
  let unmarked: Pod;
  let servers: readonly string[];

  before(async () => {
    lab = resources.use(await Lab.create({ name: 'test-marks' }));
    const [here, first, second, there] = lab.pods as [Pod, Pod, Pod, Pod];
    [from, unmarked] = [first, second];
    servers = [here.name, there.name];
    resources.use(await Servers.start([here, there], { tcp: [targetPort], udp: [targetPort] }));
    agent = resources.use(new NodeAgent(lab, lab.nodes[0]));
    const operations = families.flatMap((of): Operation[] => {
      const service = { mark, family: of === 'v4' ? 4 : 6 } as const;
      const terms = { scheduler: 'rr', schedulerFlags: [], noDestination: 'reject' } as const;
      return [
        { do: 'add-service', service: { ...service, ...terms } },
        ...[here, there].map((pod): Operation => {
          const destination = {
            address: pod.addresses[of],
            port: targetPort,
            weight: 1,
            forwarding: 'masq',
          } as const;
          return { do: 'add-destination', service, destination };
        }),
      ];
    });
    await configure(agent, operations, '--attach', 'clsact');
  });
  after(() => resources.disposeAsync());

  const ask = async (protocol: string, address: string, by: number) =>
    (await agent.host.mustRun(['python3', marked, protocol, address, String(port), String(by)])).trim();

  for (const family of families) {
    const { [family]: address } = anywhere;

    for (const protocol of ['tcp', 'udp', 'connected-udp']) {
      test(`${family} ${protocol}: a socket of the host with SO_MARK is served wherever it asks, one with another mark is not`, async () => {
        const answers = [await ask(protocol, address, mark), await ask(protocol, address, mark)];
        assert.deepEqual(answers.sort(), servers);
        assert.equal(await ask(protocol, address, mark + 1), 'nothing');
      });
    }

    test(`${family}: packets of a pod that a classifier before ours has marked are served, those of another pod are not`, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'bpvs-mark-'));
      using cleanup = new DisposableStack();
      cleanup.defer(() => rmSync(folder, { recursive: true }));
      const object = join(folder, 'mark.bpf.o');
      const includes = `-I/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
      await mustRun(['clang-19', '-O2', '-g', '-target', 'bpf', includes, '-c', source, '-o', object]);
      const [node] = lab.nodes;
      const filter = ['dev', from.hostDevice, 'ingress', 'priority', '1'];
      const program = ['bpf', 'direct-action', 'object-file', object, 'section', 'tc'];
      const protocol = family === 'v4' ? 'ip' : 'ipv6';
      await node.mustRun(['tc', 'filter', 'add', ...filter, 'protocol', protocol, ...program]);
      await using client = await Client.start(from);
      await using other = await Client.start(unmarked);
      const both = { [servers[0] ?? '']: 3, [servers[1] ?? '']: 3 };
      assert.deepEqual(tally(await client.tcp({ address, port, count: 6 })), both);
      assert.deepEqual(tally(await client.udp({ address, port, count: 6 })), both);
      const [answer] = await other.tcp({ address, port, timeoutMs: 300 });
      assert.notEqual(answer?.outcome, 'reply');
      await node.mustRun(['tc', 'filter', 'del', ...filter]);
      const [later] = await client.tcp({ address, port, timeoutMs: 300 });
      assert.notEqual(later?.outcome, 'reply');
    });
  }

  test('bpvsadm lists them by their mark', async () => {
    const listing = await agent.bpvsadm('-Ln');
    assert.match(listing, /\nFWM {2}7 rr\n {2}-> 10\.244\.\S+:8080 +Masq +1 /);
    assert.match(listing, /\nFWM {2}7 IPv6 rr\n {2}-> \[fd00:10:244:\S+:8080 +Masq +1 /);
  });
});
