// SPDX-License-Identifier: Apache-2.0
// Clients of another node that enter by a device whose packets have no link header.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { clusterRange, serviceEmpty } from '../lib/cast.ts';
import type { NodeAgent } from '../lib/daemon.ts';
import { FlowLab, families, serviceClosed, serviceHere, serviceThere, ways } from '../lib/flows.ts';
import type { Pod } from '../lib/host.ts';
import { Lab, missingForLabWith } from '../lib/lab.ts';
import { linklessDevice, linklessEnd, Relay } from '../lib/relay.ts';
import { Client, tally } from '../lib/traffic/client.ts';

const megabytes = 1 << 20;

suite('clients behind a device without link header', {
  skip: missingForLabWith('traceroute', 'traceroute') ?? false,
}, () => {
  const resources = new AsyncDisposableStack();
  let flows: FlowLab;
  let pod: Pod;
  let client: Client;
  let agent: NodeAgent;

  before(async () => {
    flows = resources.use(await FlowLab.start(await Lab.create({ name: 'test-linkless', cni: 'ptp' })));
    resources.use(await Relay.start(flows.lab));
    const [, node] = flows.lab.nodes;
    for (const family of families)
      await node.mustRun(['ip', 'route', 'replace', clusterRange[family], 'dev', linklessDevice]);
    const [, found] = node.pods;
    assert.ok(found);
    pod = found;
    client = resources.use(await Client.start(pod));
    agent = resources.use(flows.agent());
    await agent.start();
  });
  after(() => resources.disposeAsync());

  for (const family of families) {
    for (const way of ways) {
      test(`linkless ${family} ${way}: a destination on the node sees the client as it is`, async () => {
        const answer = await flows.ask(client, way, serviceHere[family], serviceHere.port);
        assert.ok(answer.outcome === 'reply', answer.outcome);
        assert.deepEqual([answer.server, answer.client.address], ['n1-pod1', pod.addresses[family]]);
        assert.equal(answer.peer.address, serviceHere[family]);
      });

      test(`linkless ${family} ${way}: one behind the same device answers by the node`, async () => {
        const answer = await flows.ask(client, way, serviceThere[family], serviceThere.port);
        assert.ok(answer.outcome === 'reply', answer.outcome);
        assert.deepEqual([answer.server, answer.client.address], ['n2-pod1', linklessEnd[family]]);
      });

      for (const [what, service] of [
        ['a service without destinations', serviceEmpty],
        ['a port where nobody listens', serviceClosed],
      ] as const) {
        test(`linkless ${family} ${way}: ${what} refuses at once`, async () => {
          const answer = await flows.ask(client, way, service[family], service.port);
          assert.equal(answer.outcome, 'refused');
        });
      }
    }

    for (const service of [serviceHere, serviceThere]) {
      const { [family]: address, port } = service;

      test(`linkless ${family} to ${address}: 16 MiB each way arrive whole`, async () => {
        await using connection = await client.open({ protocol: 'tcp', address, port });
        const whole = { outcome: 'done', bytes: 16 * megabytes, firstDifference: null };
        assert.deepEqual(await connection.receive(16 * megabytes), whole);
        assert.deepEqual(await connection.send(16 * megabytes), whole);
      });

      test(`linkless ${family} to ${address} udp: datagrams of 32 KiB arrive, and answers as long`, async () => {
        const server = service === serviceHere ? 'n1-pod1' : 'n2-pod1';
        const answers = await client.udp({ address, port, size: 32 * 1024, count: 5 });
        assert.deepEqual(tally(answers), { [server]: 5 });
      });
    }

    test(`linkless ${family}: a virtual address answers to ping, and is where a traceroute ends`, async () => {
      const address = serviceHere[family];
      await pod.mustRun(['ping', '-c', '2', '-W', '5', '-s', '3000', address]);
      const trace = await pod.mustRun(['traceroute', '-n', '-q', '1', '-w', '5', '-m', '6', address]);
      assert.match(trace.trim().split('\n').at(-1) ?? '', new RegExp(` ${address} `));
    });
  }

  test('linkless: with --local-redirect, packets go straight to the pod and back', async () => {
    await agent.stop();
    await agent.start('--local-redirect');
    for (const family of families) {
      for (const way of ways) {
        const answer = await flows.ask(client, way, serviceHere[family], serviceHere.port);
        assert.ok(answer.outcome === 'reply', answer.outcome);
        assert.deepEqual([answer.server, answer.client.address], ['n1-pod1', pod.addresses[family]]);
      }
    }
  });
});
