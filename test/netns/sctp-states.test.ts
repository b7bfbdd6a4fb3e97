// SPDX-License-Identifier: Apache-2.0
// The life of SCTP associations between real ends, as bpvsadm lists it: what kernel IPVS showed of the same chunks.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { openBpfView } from '../../src/dataplane/bpf/view.ts';
import { formatAddressPort } from '../../src/model/address.ts';
import type { ServiceAddress } from '../lib/cast.ts';
import { NodeAgent } from '../lib/daemon.ts';
import type { Pod } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { compileSctp, missingForSctp, SctpEnd } from '../lib/traffic/sctp.ts';
import { until } from '../lib/until.ts';

interface Recorded {
  readonly event: string;
  readonly entries: readonly { readonly state: string; readonly expires: number }[];
  readonly counters: readonly (readonly [number, number])[];
}

const url = new URL('../oracle/states/sctp.json', import.meta.url);
const { scripts } = JSON.parse(readFileSync(url, 'utf8')) as {
  scripts: readonly { readonly name: string; readonly events: readonly Recorded[] }[];
};

/** What the kernel showed after an event of a script. */
function recorded(script: string, event: string) {
  const found = scripts
    .find(({ name }) => name === `${script}/a`)
    ?.events.find((each) => each.event === event);
  const entry = found?.entries[0];
  assert.ok(found && entry, `${event} of ${script} is recorded`);
  const sum = (i: 0 | 1) => found.counters.reduce((all, row) => all + row[i], 0);
  return { state: entry.state, seconds: entry.expires, counts: [sum(0), sum(1)] };
}

const port = 3868;
/** An end that does not send its INIT once more while a test looks. */
const patienceMs = 60_000;
/** What is rounded down in both. */
const slackSeconds = 1;

/** One service a test, so that none sees another's associations; the port that a destination serves tells them apart. */
const targetPorts = { closed: 8080, aborted: 8080, abandoned: 8081, unanswered: 8082, silent: 9999 } as const;
type Name = keyof typeof targetPorts;
const names = Object.keys(targetPorts) as Name[];
const serviceOf = (name: Name): ServiceAddress => {
  const n = 90 + names.indexOf(name);
  return { v4: `10.96.0.${n}`, v6: `fd00:10:96::${n}`, port };
};

