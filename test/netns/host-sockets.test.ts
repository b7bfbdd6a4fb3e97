// SPDX-License-Identifier: Apache-2.0
// Long-lived sockets of the host whose destination goes: connected UDP ends with it, TCP if that is asked for.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { missingForDestroying } from '../../src/native/socket-diagnostics.ts';
import { serviceWeb } from '../lib/cast.ts';
import { GroupedHost, NodeAgent } from '../lib/daemon.ts';
import type { Pod } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { Client, type ClientConnection } from '../lib/traffic/client.ts';
import type { Answer } from '../lib/traffic/protocol.ts';
import { Servers } from '../lib/traffic/server.ts';

const { port } = serviceWeb;
const names = { v4: serviceWeb.v4, v6: serviceWeb.v6, mapped: `::ffff:${serviceWeb.v4}` } as const;
const skip = missingForLab() ?? missingForDestroying() ?? false;

suite('sockets of the host whose destination goes', { skip }, () => {
  const resources = new AsyncDisposableStack();
  let lab: Lab;
  let here: Pod;
  let other: Pod;
  let there: Pod;

  before(async () => {
    lab = resources.use(await Lab.create({ name: 'test-sockets', podsPerNode: 2 }));
    [here, other, there] = lab.pods as [Pod, Pod, Pod];
    resources.use(await Servers.start(lab.pods, { tcp: [8080], udp: [8080] }));
  });
  after(() => resources.disposeAsync());

  function write(agent: NodeAgent, ...pods: readonly Pod[]): void {
    const endpoints = pods.map((each) => each.addresses);
    agent.write(dualServiceManifests({ name: 'web', at: serviceWeb, endpoints }));
  }

  /** A daemon whose web service only `here` serves, and a process of its host. */
  async function started(stack: AsyncDisposableStack, ...options: readonly string[]) {
    const agent = stack.use(new NodeAgent(lab, lab.nodes[0]));
    write(agent, here);
    await agent.start(...options);
    return { agent, client: stack.use(await Client.start(agent.host)) };
  }

  async function reconciled(agent: NodeAgent, operations: number): Promise<void> {
    await agent.logged(new RegExp(`event=reconciled services=\\d+ operations=${operations} failures=0`));
  }

  async function asks(socket: ClientConnection): Promise<string> {
    return nameOf(await socket.ask());
  }

  /** Asks without a pause until something else than this answers. */
  async function asksWhile(socket: ClientConnection, answer: string): Promise<string> {
    for (;;) {
      const name = await asks(socket);
      if (name !== answer) return name;
    }
  }

  for (const [family, address] of Object.entries(names)) {
    test(`${family}: a connected UDP client that never stops asking gets an error, and connects elsewhere`, async () => {
      await using stack = new AsyncDisposableStack();
      const { agent, client } = await started(stack);
      const target = { protocol: 'udp', address, port, connected: true } as const;
      const socket = stack.use(await client.open(target));
      assert.equal(await asks(socket), 'n1-pod1');
      const last = asksWhile(socket, 'n1-pod1');
      write(agent, there);
      assert.equal(await last, 'aborted');
      const anew = stack.use(await client.open(target));
      assert.equal(await asks(anew), 'n2-pod1');
      await agent.logged(ended(1));
      assert.equal((await connectionsOf(agent)).length, 1, 'the connection ended with its socket');
    });

    test(`${family}: an unconnected UDP socket is translated anew`, async () => {
      await using stack = new AsyncDisposableStack();
      const { agent, client } = await started(stack);
      const socket = stack.use(await client.open({ protocol: 'udp', address, port }));
      const last = asksWhile(socket, 'n1-pod1');
      write(agent, there);
      assert.equal(await last, 'n2-pod1');
      assert.equal(await asks(socket), 'n2-pod1');
    });

    test(`${family}: a TCP client goes on with a removed destination, unless all sockets are to expire`, async () => {
      for (const [which, sockets, outcome] of [
        ['udp', 1, 'n1-pod1'],
        ['all', 2, 'aborted'],
      ] as const) {
        await using stack = new AsyncDisposableStack();
        const { agent, client } = await started(stack, '--expire-sockets', which);
        const stream = stack.use(await client.open({ protocol: 'tcp', address, port }));
        const udp = stack.use(await client.open({ protocol: 'udp', address, port, connected: true }));
        assert.deepEqual([await asks(stream), await asks(udp)], ['n1-pod1', 'n1-pod1']);
        write(agent, there);
        await agent.logged(ended(sockets));
        assert.deepEqual([await asks(stream), await asks(udp)], [outcome, 'aborted']);
        const anew = stack.use(await client.open({ protocol: 'tcp', address, port }));
        assert.equal(await asks(anew), 'n2-pod1');
      }
    });
  }

  test('sockets on other destinations, on the pod itself and in pods are left alone', async () => {
    await using stack = new AsyncDisposableStack();
    const agent = stack.use(new NodeAgent(lab, lab.nodes[0]));
    write(agent, here, there);
    await agent.start();
    const client = stack.use(await Client.start(agent.host));
    const podClient = stack.use(await Client.start(new GroupedHost(other, agent.cgroup)));
    const web = { protocol: 'udp', address: serviceWeb.v4, port, connected: true } as const;
    const sockets = await Promise.all([client.open(web), client.open(web)]);
    const direct = stack.use(await client.open({ ...web, address: here.addresses.v4, port: 8080 }));
    const pods = await Promise.all([podClient.open(web), podClient.open(web)]);
    for (const each of [...sockets, ...pods]) stack.use(each);
    const servers = async (all: readonly ClientConnection[]) => (await Promise.all(all.map(asks))).sort();
    assert.deepEqual(await servers(sockets), ['n1-pod1', 'n2-pod1']);
    assert.deepEqual(await servers(pods), ['n1-pod1', 'n2-pod1']);
    assert.equal(await asks(direct), 'n1-pod1');
    write(agent, there);
    await agent.logged(ended(1));
    assert.deepEqual(await servers(sockets), ['aborted', 'n2-pod1']);
    assert.deepEqual(await servers(pods), ['n2-pod1', 'n2-pod1']);
    assert.equal(await asks(direct), 'n1-pod1');
  });

  test('a destination that was removed while no daemon ran takes its sockets with it when one starts', async () => {
    await using stack = new AsyncDisposableStack();
    const { agent, client } = await started(stack);
    const socket = stack.use(
      await client.open({ protocol: 'udp', address: serviceWeb.v6, port, connected: true }),
    );
    assert.equal(await asks(socket), 'n1-pod1');
    await agent.stop('SIGKILL');
    write(agent, there);
    assert.equal(await asks(socket), 'n1-pod1');
    await agent.start();
    assert.equal(await asksWhile(socket, 'n1-pod1'), 'aborted');
  });

  test('a whole Service that goes takes its connected UDP sockets with it', async () => {
    await using stack = new AsyncDisposableStack();
    const { agent, client } = await started(stack);
    const socket = stack.use(
      await client.open({ protocol: 'udp', address: serviceWeb.v4, port, connected: true }),
    );
    assert.equal(await asks(socket), 'n1-pod1');
    agent.write([]);
    assert.equal(await asksWhile(socket, 'n1-pod1'), 'aborted');
    await reconciled(agent, 4);
  });
});

function ended(sockets: number): RegExp {
  return new RegExp(`event="sockets of the host ended with their destination" sockets=${sockets}\\n`);
}

function nameOf(answer: Answer): string {
  return answer.outcome === 'reply' ? answer.server : answer.outcome;
}

/** As `bpvs status` counts them. */
async function connectionsOf(agent: NodeAgent): Promise<readonly string[]> {
  const { stdout } = await agent.command('status', '-o', 'json');
  const { states } = JSON.parse(stdout) as { states: Record<string, number> };
  return Object.entries(states).flatMap(([state, count]) => Array<string>(count).fill(state));
}
