// SPDX-License-Identifier: Apache-2.0
// What changes under outside clients of destinations on the other node, while they transfer: none loses its connection.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { nodeTwo, podRangeTwo } from '../lib/cast.ts';
import type { NodeAgent } from '../lib/daemon.ts';
import { externalThere, type FamilyName, FlowLab, families } from '../lib/flows.ts';
import { Host } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { machineCommands } from '../lib/lab-layout.ts';
import type { ClientConnection } from '../lib/traffic/client.ts';

const megabytes = 1 << 20;
const heldConnections = 10;
const direct = { v4: '192.0.3.2', v6: 'fd00:192:0:3::2' };

for (const [hook, options] of [
  ['tc', []],
  ['xdp', ['--xdp', 'native', '--xdp-devices', 'eth0']],
] as const) {
  suite(`changes under outside clients, at ${hook}`, { skip: missingForLab() ?? false }, () => {
    const resources = new AsyncDisposableStack();
    let flows: FlowLab;
    let agent: NodeAgent;

    before(async () => {
      flows = resources.use(
        await FlowLab.start(await Lab.create({ name: `test-changes-${hook}`, cni: 'ptp' })),
      );
      agent = resources.use(flows.agent());
      await agent.start(...options);
    });
    after(() => resources.disposeAsync());

    const nodes = () => flows.lab.nodes;

    function ip(host: Host, ...commands: readonly string[]): Promise<string> {
      return host.mustRun(['ip', '-batch', '-'], { input: `${commands.join('\n')}\n` });
    }

    function open(family: FamilyName): Promise<ClientConnection> {
      const target = { address: externalThere[family], port: externalThere.port, timeoutMs: 20_000 };
      return flows.client('outside').open({ protocol: 'tcp', ...target });
    }

    /** Makes the change while one connection transfers without a pause, and others are silent; all of them go on. */
    async function changeUnderLoad(family: FamilyName, change: () => Promise<unknown>): Promise<void> {
      await using connections = new AsyncDisposableStack();
      const held: ClientConnection[] = [];
      for (let i = 0; i <= heldConnections; i++) held.push(connections.use(await open(family)));
      const [busy, ...silent] = held;
      assert.ok(busy);
      const size = 4 * megabytes;
      const whole = { outcome: 'done', bytes: size, firstDifference: null };
      let isOver = false;
      let transfers = 0;
      const load = (async () => {
        for (let last = false; !last; transfers++) {
          last = isOver;
          assert.deepEqual(await busy.receive(size), whole, `transfer ${transfers}`);
        }
      })();
      load.catch(() => {}); // is awaited below
      try {
        while (transfers < 2) await Promise.race([load, new Promise((resolve) => setTimeout(resolve, 5))]);
        await change();
      } finally {
        isOver = true;
      }
      await load;
      assert.deepEqual(await busy.send(size), whole);
      for (const each of silent) assert.equal((await each.ask()).outcome, 'reply');
      await using another = await open(family);
      assert.equal((await another.ask()).outcome, 'reply');
    }

    for (const family of families) {
      test(`changes ${hook} ${family}: the other node gets another link address`, () =>
        changeUnderLoad(family, async () => {
          const [, other] = nodes();
          for (const path of ['ipv4/conf/eth0/arp_notify', 'ipv6/conf/eth0/ndisc_notify'])
            await other.mustRun(['sh', '-c', `echo 1 > /proc/sys/net/${path}`]);
          await ip(other, `link set eth0 address 02:00:00:00:12:${family === 'v4' ? '04' : '06'}`);
        }));

      test(`changes ${hook} ${family}: the other node is behind another device and gateway, and again where it was`, async () => {
        const [node, other] = nodes();
        await ip(
          node,
          `link add direct type veth peer name direct netns ${flows.lab.name}-node2`,
          'address add 192.0.3.1/24 dev direct',
          'address add fd00:192:0:3::1/64 dev direct nodad',
          'link set direct up',
        );
        await ip(
          other,
          `address add ${direct.v4}/24 dev direct`,
          `address add ${direct.v6}/64 dev direct nodad`,
          'link set direct up',
        );
        try {
          await changeUnderLoad(family, async () => {
            await ip(node, `route replace ${podRangeTwo[family]} via ${direct[family]}`);
            await untilSent(node, 'direct', megabytes / 4);
            await ip(node, `route replace ${podRangeTwo[family]} via ${nodeTwo[family]}`);
            await untilSent(node, 'eth0', megabytes);
          });
        } finally {
          await ip(node, 'link del direct');
        }
      });

      test(`changes ${hook} ${family}: the uplink loses its carrier for a while`, () =>
        changeUnderLoad(family, async () => {
          const lan = new Host({ ...nodes()[0], namespacePath: `/run/netns/${flows.lab.name}-lan` });
          for (let i = 0; i < 3; i++) {
            await ip(lan, 'link set node1 down');
            await new Promise((resolve) => setTimeout(resolve, 300));
            await ip(lan, 'link set node1 up');
            await untilSent(nodes()[0], 'eth0', megabytes);
          }
        }));

      test(`changes ${hook} ${family}: the uplink is taken down and up, and its addresses and routes come back`, () =>
        changeUnderLoad(family, async () => {
          const [node] = nodes();
          await ip(node, 'link set eth0 down');
          const again = machineCommands('node1').split('\n');
          await ip(
            node,
            ...again.map((line) =>
              line.replace(/^route add/, 'route replace').replace(/^address add/, 'address replace'),
            ),
          );
          await untilSent(node, 'eth0', megabytes);
        }));

      test(`changes ${hook} ${family}: the daemon is killed, and another one adopts its connections`, () =>
        changeUnderLoad(family, async () => {
          await agent.stop('SIGKILL');
          await untilSent(nodes()[0], 'eth0', megabytes);
          await using orphaned = await open(family);
          assert.equal((await orphaned.ask()).outcome, 'reply', 'a new client while there is no daemon');
          await agent.start(...options);
          await untilSent(nodes()[0], 'eth0', megabytes);
          assert.equal((await orphaned.ask()).outcome, 'reply');
        }));
    }

    /** Resolves when a device has sent so many more bytes; rejects after 15 s. */
    async function untilSent(host: Host, device: string, bytes: number): Promise<void> {
      const sent = async () =>
        JSON.parse(await host.mustRun(['ip', '-s', '-json', 'link', 'show', 'dev', device]))[0].stats64.tx
          .bytes;
      const wanted = (await sent()) + bytes;
      for (const deadline = performance.now() + 15_000; (await sent()) < wanted; ) {
        assert.ok(performance.now() < deadline, `Expected traffic out of ${device} but there is none`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  });
}
