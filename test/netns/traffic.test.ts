// SPDX-License-Identifier: Apache-2.0
// The servers, clients and captures that tests of real traffic rely on, over plain routing.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { Lab, missingForLab } from '../lib/lab.ts';
import { Client, tally } from '../lib/traffic/client.ts';
import { Server } from '../lib/traffic/server.ts';

const families = ['v4', 'v6'] as const;
const port = 8080;
const closedPort = 8081;
const megabytes = 1 << 20;

suite('traffic in the lab', { skip: missingForLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: Lab;
  let client: Client;

  before(async () => {
    lab = resources.use(await Lab.create({ name: 'test-traffic', podsPerNode: 1 }));
    resources.use(await Server.start(pod(), { tcp: [port], udp: [port] }));
    client = resources.use(await Client.start(lab.client));
  });
  after(() => resources.disposeAsync());

  const pod = () => {
    const first = lab.pods[0];
    assert.ok(first);
    return first;
  };

  for (const family of families) {
    test(`${family}: a server names itself and the client it sees, over TCP and UDP`, async () => {
      const address = pod().addresses[family];
      const target = { address, port, sourcePort: 40001 };
      const sockets = [
        await client.tcp(target),
        await client.udp({ ...target, connected: true }),
        await client.udp({ ...target, connected: false }),
      ];
      for (const answers of sockets) {
        const [answer] = answers;
        assert.ok(answer?.outcome === 'reply');
        assert.equal(answer.server, 'n1-pod1');
        assert.equal(answer.port, port);
        assert.deepEqual(answer.client, { address: lab.client.addresses[family], port: 40001 });
        assert.deepEqual(answer.peer, { address, port });
      }
    });

    test(`${family}: closed ports are refused, silence is a timeout, a missing route unreachable`, async () => {
      const { client: host } = lab;
      const address = pod().addresses[family];
      const silent = family === 'v4' ? '10.244.1.200' : 'fd00:10:96::1';
      const noRoute = family === 'v4' ? '203.0.113.1' : 'fd00:dead::1';
      await host.mustRun(['ip', 'route', 'add', 'unreachable', noRoute]);
      assert.deepEqual(tally(await client.tcp({ address, port: closedPort })), { refused: 1 });
      assert.deepEqual(tally(await client.udp({ address, port: closedPort, connected: true })), {
        refused: 1,
      });
      assert.deepEqual(tally(await client.udp({ address, port: closedPort, timeoutMs: 100 })), {
        timeout: 1,
      });
      assert.deepEqual(tally(await client.tcp({ address: silent, port, timeoutMs: 100 })), { timeout: 1 });
      assert.deepEqual(tally(await client.tcp({ address: noRoute, port })), { unreachable: 1 });
    });

    test(`${family}: big transfers arrive whole in both directions`, async () => {
      const address = pod().addresses[family];
      await using connection = await client.open({ protocol: 'tcp', address, port });
      const whole = { outcome: 'done', bytes: 20 * megabytes, firstDifference: null };
      assert.deepEqual(await connection.receive(20 * megabytes), whole);
      assert.equal((await connection.ask()).outcome, 'reply');
      assert.deepEqual(await connection.send(20 * megabytes), whole);
    });
  }

  test('many requests from one source port succeed one after the other', async () => {
    const request = { address: pod().addresses.v4, port, sourcePort: 40002, count: 200 };
    assert.deepEqual(tally(await client.tcp(request)), { 'n1-pod1': 200 });
    assert.deepEqual(tally(await client.udp(request)), { 'n1-pod1': 200 });
  });

  test('many requests at a time are all answered', async () => {
    const request = { address: pod().addresses.v6, port, count: 1000, concurrency: 50 };
    assert.deepEqual(tally(await client.tcp(request)), { 'n1-pod1': 1000 });
    assert.deepEqual(tally(await client.udp(request)), { 'n1-pod1': 1000 });
  });

  test('datagrams larger than the MTU are answered in full', async () => {
    const answers = await client.udp({ address: pod().addresses.v4, port, size: 4000 });
    assert.deepEqual(tally(answers), { 'n1-pod1': 1 });
  });

  test('a held UDP socket keeps its source port', async () => {
    await using socket = await client.open({ protocol: 'udp', address: pod().addresses.v4, port });
    const [first, second] = [await socket.ask(), await socket.ask()];
    assert.ok(first.outcome === 'reply' && second.outcome === 'reply');
    assert.deepEqual(first.client, second.client);
    assert.equal(first.client.port, socket.local.port);
  });

  test('a held connection may be idle for longer than its timeout', async () => {
    const target = { address: pod().addresses.v4, port };
    await using connection = await client.open({ protocol: 'tcp', ...target, timeoutMs: 100 });
    await client.udp({ ...target, port: closedPort, timeoutMs: 300 });
    assert.equal((await connection.ask()).outcome, 'reply');
  });

  test('a held connection notices that its server is gone', async () => {
    const address = lab.nodes[1].addresses.v4;
    await using server = await Server.start(lab.nodes[1], { tcp: [port] });
    await using connection = await client.open({ protocol: 'tcp', address, port });
    assert.equal((await connection.ask()).outcome, 'reply');
    await server.close();
    assert.match((await connection.ask()).outcome, /^(reset|closed)$/);
    assert.deepEqual(await client.tryOpen({ protocol: 'tcp', address, port }), { outcome: 'refused' });
  });

  test('a client that is closed fails what is asked of it', async () => {
    const other = await Client.start(lab.client);
    const asked = other.tcp({ address: pod().addresses.v4, port, count: 100_000 });
    await Promise.all([other.close(), assert.rejects(asked, /client-process.ts on client/)]);
    await assert.rejects(other.tcp({ address: pod().addresses.v4, port }), /client-process.ts on client/);
  });

  test('a port that is taken fails the start with the reason', async () => {
    await assert.rejects(Server.start(pod(), { tcp: [port] }), /EADDRINUSE/);
  });

  test('a capture shows both directions with addresses and ports', async () => {
    const address = pod().addresses.v6;
    await using capture = await lab.nodes[0].capture(`tcp port ${port}`, { device: pod().hostDevice });
    await client.tcp({ address, port, sourcePort: 40003 });
    const request = await capture.until((packet) => packet.detail.startsWith('Flags [S],'));
    const reply = await capture.until((packet) => packet.detail.startsWith('Flags [S.],'));
    assert.deepEqual([request.source, request.sourcePort], [lab.client.addresses.v6, 40003]);
    assert.deepEqual([request.target, request.targetPort], [address, port]);
    assert.deepEqual([reply.source, reply.sourcePort], [address, port]);
    await assert.rejects(
      capture.until((packet) => packet.source === 'nobody', 50),
      /Expected a packet within 50 ms but received \d+/,
    );
  });
});
