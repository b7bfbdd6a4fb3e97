// SPDX-License-Identifier: Apache-2.0
// The option --xdp: which devices get XDP, and what becomes of those that cannot have it.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BpfLink } from '../../src/native/bpf-link.ts';
import { externalWeb, serviceWeb } from '../lib/cast.ts';
import { type Fields, NodeAgent } from '../lib/daemon.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { Client, tally } from '../lib/traffic/client.ts';
import { Servers } from '../lib/traffic/server.ts';

const foreignObject = fileURLToPath(new URL('../../build/bpf/foreign.bpf.o', import.meta.url));
const external = { address: externalWeb.v4, port: externalWeb.port };
const atUplink = ['--xdp-devices', 'eth0'];

suite('XDP modes', { skip: missingForLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: Lab;
  let client: Client;

  before(async () => {
    lab = resources.use(await Lab.create({ name: 'test-xdp-modes', podsPerNode: 1 }));
    resources.use(await Servers.start(lab.nodes[0].pods, { tcp: [8080], udp: [8080] }));
    client = resources.use(await Client.start(lab.client));
  });
  after(() => resources.disposeAsync());

  function makeAgent(): NodeAgent {
    const [node] = lab.nodes;
    const agent = new NodeAgent(lab, node);
    const endpoints = node.pods.map((pod) => pod.addresses);
    agent.write(dualServiceManifests({ name: 'web', at: serviceWeb, endpoints, externalIps: [externalWeb] }));
    return agent;
  }

  /** Devices of the node that have an XDP program, whoever attached it. */
  async function devicesWithXdp(): Promise<string[]> {
    const links: Fields[] = JSON.parse(await lab.nodes[0].mustRun(['ip', '-json', 'link']));
    return links.flatMap(({ ifname, xdp }) => (xdp === undefined ? [] : [`${ifname}`]));
  }

  async function statusOf(agent: NodeAgent, device: string) {
    const { stdout } = await agent.command('status', '-o', 'json');
    return JSON.parse(stdout).devices.find(({ name }: { name: string }) => name === device);
  }

  async function assertServed(): Promise<void> {
    assert.deepEqual(tally(await client.tcp({ ...external, count: 2 })), { 'n1-pod1': 2 });
  }

  for (const options of [
    [],
    ['--xdp', 'off'],
    ['--xdp', 'best-effort'],
    ['--xdp', 'best-effort', '--xdp-devices', '*'],
  ]) {
    test(`options "${options.join(' ')}" put XDP on no end of a veth pair`, async () => {
      await using agent = makeAgent();
      await agent.start(...options);
      assert.deepEqual(await devicesWithXdp(), []);
      await assertServed();
    });
  }

  test('a restart replaces the program in its place, --xdp off detaches it, cleanup leaves none', async () => {
    await using agent = makeAgent();
    await agent.start('--xdp', 'native', ...atUplink);
    const [pin] = readdirSync(`${agent.pinDirectory}/links`).filter((name) => name.startsWith('xdp-'));
    const read = () => {
      using link = BpfLink.openPinned(`${agent.pinDirectory}/links/${pin}`);
      return link.info();
    };
    const first = read();
    await agent.stop('SIGKILL');
    await assertServed();
    await agent.start('--xdp', 'native', ...atUplink);
    const second = read();
    assert.equal(second.id, first.id);
    assert.notEqual(second.programId, first.programId);
    await agent.stop();
    await agent.start('--xdp', 'off');
    assert.deepEqual(await devicesWithXdp(), []);
    await assertServed();
    await agent.stop();
    await agent.start('--xdp', 'best-effort', ...atUplink);
    assert.deepEqual(await devicesWithXdp(), ['eth0']);
    await agent.stop();
    assert.equal((await agent.command('cleanup')).code, 0);
    assert.deepEqual(await devicesWithXdp(), []);
  });

  test("best-effort: beside someone else's program tc serves, status and one log line say so, and XDP comes when that goes", async () => {
    const [node] = lab.nodes;
    await node.mustRun(['ip', 'link', 'set', 'eth0', 'xdpdrv', 'object', foreignObject, 'section', 'xdp']);
    await using agent = makeAgent();
    await agent.start('--xdp', 'best-effort', ...atUplink);
    await assertServed();
    const reason = 'another XDP program is attached there';
    assert.deepEqual(await statusOf(agent, 'eth0'), {
      name: 'eth0',
      hook: 'tcx',
      hasXdp: false,
      xdpRefusal: reason,
    });
    const { stdout } = await agent.command('status');
    assert.match(stdout, /eth0 \(tcx, no XDP: another XDP program is attached there\)/);
    await node.mustRun(['ip', 'link', 'set', 'eth0', 'xdpdrv', 'off']);
    await agent.logged(/event="XDP attached" device=eth0/, 10_000);
    assert.equal(agent.log.match(/event="no XDP/g)?.length, 1);
    assert.equal((await statusOf(agent, 'eth0')).hasXdp, true);
    await assertServed();
  });

  test("native: someone else's program ends the start with status 3, and it stays where it is", async () => {
    const [node] = lab.nodes;
    await node.mustRun(['ip', 'link', 'set', 'eth0', 'xdpdrv', 'object', foreignObject, 'section', 'xdp']);
    try {
      await using agent = makeAgent();
      await assert.rejects(agent.start('--xdp', 'native', ...atUplink), (error: Error) => {
        assert.match(error.message, /ended with 3:.*eth0: another XDP program is attached there/s);
        return true;
      });
      assert.deepEqual(await devicesWithXdp(), ['eth0']);
    } finally {
      await node.mustRun(['ip', 'link', 'set', 'eth0', 'xdpdrv', 'off']);
    }
  });

  for (const [what, device, reason] of [
    ['a driver without native XDP', 'bridge9', 'its driver has no native XDP'],
    ['a device that is not there', 'eth9', 'there is no such device'],
    ['a port of a bridge', 'port9', 'tc does not serve it, or it is a port of another device'],
  ] as const) {
    test(`${what}: native ends the start with status 3, best-effort says so once and serves the others`, async () => {
      const [node] = lab.nodes;
      const batch =
        'link add bridge9 type bridge\\nlink add port9 type veth peer port9p\\nlink set port9 master bridge9\\n';
      await node.mustRun(['sh', '-c', `printf '${batch}' | ip -batch -`]);
      const options = ['--devices', 'eth0,veth*,bridge9', '--xdp-devices', `eth0,${device}`];
      try {
        await using agent = makeAgent();
        await assert.rejects(agent.start('--xdp', 'native', ...options), (error: Error) => {
          assert.match(error.message, /ended with 3:/);
          assert.ok(error.message.includes(`${device}: ${reason}`), error.message);
          return true;
        });
        assert.deepEqual(await devicesWithXdp(), []);
        await agent.start('--xdp', 'best-effort', ...options);
        assert.deepEqual(await devicesWithXdp(), ['eth0']);
        assert.ok(agent.log.includes(`${device}: ${reason}`), agent.log);
        await assertServed();
      } finally {
        for (const name of ['bridge9', 'port9']) await node.mustRun(['ip', 'link', 'delete', name]);
      }
    });
  }

  test('--xdp-devices without XDP is wrong usage', async () => {
    await using agent = makeAgent();
    await assert.rejects(
      agent.start(...atUplink),
      /ended with 2:.*Expected --xdp native or --xdp best-effort/s,
    );
  });

  test('--local-redirect with XDP is wrong usage', async () => {
    await using agent = makeAgent();
    await assert.rejects(
      agent.start('--xdp', 'best-effort', '--local-redirect'),
      /ended with 2:.*Expected --xdp off with --local-redirect/s,
    );
  });

  test('a device that appears later gets XDP, one that goes is forgotten, one whose link is detached gets it again', async () => {
    const [node] = lab.nodes;
    await using agent = makeAgent();
    await agent.start('--xdp', 'best-effort', '--xdp-devices', 'eth0,late0');
    await node.mustRun(['ip', 'link', 'add', 'late0', 'type', 'veth', 'peer', 'name', 'late1']);
    await agent.logged(/event="XDP attached" device=late0/);
    assert.deepEqual((await devicesWithXdp()).sort(), ['eth0', 'late0']);
    await node.mustRun(['ip', 'link', 'delete', 'late0']);
    await agent.logged(/event="XDP detached"/);
    const [pin] = readdirSync(`${agent.pinDirectory}/links`).filter((name) => name.startsWith('xdp-'));
    {
      using link = BpfLink.openPinned(`${agent.pinDirectory}/links/${pin}`);
      link.detach();
    }
    await agent.logged(/event="XDP attached" device=eth0.*event="XDP attached" device=eth0/s, 10_000);
    assert.deepEqual(await devicesWithXdp(), ['eth0']);
    await assertServed();
  });
});
