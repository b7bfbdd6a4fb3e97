// SPDX-License-Identifier: Apache-2.0
// Outside clients of destinations behind a device whose packets have no link header.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { externalThere, FlowLab, families, ways } from '../lib/flows.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { linklessDevice, linklessEnd, Relay } from '../lib/relay.ts';
import { tally } from '../lib/traffic/client.ts';

const megabytes = 1 << 20;
/** IP and UDP. */
const headers = { v4: 28, v6: 48 };

suite('outside clients through a device without link header', { skip: missingForLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let flows: FlowLab;

  before(async () => {
    flows = resources.use(await FlowLab.start(await Lab.create({ name: 'test-linkless', cni: 'ptp' })));
    resources.use(await Relay.start(flows.lab));
    await resources.use(flows.agent()).start();
  });
  after(() => resources.disposeAsync());

  const outside = () => flows.client('outside');

  async function bytesSent(): Promise<number> {
    const argv = ['ip', '-s', '-json', 'link', 'show', 'dev', linklessDevice];
    return JSON.parse(await flows.lab.nodes[0].mustRun(argv))[0].stats64.tx.bytes;
  }

  for (const family of families) {
    const { [family]: address, port } = externalThere;

    for (const way of ways) {
      test(`linkless ${family} ${way}: a destination behind it answers, and knows the client by the device's address`, async () => {
        const before = await bytesSent();
        const answer = await flows.ask(outside(), way, address, port);
        assert.ok(answer.outcome === 'reply', answer.outcome);
        assert.deepEqual([answer.server, answer.client.address], ['n2-pod1', linklessEnd[family]]);
        assert.ok((await bytesSent()) > before);
      });
    }

    test(`linkless ${family}: 16 MiB each way arrive whole`, async () => {
      await using connection = await outside().open({ protocol: 'tcp', address, port });
      const whole = { outcome: 'done', bytes: 16 * megabytes, firstDifference: null };
      assert.deepEqual(await connection.receive(16 * megabytes), whole);
      assert.deepEqual(await connection.send(16 * megabytes), whole);
    });

    test(`linkless ${family} udp: datagrams of 32 KiB arrive, and answers as long`, async () => {
      const request = { address, port, size: 32 * 1024, count: 5 };
      assert.deepEqual(tally(await outside().udp(request)), { 'n2-pod1': 5 });
    });

    test(`linkless ${family} udp: a datagram as long as its MTU passes, a longer one is refused`, async () => {
      const size = String(1500 - headers[family]);
      const send = async () =>
        (await outside().host.mustRun(['python3', pathMtuScript, address, String(port), size])).trim();
      const setMtu = (mtu: number) =>
        flows.lab.nodes[0].mustRun(['ip', 'link', 'set', linklessDevice, 'mtu', String(mtu)]);
      assert.equal(await send(), 'nothing 1500');
      await setMtu(1499);
      try {
        assert.equal(await send(), 'EMSGSIZE 1499');
      } finally {
        await setMtu(1500);
      }
    });
  }
});

const pathMtuScript = fileURLToPath(new URL('../lib/traffic/udp_path_mtu.py', import.meta.url));
