// SPDX-License-Identifier: Apache-2.0
// --local-redirect: packets of this node's pods go straight to their devices, past the host's stack.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { externalWeb } from '../lib/cast.ts';
import { wirings } from '../lib/cni.ts';
import type { NodeAgent } from '../lib/daemon.ts';
import { Rules } from '../lib/firewall.ts';
import { type FamilyName, FlowLab, families, serviceHere, serviceThere, ways } from '../lib/flows.ts';
import type { Pod } from '../lib/host.ts';
import { Lab, missingForLab, missingForLabWith } from '../lib/lab.ts';

const option = '--local-redirect';
const megabytes = 1 << 20;

/** Who asks for the pod `here`, at which address. */
const cases = [
  { from: 'pod', at: serviceHere },
  { from: 'outside', at: externalWeb },
] as const;

const skip = missingForLab() ?? missingForLabWith('nft', 'nftables') ?? false;

for (const cni of wirings) {
  suite(`straight to local pods with ${cni} wiring`, { skip }, () => {
    const resources = new AsyncDisposableStack();
    let flows: FlowLab;

    before(async () => {
      flows = resources.use(await FlowLab.start(await Lab.create({ name: `test-local-${cni}`, cni })));
      resources.use(await Rules.nft(node(), watch(flows.here)));
    });
    after(() => resources.disposeAsync());

    const node = () => flows.lab.nodes[0];

    /** Packets from and to the pod `here` that have passed the forward hook. */
    async function forwarded(): Promise<number> {
      const text = await node().mustRun(['nft', 'list', 'counter', 'inet', 'watch', 'forwarded']);
      return Number(/packets (\d+)/.exec(text)?.[1]);
    }

    /** One request over each protocol, and streams both ways. */
    async function exchange(family: FamilyName, from: 'pod' | 'outside', address: string, port: number) {
      const client = flows.client(from);
      for (const way of ways) {
        const answer = await flows.ask(client, way, address, port);
        assert.ok(answer.outcome === 'reply', `${way} from ${from} to ${address}: ${answer.outcome}`);
        assert.equal(answer.server, 'n1-pod1');
        assert.deepEqual(answer.peer, { address, port });
        assert.equal(answer.client.address, client.host.addresses[family]);
      }
      await using stream = await client.open({ protocol: 'tcp', address, port });
      const whole = { outcome: 'done', bytes: 64 * megabytes, firstDifference: null };
      assert.deepEqual(await stream.receive(64 * megabytes), whole);
      assert.deepEqual(await stream.send(64 * megabytes), whole);
    }

    for (const { from, at } of cases) {
      for (const family of families) {
        const name = `${family}, ${cni}, ${from}`;

        test(`${name}: with the option no packet meets the forward hook, without it they do`, async () => {
          await using agent = flows.agent();
          await agent.start(option);
          const before = await forwarded();
          await exchange(family, from, at[family], at.port);
          assert.equal((await forwarded()) - before, 0);
          await agent.stop();
          await agent.start();
          await exchange(family, from, at[family], at.port);
          assert.ok((await forwarded()) - before > 100);
        });

        test(`${name}: connections go on when the option comes and goes`, async () => {
          await using agent = flows.agent();
          await agent.start();
          const target = { address: at[family], port: at.port };
          await using stream = await flows.client(from).open({ protocol: 'tcp', ...target });
          await using datagrams = await flows.client(from).open({ protocol: 'udp', ...target });
          const ask = async () => {
            const before = await forwarded();
            for (const socket of [stream, datagrams]) assert.equal((await socket.ask()).outcome, 'reply');
            const done = { outcome: 'done', bytes: megabytes, firstDifference: null };
            assert.deepEqual(await stream.receive(megabytes), done);
            return (await forwarded()) - before;
          };
          assert.ok((await ask()) > 0);
          await restart(agent, option);
          assert.equal(await ask(), 0);
          await restart(agent);
          assert.ok((await ask()) > 0);
        });
      }
    }

    test(`${cni}: every class of flow is answered with the option on, datagrams in fragments too`, async () => {
      await using agent = flows.agent();
      await agent.start(option);
      for (const family of families) {
        await flows.check(agent, family);
        await flows.check(agent, family, { only: ['udp'], size: 20_000 });
      }
    });

    test(`${cni}: destinations on other nodes are reached through the host's stack`, async () => {
      await using agent = flows.agent();
      await agent.start(option);
      const rules =
        'table inet there { counter forwarded {}; chain forward { type filter hook forward priority filter; ' +
        `ip daddr ${flows.there.addresses.v4} counter name forwarded; }; }`;
      await node().mustRun(['nft', '-f', '-'], { input: rules });
      const answer = await flows.ask(flows.client('pod'), 'udp', serviceThere.v4, serviceThere.port);
      assert.equal(answer.outcome, 'reply');
      const counter = await node().mustRun(['nft', 'list', 'counter', 'inet', 'there', 'forwarded']);
      assert.match(counter, /packets [1-9]/);
      await node().mustRun(['nft', 'delete', 'table', 'inet', 'there']);
    });

    test(`${cni}: packets with no hop left are answered by the host, not sent on`, async () => {
      await using agent = flows.agent();
      await agent.start(option);
      const { host } = flows.client('pod');
      await using capture = await host.capture('icmp', { device: 'eth0' });
      const send = `import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(0, 2, 1); s.sendto(b'x', ('${serviceHere.v4}', ${serviceHere.port}))`;
      await host.mustRun(['python3', '-c', send]);
      await capture.until(({ detail }) => detail.includes('time exceeded'));
    });
  });
}

