// SPDX-License-Identifier: Apache-2.0
// Outside clients of destinations on a node behind a VXLAN tunnel, through which less fits than over the segment.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openBpfView } from '../../src/dataplane/bpf/view.ts';
import type { ServiceAddress } from '../lib/cast.ts';
import type { NodeAgent } from '../lib/daemon.ts';
import { externalThere, FlowLab, families, ways } from '../lib/flows.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { tunnelDevice, tunnelEnds } from '../lib/lab-layout.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { tally } from '../lib/traffic/client.ts';
import { compileSctp, missingForSctp, SctpEnd } from '../lib/traffic/sctp.ts';

const megabytes = 1 << 20;
const tunnelMtu = 1450;
const datagramSize = 32 * 1024;
const closedThere: ServiceAddress = { v4: '198.51.100.85', v6: 'fd00:198:51:100::85', port: 80 };
const sctpThere: ServiceAddress = { v4: '198.51.100.86', v6: 'fd00:198:51:100::86', port: 3868 };

suite('outside clients through a tunnel', { skip: missingForLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let flows: FlowLab;
  let agent: NodeAgent;

  before(async () => {
    flows = resources.use(
      await FlowLab.start(await Lab.create({ name: 'test-tunnel', cni: 'ptp', joint: 'vxlan' })),
    );
    agent = resources.use(flows.agent());
    const endpoints = [flows.there.addresses];
    const cluster = (last: number) => ({ v4: `10.96.1.${last}`, v6: `fd00:10:96::1:${last}`, port: 80 });
    agent.write(
      [
        ...dualServiceManifests({
          name: 'closed-there',
          at: cluster(85),
          endpoints,
          targetPort: 8085,
          externalIps: [closedThere],
        }),
        ...dualServiceManifests({
          name: 'sctp-there',
          at: { ...cluster(86), port: sctpThere.port },
          endpoints,
          protocols: ['SCTP'],
          externalIps: [sctpThere],
        }),
      ],
      'more.json',
    );
    await agent.start();
  });
  after(() => resources.disposeAsync());

  const outside = () => flows.client('outside');

  async function forgetPaths(): Promise<void> {
    for (const family of ['-4', '-6'])
      await outside().host.mustRun(['ip', family, 'route', 'flush', 'cache']);
  }

  async function bytesSentThroughTunnel(): Promise<number> {
    const json = await flows.lab.nodes[0].mustRun(['ip', '-s', '-json', 'link', 'show', 'dev', tunnelDevice]);
    return JSON.parse(json)[0].stats64.tx.bytes;
  }

  for (const family of families) {
    const target = { address: externalThere[family], port: externalThere.port };

    for (const way of ways) {
      test(`tunnel ${family} ${way}: a destination behind it answers, and knows the client by the node's address in it`, async () => {
        const answer = await flows.ask(outside(), way, target.address, target.port);
        assert.ok(answer.outcome === 'reply', answer.outcome);
        assert.equal(answer.server, 'n2-pod1');
        assert.deepEqual(answer.peer, target);
        assert.equal(answer.client.address, tunnelEnds.node1[family]);
      });

      test(`tunnel ${family} ${way}: a port where nobody listens refuses at once`, async () => {
        const answer = await flows.ask(outside(), way, closedThere[family], closedThere.port);
        assert.equal(answer.outcome, 'refused');
      });
    }

    test(`tunnel ${family}: 64 MiB each way arrive whole, the client finding out that less fits`, async () => {
      await forgetPaths();
      const before = await bytesSentThroughTunnel();
      await using connection = await outside().open({ protocol: 'tcp', ...target });
      const whole = { outcome: 'done', bytes: 64 * megabytes, firstDifference: null };
      assert.deepEqual(await connection.receive(64 * megabytes), whole);
      assert.deepEqual(await connection.send(64 * megabytes), whole);
      assert.ok((await bytesSentThroughTunnel()) - before > 64 * megabytes);
    });

    test(`tunnel ${family} udp: a datagram that must not be fragmented and does not fit is refused with the tunnel's MTU`, async () => {
      await forgetPaths();
      const argv = ['python3', pathMtuScript, target.address, String(target.port), String(tunnelMtu - 20)];
      using view = openBpfView(agent.pinDirectory);
      const refused = () => view.reasons().get('rejected_too_big') ?? 0n;
      const before = refused();
      assert.equal((await outside().host.mustRun(argv)).trim(), `EMSGSIZE ${tunnelMtu}`);
      assert.equal(refused(), before + 1n, 'by BPVS, before the packet opens a connection that stays here');
    });

    test(`tunnel ${family} udp: datagrams of 32 KiB arrive, and answers as long, once the client knows what fits`, async () => {
      await forgetPaths();
      using view = openBpfView(agent.pinDirectory);
      const long = { ...target, size: datagramSize };
      await outside().udp({ ...long, timeoutMs: 500 }); // lost, unless the kernel still knows what fits
      const before = view.reasons();
      assert.deepEqual(tally(await outside().udp({ ...long, count: 10 })), { 'n2-pod1': 10 });
      for (const [reason, count] of view.reasons())
        if (reason.startsWith('dropped_')) assert.equal(count, before.get(reason), reason);
    });

    test(`tunnel ${family} sctp: messages come back whole`, {
      skip: missingForSctp() ?? false,
    }, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'bpvs-tunnel-sctp-'));
      try {
        const program = await compileSctp(folder);
        await using _server = await SctpEnd.startServer(flows.there, program, 8080);
        await using client = await SctpEnd.startClient(outside().host, program);
        assert.equal(await client.say(`connect ${sctpThere[family]} ${sctpThere.port}`), 'connected');
        assert.deepEqual((await client.say('who')).split(' ').slice(0, 2), [
          'n2-pod1',
          tunnelEnds.node1[family],
        ]);
        // Over IPv4 the stack in user space hears nothing of what is too big, and fragments nothing itself.
        for (const bytes of family === 'v4' ? [1, 1000] : [1, 1000, 200_000])
          assert.equal(await client.say(`echo ${bytes}`), 'same', `${bytes} bytes`);
        assert.equal(await client.say('shutdown'), 'shut down');
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  }
});

const pathMtuScript = fileURLToPath(new URL('../lib/traffic/udp_path_mtu.py', import.meta.url));
