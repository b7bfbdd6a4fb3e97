// SPDX-License-Identifier: Apache-2.0
// The daemon's life on a node: start, change, kill, adoption, devices that come and go, clean-up.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, unlinkSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { findCgroupRoot } from '../../src/agent/cgroup.ts';
import { BpfLink } from '../../src/native/bpf-link.ts';
import { BpfMap } from '../../src/native/bpf-map.ts';
import { serviceEmpty, serviceWeb } from '../lib/cast.ts';
import { NodeAgent } from '../lib/daemon.ts';
import type { Pod } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { Client, tally } from '../lib/traffic/client.ts';
import { Servers } from '../lib/traffic/server.ts';

const megabytes = 1 << 20;
const web = { address: serviceWeb.v4, port: serviceWeb.port };

suite('the daemon', { skip: missingForLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: Lab;
  let here: Pod;
  let pod: Pod;
  let there: Pod;
  let client: Client;

  before(async () => {
    lab = resources.use(await Lab.create({ name: 'test-daemon', podsPerNode: 2 }));
    [here, pod, there] = lab.pods as [Pod, Pod, Pod];
    resources.use(await Servers.start(lab.pods, { tcp: [8080], udp: [8080] }));
    client = resources.use(await Client.start(pod));
  });
  after(() => resources.disposeAsync());

  /** Pins, control group and manifests of node one, for one test each. */
  function makeAgent(): NodeAgent {
    const agent = new NodeAgent(lab, lab.nodes[0]);
    writeWeb(agent, here, there);
    return agent;
  }

  function writeWeb(agent: NodeAgent, ...pods: readonly Pod[]): void {
    const endpoints = pods.map((each) => each.addresses);
    agent.write(dualServiceManifests({ name: 'web', at: serviceWeb, endpoints }));
  }

  test('a daemon that is ready says how many virtual services and devices it serves', async () => {
    await using agent = makeAgent();
    assert.equal(await agent.start(), 'bpvs: ready, 4 virtual services, 3 devices');
  });

  test('SIGTERM and SIGINT end the daemon with exit code 0 and leave traffic as it is', async () => {
    await using agent = makeAgent();
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      await agent.start();
      assert.equal(await agent.stop(signal), 0);
      assert.deepEqual(tally(await client.tcp({ ...web, count: 4 })), { 'n1-pod1': 2, 'n2-pod1': 2 });
    }
  });

  test('streams survive kill -9 of the daemon, and a new one adopts their connections', async () => {
    await using agent = makeAgent();
    await agent.start();
    await using hostClient = await Client.start(agent.host);
    await using stream = await client.open({ protocol: 'tcp', ...web });
    await using hostStream = await hostClient.open({ protocol: 'tcp', ...web });
    const transfers = Promise.all([stream.receive(512 * megabytes), hostStream.receive(512 * megabytes)]);
    assert.equal(await agent.stop('SIGKILL'), null);
    assert.deepEqual(tally(await client.tcp({ ...web, count: 4 })), { 'n1-pod1': 2, 'n2-pod1': 2 });
    await agent.start();
    assert.match(agent.log, /event="maps adopted"/);
    assert.match(agent.log, /event=reconciled services=4 operations=0 failures=0/);
    const whole = { outcome: 'done', bytes: 512 * megabytes, firstDifference: null };
    assert.deepEqual(await transfers, [whole, whole]);
    assert.equal((await stream.ask()).outcome, 'reply');
    assert.equal((await hostStream.ask()).outcome, 'reply');
    const status = await readStatus(agent);
    assert.equal(status.states.ESTABLISHED, 2);
    assert.equal(status.cgroups.length, 1);
    assert.equal(status.devices.length, 3);
  });

  test('a restart replaces every program in its place', async () => {
    await using agent = makeAgent();
    await agent.start();
    const before = linkPrograms(agent);
    await agent.stop();
    await agent.start();
    const after = linkPrograms(agent);
    assert.deepEqual([...after.keys()], [...before.keys()]);
    for (const [pin, programId] of after) assert.notEqual(programId, before.get(pin), pin);
  });

  test('a changed manifest is served, and an invalid one leaves everything as it was', async () => {
    await using agent = makeAgent();
    await agent.start();
    writeWeb(agent, here);
    await agent.logged(/event=reconciled services=4 operations=4 /);
    assert.deepEqual(tally(await client.tcp({ ...web, count: 4 })), { 'n1-pod1': 4 });
    agent.writeText('{ "apiVersion": ');
    await agent.logged(/event="manifest problem" problem=.*objects.json/);
    assert.deepEqual(tally(await client.tcp({ ...web, count: 4 })), { 'n1-pod1': 4 });
  });

  test('a daemon that starts with a broken manifest keeps what may be in it until it is mended', async () => {
    await using agent = makeAgent();
    await agent.start();
    await agent.stop();
    agent.writeText('{ "apiVersion": ');
    agent.write([], 'other.json');
    assert.match(await agent.start(), /, 0 virtual services, 3 devices$/);
    await agent.logged(/level=warning .*are kept until .*files=objects.json kept=4\n/);
    await agent.logged(/event=reconciled services=0 operations=0 failures=0 withheld=4 /);
    assert.deepEqual(tally(await client.tcp({ ...web, count: 4 })), { 'n1-pod1': 2, 'n2-pod1': 2 });
    writeWeb(agent, here);
    await agent.logged(/event=reconciled services=4 operations=4 failures=0 draining=1 ms=/);
    assert.deepEqual(tally(await client.tcp({ ...web, count: 4 })), { 'n1-pod1': 4 });
  });

  test('a node port follows the addresses of the node', async () => {
    await using agent = makeAgent();
    const endpoints = [here.addresses];
    agent.write(dualServiceManifests({ name: 'web', at: serviceWeb, endpoints, nodePort: 30080 }));
    await agent.start();
    const [node] = lab.nodes;
    await node.mustRun(['ip', 'address', 'add', '192.0.2.77/24', 'dev', 'eth0']);
    await agent.logged(/event="addresses of the node" addresses=\d+\n.*event=reconciled .*operations=4 /);
    assert.deepEqual(tally(await client.tcp({ address: '192.0.2.77', port: 30080 })), { 'n1-pod1': 1 });
    await node.mustRun(['ip', 'address', 'del', '192.0.2.77/24', 'dev', 'eth0']);
    await agent.logged(/operations=4 .*\n.*\n.*operations=2 /);
  });

  test('a pod that comes later is served within a second, and its device forgotten when it goes', async () => {
    await using agent = makeAgent();
    await agent.start();
    const [node] = lab.nodes;
    const late = await lab.addPod(node, 'n1-pod9');
    await agent.logged(new RegExp(`event="device attached" device=${late.hostDevice}\n`), 1000);
    const pins = readdirSync(`${agent.pinDirectory}/links`).length;
    {
      await using lateClient = await Client.start(late);
      assert.deepEqual(tally(await lateClient.tcp({ ...web, count: 4 })), { 'n1-pod1': 2, 'n2-pod1': 2 });
    }
    await lab.removePod(node, late);
    await agent.logged(new RegExp(`event="device forgotten" device=${late.hostDevice}\n`), 1000);
    assert.equal(readdirSync(`${agent.pinDirectory}/links`).length, pins - 2);
  });

  test('a device that went while no daemon ran is forgotten by the next one', async () => {
    await using agent = makeAgent();
    const [node] = lab.nodes;
    const late = await lab.addPod(node, 'n1-pod9');
    await agent.start();
    const pins = readdirSync(`${agent.pinDirectory}/links`).length;
    await agent.stop('SIGKILL');
    await lab.removePod(node, late);
    await agent.start();
    assert.equal(readdirSync(`${agent.pinDirectory}/links`).length, pins - 2);
  });

  test('devices left out by --devices are not met, and neither are sockets of pods at the root control group', async () => {
    await using agent = makeAgent();
    const cgroup = findCgroupRoot();
    assert.match(await agent.start('--devices', `!${pod.hostDevice}`, '--cgroup', cgroup), / 2 devices$/);
    await using hostClient = await Client.start(lab.nodes[0]);
    assert.deepEqual(tally(await hostClient.tcp({ ...web, count: 2 })), { 'n1-pod1': 1, 'n2-pod1': 1 });
    assert.deepEqual(tally(await client.tcp({ ...web, timeoutMs: 300 })), { timeout: 1 });
    await agent.stop();
    assert.match(await agent.start('--devices', 'veth*'), / 2 devices$/);
    assert.deepEqual(tally(await client.tcp({ ...web, count: 2 })), { 'n1-pod1': 1, 'n2-pod1': 1 });
  });

  test('classifiers of clsact serve where tcx is not used, are adopted, and give way to tcx', async () => {
    await using agent = makeAgent();
    const hooks = async () =>
      (await readStatus(agent)).devices.map((device: { hook: string }) => device.hook);
    for (let run = 0; run < 2; run++) {
      await agent.start('--attach', 'clsact');
      assert.deepEqual(tally(await client.tcp({ ...web, count: 2 })), { 'n1-pod1': 1, 'n2-pod1': 1 });
      assert.deepEqual(await hooks(), ['clsact', 'clsact', 'clsact']);
      await agent.stop();
    }
    await agent.start();
    assert.deepEqual(await hooks(), ['tcx', 'tcx', 'tcx']);
    await agent.stop();
    await agent.start('--attach', 'clsact');
    assert.deepEqual(await hooks(), ['clsact', 'clsact', 'clsact']);
    await agent.stop('SIGKILL');
    const { stdout } = await agent.command('cleanup');
    assert.match(stdout, / 10 links, 6 tc filters, /);
    const filters = await lab.nodes[0].mustRun(['tc', 'filter', 'show', 'dev', 'eth0', 'ingress']);
    assert.equal(filters, '');
  });

  test('sh keeps a client at its destination, whatever its port', async () => {
    await using agent = makeAgent();
    await agent.start('--scheduler', 'sh');
    const answers = tally(await client.tcp({ ...web, count: 20 }));
    assert.deepEqual(Object.values(answers), [20]);
    const explained = await explain(agent, `${pod.addresses.v4}`);
    assert.deepEqual(Object.keys(answers), [
      explained.destination.address === here.addresses.v4 ? 'n1-pod1' : 'n2-pod1',
    ]);
  });

  test('explain names the destination that the next connection gets, and changes nothing', async () => {
    await using agent = makeAgent();
    await agent.start();
    const maps = () => digest(agent, 'places') + digest(agent, 'connections');
    for (let i = 0; i < 4; i++) {
      const before = maps();
      const explained = await explain(agent, `${pod.addresses.v4}:40000`);
      assert.equal(explained.reason, 'translated');
      assert.deepEqual(await explain(agent, `${pod.addresses.v4}:40000`), explained);
      assert.equal(maps(), before);
      const [answer] = await client.tcp(web);
      assert.ok(answer?.outcome === 'reply');
      const server = lab.pods.find((each) => each.name === answer.server);
      assert.equal(explained.destination.address, server?.addresses.v4);
    }
  });

  test("explain knows connections, empty services and addresses that are nobody's, with or without a daemon", async () => {
    await using agent = makeAgent();
    agent.write(dualServiceManifests({ name: 'none', at: serviceEmpty, endpoints: [] }), 'none.json');
    await agent.start();
    await using connection = await client.open({ protocol: 'tcp', ...web });
    await agent.stop();
    const { local } = connection;
    const known = await explain(agent, `${local.address}:${local.port}`);
    assert.equal(known.isKnownConnection, true);
    const text = async (service: string) =>
      (await agent.command('explain', '--client', pod.addresses.v6, '--service', service)).stdout;
    assert.match(await text(`[${serviceEmpty.v6}]:99`), /result +is rejected with an ICMP error/);
    assert.match(await text('[fd00::1]:99/udp'), /result +passes untouched/);
    assert.match(
      await text(`[${serviceWeb.v6}]:80`),
      /scheduler +rr: .*\nresult +goes to \[fd00:10:244:\d::2\]:8080/,
    );
  });

  test('two daemons on the same pins do not run at once, and cleanup does not run beside one', async () => {
    await using agent = makeAgent();
    await agent.start();
    const second = await agent.command('run', '--manifests', agent.manifests);
    assert.equal(second.code, 3);
    assert.match(second.stderr, /^bpvs: Another `bpvs run` \(process \d+\) serves .*\n$/);
    const cleanup = await agent.command('cleanup');
    assert.equal(cleanup.code, 1);
    assert.match(cleanup.stderr, /end it first\n$/);
    assert.deepEqual(tally(await client.tcp({ ...web, count: 2 })), { 'n1-pod1': 1, 'n2-pod1': 1 });
  });

  test('maps that a daemon left half pinned are made anew', async () => {
    await using agent = makeAgent();
    await agent.start();
    await agent.stop();
    unlinkSync(`${agent.pinDirectory}/maps/settings`);
    assert.match(await agent.start(), /, 4 virtual services, 3 devices$/);
    assert.match(agent.log, /event="maps made"/);
    assert.deepEqual(tally(await client.tcp({ ...web, count: 2 })), { 'n1-pod1': 1, 'n2-pod1': 1 });
  });

  test('cleanup leaves no pin, no link and no translation, and may be repeated', async () => {
    await using agent = makeAgent();
    await agent.start();
    await agent.stop('SIGKILL');
    assert.match(
      (await agent.command('cleanup')).stdout,
      /^removed from .*: 16 links, 0 tc filters, \d+ programs, \d+ maps\n$/,
    );
    assert.equal(existsSync(agent.pinDirectory), false);
    assert.deepEqual(tally(await client.tcp({ ...web, timeoutMs: 300 })), { timeout: 1 });
    const again = await agent.command('cleanup');
    assert.deepEqual([again.code, again.stdout], [0, `nothing of BPVS at ${agent.pinDirectory}\n`]);
  });

  test('what the machine lacks is one sentence with its remedy, and exit code 3', async () => {
    await using agent = makeAgent();
    const run = async (...options: readonly string[]) => {
      const { code, stderr } = await agent.command('run', '--manifests', agent.manifests, ...options);
      return { code, lastLine: stderr.trimEnd().split('\n').at(-1) };
    };
    const missing = await run('--cgroup', '/nowhere');
    assert.equal(missing.code, 3);
    assert.match(missing.lastLine ?? '', /cannot be attached to \/nowhere: there is no such folder/);
    const wrong = await run('--cgroup', '/tmp');
    assert.equal(wrong.code, 3);
    assert.match(wrong.lastLine ?? '', /cannot be attached to \/tmp: it is no control group of version 2/);
    for (const pinDirectory of ['/tmp/bpvs-pins', '/nowhere/bpvs']) {
      const other = await run('--pin-dir', pinDirectory);
      assert.equal(other.code, 3);
      assert.match(
        other.lastLine ?? '',
        /is in another file system\).*`mount -t bpf -o mode=0700 bpf \/sys\/fs\/bpf`/,
      );
      assert.equal(existsSync(pinDirectory), false);
    }
    assert.equal(existsSync(agent.pinDirectory), false, 'a start that fails leaves no maps');
    assert.equal((await agent.command('status')).code, 3);
  });

  test('a folder of manifests that is not there is wrong usage', async () => {
    await using agent = makeAgent();
    const { code, stderr } = await agent.command('run', '--manifests', '/nowhere', '--cgroup', agent.cgroup);
    assert.equal(code, 2);
    assert.match(stderr, /bpvs: Expected a readable folder for --manifests but received "\/nowhere"\n$/);
    assert.equal(existsSync(agent.pinDirectory), false, 'a start that fails leaves no maps');
  });

  test('a later daemon says that it adopts tables of another size than asked for', async () => {
    await using agent = makeAgent();
    await agent.start('--max-connections', '2048');
    assert.doesNotMatch(agent.log, /another size/);
    await agent.stop();
    await agent.start('--max-connections', '4096');
    assert.match(
      agent.log,
      /level=warning event=".*another size.*" table=connections size=2048 asked=4096\n/,
    );
  });

  test('a device that --devices names is told of once while there is none', async () => {
    await using agent = makeAgent();
    assert.match(await agent.start('--devices', 'eth0,nosuch0,lo'), / 1 devices$/);
    assert.match(
      agent.log,
      /level=warning event="device not served" problem="there is no device nosuch0 yet"/,
    );
    assert.match(agent.log, /problem="lo cannot be served/);
    const [node] = lab.nodes;
    await node.mustRun(['ip', 'link', 'add', 'nosuch0', 'type', 'veth']);
    await agent.logged(/event="device attached" device=nosuch0\n/);
    await node.mustRun(['ip', 'link', 'delete', 'nosuch0']);
    await agent.logged(/event="device forgotten" device=nosuch0\n/);
    assert.equal(agent.log.match(/problem="lo cannot/g)?.length, 1);
  });

  for (const hook of ['clsact', 'tcx']) {
    test(`${hook}: what others take off a device, and a device made again, is attached again`, async () => {
      await using agent = makeAgent();
      const [node] = lab.nodes;
      const add = ['ip', 'link', 'add', 'again0', 'index', '777', 'type', 'veth'];
      await node.mustRun(add);
      await agent.start('--attach', hook, '--devices', `again0,${pod.hostDevice}`);
      const names = async () => (await readStatus(agent)).devices.map((each: { name: string }) => each.name);
      const both = (await names()).sort();
      assert.equal(both.length, 2);
      if (hook === 'clsact') {
        await node.mustRun(['tc', 'qdisc', 'del', 'dev', pod.hostDevice, 'clsact']);
      } else {
        const pin = readdirSync(`${agent.pinDirectory}/links`).find((each) =>
          /^tcx-(?!777).*-ingress/.test(each),
        );
        using link = BpfLink.openPinned(`${agent.pinDirectory}/links/${pin}`);
        link.detach();
      }
      const attached = (name: string) => `event="device attached" device=${name}\\n`;
      await agent.logged(new RegExp(`${attached(pod.hostDevice)}[^]*${attached(pod.hostDevice)}`), 10_000);
      assert.deepEqual(tally(await client.tcp({ ...web, count: 2 })), { 'n1-pod1': 1, 'n2-pod1': 1 });
      const batch = `link delete again0\n${add.slice(1).join(' ')}\n`;
      await node.mustRun(['sh', '-c', `printf '${batch}' | ip -batch -`]);
      await agent.logged(new RegExp(`${attached('again0')}[^]*${attached('again0')}`), 10_000);
      assert.deepEqual((await names()).sort(), both);
      await node.mustRun(['ip', 'link', 'delete', 'again0']);
    });
  }
});

async function explain(agent: NodeAgent, from: string) {
  const { stdout, stderr } = await agent.command(
    ...['explain', '--client', from, '--service', `${serviceWeb.v4}:80`, '-o', 'json'],
  );
  assert.equal(stderr, '');
  return JSON.parse(stdout);
}

async function readStatus(agent: NodeAgent) {
  const { stdout, stderr } = await agent.command('status', '-o', 'json');
  assert.equal(stderr, '');
  return JSON.parse(stdout);
}

/** The id of the program that runs at each pinned link. */
function linkPrograms({ pinDirectory }: NodeAgent): ReadonlyMap<string, number> {
  const folder = `${pinDirectory}/links`;
  return new Map(
    readdirSync(folder).map((pin) => {
      using link = BpfLink.openPinned(`${folder}/${pin}`);
      return [pin, link.info().programId];
    }),
  );
}

/** Of everything that a pinned map holds. */
function digest({ pinDirectory }: NodeAgent, name: string): string {
  using map = BpfMap.openPinned(`${pinDirectory}/maps/${name}`);
  const hash = createHash('sha256');
  for (const { keys, values } of map.chunks()) hash.update(keys).update(values);
  return hash.digest('hex');
}
