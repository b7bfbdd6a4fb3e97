// SPDX-License-Identifier: Apache-2.0
// The life of connections between real sockets, as bpvsadm shows it: what kernel IPVS showed of the same calls.
import assert from 'node:assert/strict';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after, before, suite, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type BpfView, openBpfView } from '../../src/dataplane/bpf/view.ts';
import { type ServiceAddress, serviceWeb } from '../lib/cast.ts';
import { NodeAgent } from '../lib/daemon.ts';
import type { Host, Pod } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { Client } from '../lib/traffic/client.ts';
import { Servers } from '../lib/traffic/server.ts';

interface Recorded {
  readonly event: string;
  readonly entries: readonly { readonly state: string; readonly expires: number }[];
  readonly counters: readonly (readonly [number, number])[];
}

interface Script {
  readonly name: string;
  readonly events: readonly Recorded[];
}

const url = new URL('../oracle/states/real-sockets.json', import.meta.url);
const scripts = (JSON.parse(readFileSync(url, 'utf8')) as { scripts: readonly Script[] }).scripts.filter(
  ({ name }) => name.endsWith('/a'),
);

/** The calls of each event, by whom, in words of tcp_end.py. What is not here is a wait. */
const calls: Readonly<Record<string, readonly string[]>> = {
  connect: ['client connect', 'server accept'],
  'connect to a closed port': ['client connect'],
  'client sends': ['client send', 'server receive 4'],
  'server sends': ['server send', 'client receive 4'],
  'client shuts its half': ['client shut', 'server receive 0'],
  'server shuts its half': ['server shut', 'client receive 0'],
  'client closes': ['client close'],
  'server closes': ['server close'],
  'client aborts': ['client abort'],
  'server aborts': ['server abort'],
};