suite('states of SCTP associations', { skip: missingForLab() ?? missingForSctp() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: Lab;
  let agent: NodeAgent;
  let program: string;
  let server: Pod;
  let pod: Pod;

  before(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bpvs-sctp-'));
    resources.defer(() => rmSync(folder, { recursive: true }));
    program = await compileSctp(folder);
    lab = resources.use(await Lab.create({ name: 'test-sctp-states', podsPerNode: 2 }));
    [server, pod] = lab.pods as [Pod, Pod];
    resources.use(await SctpEnd.startServer(server, program, 8080));
    agent = resources.use(new NodeAgent(lab, lab.nodes[0]));
    agent.write(
      names.flatMap((name) =>
        dualServiceManifests({
          ...{ name, at: serviceOf(name), endpoints: [server.addresses], protocols: ['SCTP'] },
          targetPort: targetPorts[name],
        }),
      ),
    );
    await agent.start();
  });
  after(() => resources.disposeAsync());

  for (const family of ['v4', 'v6'] as const) {
    const at = (name: Name) => formatAddressPort(serviceOf(name)[family], port);

    /** The connections with a service that `bpvsadm -Lnc` lists. */
    async function listed(name: Name): Promise<readonly { state: string; seconds: number }[]> {
      const lines = (await agent.bpvsadm('-Lnc')).split('\n');
      return lines.flatMap((line) => {
        const [protocol, expire = '', state = '', , virtual] = line.split(/ +/);
        const [minutes = 0, seconds = 0] = expire.split(':').map(Number);
        return protocol === 'SCTP' && virtual === at(name)
          ? [{ state, seconds: 60 * minutes + seconds }]
          : [];
      });
    }

    /** ActiveConn and InActConn of its one destination, as `bpvsadm -Ln` lists them. */
    async function counts(name: Name): Promise<readonly number[]> {
      const listing = await agent.bpvsadm('-Ln', '--sctp-service', at(name));
      return (/Masq +1 +(\d+) +(\d+)/.exec(listing) ?? []).slice(1).map(Number);
    }

    /**
     * Waits for what an event leads to.
     * @param since when the last packet was sent at the earliest: so much less than the recorded time may be left
     * @param ended how many closed associations of the same service are listed with it
     */
    async function shows(
      name: Name,
      expected: ReturnType<typeof recorded>,
      since: number,
      ended = 0,
    ): Promise<void> {
      const wanted = [...Array<string>(ended).fill('CLOSED'), expected.state].sort();
      const entries = await until(
        () => listed(name),
        (all) => String(all.map(({ state }) => state).sort()) === String(wanted),
        30_000,
      );
      const passed = (performance.now() - since) / 1000;
      assert.deepEqual(entries.map(({ state }) => state).sort(), wanted);
      const left = entries.filter(({ state }) => state === expected.state).map(({ seconds }) => seconds);
      const longest = Math.max(...left);
      assert.ok(
        longest <= expected.seconds + slackSeconds && longest >= expected.seconds - passed - slackSeconds,
        `${expected.state} has ${longest} s left, recorded are ${expected.seconds}, ${passed} s have passed`,
      );
      const [active = 0, inactive = 0] = expected.counts;
      assert.deepEqual(await counts(name), [active, inactive + ended]);
    }

    const connect = async (client: SctpEnd, name: Name) =>
      assert.equal(await client.say(`connect ${serviceOf(name)[family]} ${port}`), 'connected');

    for (const [name, ends] of [
      [
        'closed',
        [
          ['shutdown', 'shut down', recorded('full', 'c SHUTDOWN-COMPLETE')],
          ['make-shutdown', 'shut down', recorded('server-shutdown', 's SHUTDOWN-COMPLETE')],
        ],
      ],
      [
        'aborted',
        [
          ['abort', 'aborted', recorded('abort', 'c ABORT')],
          ['make-abort', 'aborted', recorded('abort', 'c ABORT')],
        ],
      ],
    ] as const) {
      test(`${family} sctp: an association that is opened and then ${name}, by the client and by the server`, async () => {
        await using client = await SctpEnd.startClient(pod, program);
        for (const [ended, [word, answer, expected]] of ends.entries()) {
          let since = performance.now();
          await connect(client, name);
          await shows(name, recorded('full', 's COOKIE-ACK'), since, ended);
          since = performance.now();
          assert.equal(await client.say(word), answer);
          await shows(name, expected, since, ended);
        }
      });
    }

    test(`${family} sctp: an association that both ends abandon stays established, and its time runs`, async () => {
      const doomed = await SctpEnd.startServer(server, program, targetPorts.abandoned);
      const client = await SctpEnd.startClient(pod, program);
      const since = performance.now();
      await connect(client, 'abandoned');
      await Promise.all([doomed, client].map((end) => end[Symbol.asyncDispose]()));
      const expected = recorded('full', 's COOKIE-ACK');
      await shows('abandoned', expected, since);
      const later = await until(
        () => listed('abandoned'),
        ([entry]) => (entry?.seconds ?? 0) < expected.seconds - 2,
        30_000,
      );
      assert.ok((later[0]?.seconds ?? 0) < expected.seconds - 2, 'nobody restarts its timer');
      assert.deepEqual([later[0]?.state, await counts('abandoned')], [expected.state, expected.counts]);
    });

    test(`${family} sctp: a SHUTDOWN that nobody answers leaves it in S-RECEIVED, and inactive`, async () => {
      const doomed = await SctpEnd.startServer(server, program, targetPorts.unanswered);
      await using client = await SctpEnd.startClient(pod, program);
      await connect(client, 'unanswered');
      await doomed[Symbol.asyncDispose]();
      const since = performance.now();
      client.say('shutdown').catch(() => {}); // it is killed before it can tell
      await shows('unanswered', recorded('full', 'c SHUTDOWN'), since);
    });

    /** Its four seconds may be over before bpvsadm has begun, so this one looks by itself. */
    test(`${family} sctp: an INIT that nobody answers, of a client that is gone, ends after its four seconds`, async () => {
      using view = openBpfView(agent.pinDirectory);
      const { [family]: address } = serviceOf('silent');
      const entries = () => [...view.connections()].filter(({ virtual }) => virtual.address === address);
      const counted = () => {
        const found = view.services().find((each) => each.address === address)?.destinations[0];
        return [found?.activeConnections, found?.inactiveConnections];
      };
      const expected = recorded('init-only', 'c INIT');
      const client = await SctpEnd.startClient(pod, program, patienceMs);
      const since = performance.now();
      client.say(`connect ${address} ${port}`).catch(() => {}); // as above
      const [entry] = await until(entries, ({ length }) => length > 0);
      assert.deepEqual([entry?.state, counted()], [expected.state, expected.counts]);
      await client[Symbol.asyncDispose]();
      assert.deepEqual(await until(entries, ({ length }) => length === 0, 30_000), []);
      const passed = (performance.now() - since) / 1000;
      assert.ok(passed > expected.seconds + 0.9, `it ended after ${passed} s`);
      assert.deepEqual([await listed('silent'), await counts('silent')], [[], [0, 0]]);
    });
  }
});