async function restart(agent: NodeAgent, ...options: readonly string[]): Promise<void> {
  await agent.stop();
  await agent.start(...options);
}

function watch({ addresses: { v4, v6 } }: Pod): string {
  const rules = ['saddr', 'daddr'].map(
    (side) => `meta l4proto { tcp, udp } ip ${side} ${v4} counter name forwarded
      meta l4proto { tcp, udp } ip6 ${side} ${v6} counter name forwarded`,
  );
  return `table inet watch {
    counter forwarded { }
    chain forward { type filter hook forward priority filter;
      ${rules.join('\n')}
    }
  }`;
}

suite('a pod with another device', { skip }, () => {
  test('connections that go straight to a pod follow it to another device', async () => {
    await using flows = await FlowLab.start(await Lab.create({ name: 'test-local-moved' }));
    await using agent = flows.agent();
    await agent.start(option);
    for (const moved of [flows.here, flows.pod]) {
      for (const family of families) {
        const target = { address: serviceHere[family], port: serviceHere.port, timeoutMs: 200 };
        await using datagrams = await flows.client('pod').open({ protocol: 'udp', ...target });
        assert.equal((await datagrams.ask()).outcome, 'reply');
        await giveOtherDevice(flows, moved, `moved-${family}`);
        const deadline = performance.now() + 3000;
        let outcome = '';
        while (outcome !== 'reply' && performance.now() < deadline) {
          outcome = (await datagrams.ask()).outcome;
        }
        assert.equal(outcome, 'reply', `${moved.name}, ${family}`);
      }
    }
  });
});

/** Routed as other plugins do it, by a gateway of the link. */
async function giveOtherDevice(
  {
    lab: {
      nodes: [node],
    },
  }: FlowLab,
  pod: Pod,
  name: string,
): Promise<void> {
  const device = `${name}-${pod.name.slice(-1)}`;
  const { v4, v6 } = pod.addresses;
  const found = await node.mustRun(['ip', '-o', 'route', 'get', v4]);
  const old = / dev (\S+)/.exec(found)?.[1] ?? '';
  await node.mustRun(['ip', 'link', 'del', old]);
  await node.mustRun([
    'ip',
    'link',
    'add',
    device,
    'type',
    'veth',
    'peer',
    'name',
    'eth0',
    'netns',
    pod.namespacePath,
  ]);
  const batch = (lines: readonly string[]) => ['sh', '-ec', lines.map((line) => `ip ${line}`).join('\n')];
  await node.mustRun(
    batch([
      `address add 169.254.1.1/32 dev ${device}`,
      `address add fe80::1/64 dev ${device} nodad`,
      `link set ${device} up`,
    ]),
  );
  await pod.mustRun(
    batch([
      `address add ${v4}/32 dev eth0`,
      `address add ${v6}/128 dev eth0 nodad`,
      'link set eth0 up',
      'route add 169.254.1.1 dev eth0',
      'route add default via 169.254.1.1',
      'route add default via fe80::1 dev eth0',
    ]),
  );
  await node.mustRun(batch([`route add ${v4} dev ${device}`, `-6 route add ${v6} dev ${device}`]));
}