/** A process that makes calls, one after the other. */
class End implements Disposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;

  constructor(host: Host) {
    this.#child = host.spawn([
      'python3',
      fileURLToPath(new URL('../lib/traffic/tcp_end.py', import.meta.url)),
    ]);
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async call(words: string): Promise<string> {
    this.#child.stdin.write(`${words}\n`);
    const { value = 'ended' } = await this.#answers.next();
    return value;
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

const port = 80;
const serviceOf = (n: number): ServiceAddress => ({
  v4: `10.96.0.${100 + n}`,
  v6: `fd00:10:96::${100 + n}`,
  port,
});

suite('connections of real sockets', { skip: missingForLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: Lab;
  let agent: NodeAgent;
  let view: BpfView;
  let server: Pod;
  let client: Pod;

  before(async () => {
    lab = resources.use(await Lab.create({ name: 'test-states', podsPerNode: 2 }));
    [server, client] = lab.pods as [Pod, Pod];
    resources.use(await Servers.start([server], { tcp: [8080], udp: [8080] }));
    agent = resources.use(new NodeAgent(lab, lab.nodes[0]));
    write([server]);
    await agent.start();
    view = resources.use(openBpfView(agent.pinDirectory));
  });
  after(() => resources.disposeAsync());

  /** The service of the servers that run, and one for each script, at a port of its own. */
  function write(pods: readonly Pod[]): void {
    const endpoints = pods.map((pod) => pod.addresses);
    agent.write([
      ...dualServiceManifests({ name: 'web', at: serviceWeb, endpoints }),
      ...scripts.flatMap((_, n) =>
        dualServiceManifests({
          name: `script-${n}`,
          at: serviceOf(n),
          endpoints: [server.addresses],
          targetPort: 9000 + n,
          protocols: ['TCP'],
        }),
      ),
    ]);
  }

  const entriesAt = (address: string, protocol = 'tcp') =>
    [...view.connections()].filter((each) => each.virtual.address === address && each.protocol === protocol);

  function countsAt(address: string, protocol = 'tcp'): [number, number] {
    const found = view.services().find((each) => each.address === address && each.protocol === protocol);
    const [destination] = found?.destinations ?? [];
    assert.ok(destination, `a destination at ${address}`);
    return [destination.activeConnections, destination.inactiveConnections];
  }

  /** A call returns before the last packets that it causes have passed. */
  async function shows(what: string, expected: unknown, look: () => unknown): Promise<void> {
    const deadline = performance.now() + 2000;
    while (JSON.stringify(look()) !== JSON.stringify(expected) && performance.now() < deadline)
      await setTimeout(10);
    assert.deepEqual(look(), expected, what);
  }

  for (const [n, { name, events }] of scripts.entries()) {
    test(`tcp ${name.replace('/a', '')}: states, expiries and counts are those that kernel IPVS showed`, async () => {
      using ends = new DisposableStack();
      const sides = { client: ends.use(new End(client)), server: ends.use(new End(server)) };
      const { v4: address } = serviceOf(n);
      const isRefused = events.some(({ event }) => event.includes('closed port'));
      if (!isRefused) assert.equal(await sides.server.call(`listen ${9000 + n}`), 'done');
      for (const { event, entries, counters } of events) {
        const sequence = calls[event];
        if (!sequence) {
          assert.match(event, /^wait \d+$/);
          continue;
        }
        for (const words of sequence) {
          const [side, ...call] = words.split(' ');
          const end = side === 'client' ? sides.client : sides.server;
          const where = call[0] === 'connect' ? ` ${address} ${port} ${50_000 + n}` : '';
          assert.equal(await end.call(call.join(' ') + where), isRefused ? 'refused' : 'done', words);
        }
        const states = entries.map(({ state }) => state);
        await shows(event, states, () => entriesAt(address).map(({ state }) => state));
        const [expires = 0, seconds = 0] = [
          entries[0]?.expires,
          (entriesAt(address)[0]?.expiresInMs ?? 0) / 1000,
        ];
        assert.ok(
          Math.abs(seconds - expires) < 3,
          `${event}: ${seconds} s are left, recorded were ${expires}`,
        );
        const sum = (i: 0 | 1) => counters.reduce((all, row) => all + row[i], 0);
        assert.deepEqual(countsAt(address), [sum(0), sum(1)], event);
      }
    });
  }

  test('bpvsadm lists what the sockets did', async () => {
    const lines = (await agent.bpvsadm('-Lnc')).split('\n');
    const line = (n: number) => lines.find((each) => each.includes(` ${serviceOf(n).v4}:${port} `)) ?? '';
    const closed = scripts.findIndex(({ name }) => name === 'client-close/a');
    assert.match(line(closed), /^TCP 0[01]:\d\d {2}TIME_WAIT {3}\S+:5000\d +10\.96\.0\.10\d:80 +\S+:900\d$/);
    const listing = await agent.bpvsadm('-Ln', '-t', `${serviceOf(closed).v4}:${port}`);
    assert.match(listing, /\n {2}-> \S+:900\d +Masq +1 +0 +1 *\n$/);
  });

  test('a removed UDP destination loses its connections at once, a TCP one keeps them until they end', async () => {
    await using talker = await Client.start(client);
    const web = { address: serviceWeb.v4, port: serviceWeb.port };
    await using stream = await talker.open({ protocol: 'tcp', ...web });
    await using socket = await talker.open({ protocol: 'udp', ...web });
    assert.deepEqual([(await stream.ask()).outcome, (await socket.ask()).outcome], ['reply', 'reply']);
    const seconds = (entriesAt(serviceWeb.v4, 'udp')[0]?.expiresInMs ?? 0) / 1000;
    assert.ok(seconds > 297 && seconds <= 300, `${seconds} s are left to UDP`);
    assert.deepEqual(countsAt(serviceWeb.v4, 'udp'), [0, 1]);
    write([]);
    await shows('udp', [], () => entriesAt(serviceWeb.v4, 'udp'));
    assert.equal((await stream.ask()).outcome, 'reply');
    assert.deepEqual(countsAt(serviceWeb.v4), [1, 0]);
    await stream.close();
    write([server]);
    await shows('the destination again', 1, () => {
      const found = view.services().find((each) => each.address === serviceWeb.v4 && each.protocol === 'udp');
      return found?.destinations.length;
    });
  });

  test('an abandoned connection ends within two seconds of the timeout that bpvsadm --set has set', async () => {
    await agent.bpvsadm('--set', '3', '0', '3');
    assert.equal(await agent.bpvsadm('-L', '--timeout'), 'Timeout (tcp tcpfin udp): 3 120 3\n');
    await using talker = await Client.start(client);
    const web = { address: serviceWeb.v4, port: serviceWeb.port };
    const ends = {
      tcp: await talker.open({ protocol: 'tcp', ...web }),
      udp: await talker.open({ protocol: 'udp', ...web }),
    };
    for (const protocol of ['tcp', 'udp'] as const) {
      assert.equal((await ends[protocol].ask()).outcome, 'reply');
      const asked = performance.now();
      const own = () =>
        entriesAt(serviceWeb.v4, protocol).filter(({ client }) => client.port === ends[protocol].local.port)
          .length;
      assert.equal(own(), 1);
      while (own() > 0 && performance.now() < asked + 10_000) await setTimeout(20);
      const seconds = (performance.now() - asked) / 1000;
      assert.ok(seconds > 2.8 && seconds < 5.5, `${protocol} ended after ${seconds} s`);
    }
    await agent.stop();
    await agent.bpvsadm('--set', '0', '50', '0');
    await agent.start();
    assert.equal(await agent.bpvsadm('-L', '--timeout'), 'Timeout (tcp tcpfin udp): 3 50 3\n');
  });
});
