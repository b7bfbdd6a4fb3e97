// SPDX-License-Identifier: Apache-2.0
// The lab itself: plain routing between its machines, real traffic, and that nothing of it stays behind.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { suite, test } from 'node:test';
import { clientOne, podFour, podOne, podSix } from '../lib/cast.ts';
import { wirings } from '../lib/cni.ts';
import { mustRun } from '../lib/command.ts';
import type { Host } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { Client, tally } from '../lib/traffic/client.ts';
import { Server, Servers } from '../lib/traffic/server.ts';

const families = ['v4', 'v6'] as const;
const port = 8080;

/** What a lab of this name has on the machine. */
async function traces(name: string) {
  const list = async (folder: string) =>
    (await readdir(folder).catch(() => [])).filter((entry) => entry.startsWith(name));
  return { namespaces: (await list('/run/netns')).length, state: await list('/run/bpvs-lab') };
}

const nothing = { namespaces: 0, state: [] };

async function names(client: Client, host: Host, protocol: 'tcp' | 'udp') {
  const answers = await Promise.all(
    families.map((family) => client[protocol]({ address: host.addresses[family], port, timeoutMs: 5000 })),
  );
  return answers.flat().map((answer) => (answer.outcome === 'reply' ? answer.server : answer.outcome));
}

suite('the lab', { skip: missingForLab() ?? false }, () => {
  for (const cni of wirings) {
    test(`${cni}: every machine reaches every pod over IPv4 and IPv6 by plain routing`, async () => {
      await using lab = await Lab.create({ name: `test-reach-${cni}`, cni });
      await using _servers = await Servers.start(lab.pods, { tcp: [port], udp: [port] });
      for (const host of lab.hosts) {
        await using client = await Client.start(host);
        for (const pod of lab.pods) {
          assert.deepEqual(
            await names(client, pod, 'tcp'),
            [pod.name, pod.name],
            `tcp ${host.name} to ${pod.name}`,
          );
          assert.deepEqual(
            await names(client, pod, 'udp'),
            [pod.name, pod.name],
            `udp ${host.name} to ${pod.name}`,
          );
        }
      }
    });

    test(`${cni}: a lab that is torn down leaves no namespace, device or state`, async () => {
      const lab = await Lab.create({ name: `test-gone-${cni}`, cni });
      const devices = lab.pods.map((pod) => pod.hostDevice);
      assert.deepEqual(await traces(lab.name), { namespaces: 10, state: [lab.name] });
      await lab.teardown();
      await lab.teardown();
      assert.deepEqual(await traces(lab.name), nothing);
      const links = await mustRun(['ip', '-brief', 'link']);
      assert.deepEqual(
        devices.filter((device) => links.includes(device)),
        [],
      );
    });

    test(`${cni}: pods get the addresses of the named cast and know their devices on the node`, async () => {
      await using lab = await Lab.create({ name: `test-cast-${cni}`, cni });
      const [first, second] = lab.nodes;
      assert.deepEqual(lab.client.addresses, clientOne);
      assert.deepEqual(first.pods[0]?.addresses, podOne);
      assert.deepEqual([second.pods[0]?.addresses, second.pods[2]?.addresses], [podFour, podSix]);
      for (const node of lab.nodes) {
        for (const pod of node.pods) await node.mustRun(['ip', 'link', 'show', 'dev', pod.hostDevice]);
      }
    });
  }

  for (const cni of wirings) {
    test(`${cni}: a pod made later is reached, and its device goes with it`, async () => {
      await using lab = await Lab.create({ name: `test-later-${cni}`, cni, podsPerNode: 1 });
      const [node] = lab.nodes;
      const pod = await lab.addPod(node, 'n1-pod2');
      await using _server = await Server.start(pod, { tcp: [port] });
      await using client = await Client.start(lab.client);
      assert.deepEqual(await names(client, pod, 'tcp'), ['n1-pod2', 'n1-pod2']);
      await lab.removePod(node, pod);
      assert.equal((await node.run(['ip', 'link', 'show', 'dev', pod.hostDevice])).code, 1);
      assert.equal((await traces(lab.name)).namespaces, 6);
    });
  }

  test('a half-made lab and one whose maker was killed are removed by making a lab of the same name', async () => {
    const name = 'test-half';
    await mustRun(['ip', 'netns', 'add', `${name}-node1`]);
    await mustRun(['ip', 'netns', 'add', `${name}-n1-pod7`]);
    {
      await using lab = await Lab.create({ name, podsPerNode: 1 });
      assert.deepEqual(
        lab.pods.map((pod) => pod.name),
        ['n1-pod1', 'n2-pod1'],
      );
      assert.equal((await traces(name)).namespaces, 6);
    }
    assert.deepEqual(await traces(name), nothing);
  });

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    test(`a process that is ended by ${signal} takes its lab with it`, async () => {
      const name = `test-${signal.toLowerCase()}`;
      const program = `
        const { Lab } = await import('${new URL('../lib/lab.ts', import.meta.url)}');
        await Lab.create({ name: '${name}', podsPerNode: 1 });
        console.log('stands');
        setInterval(() => {}, 1000);`;
      const child = spawn(process.execPath, ['--input-type=module', '--eval', program]);
      await once(child.stdout, 'data');
      assert.equal((await traces(name)).namespaces, 6);
      child.kill(signal);
      await once(child, 'close');
      assert.deepEqual(await traces(name), nothing);
    });
  }

  test('two labs stand side by side with the same addresses', async () => {
    await using one = await Lab.create({ name: 'test-side', podsPerNode: 1 });
    await using other = await Lab.create({ name: 'test-side-n1', podsPerNode: 1, cni: 'bridge' });
    await using _server = await Server.start(other.nodes[0], { tcp: [port], name: 'other' });
    await using client = await Client.start(one.client);
    const address = one.nodes[0].addresses.v4;
    assert.deepEqual(tally(await client.tcp({ address, port })), { refused: 1 });
    await using otherClient = await Client.start(other.client);
    assert.deepEqual(tally(await otherClient.tcp({ address, port })), { other: 1 });
    await one.teardown();
    assert.equal((await traces('test-side-n1')).namespaces, 6);
  });
});
