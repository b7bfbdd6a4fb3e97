// SPDX-License-Identifier: Apache-2.0
// Outside clients that cannot be served by the other node: no way there, nobody there, no port left. All others can.
import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test } from 'node:test';
import { openBpfView } from '../../src/dataplane/bpf/view.ts';
import { externalWeb, nodeOne, podRangeTwo, type ServiceAddress, segment } from '../lib/cast.ts';
import type { NodeAgent } from '../lib/daemon.ts';
import { externalThere, type FamilyName, FlowLab, families, ways } from '../lib/flows.ts';
import type { Host } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { machineCommands } from '../lib/lab-layout.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';

/** One more virtual address of the same destination. */
const alsoThere: ServiceAddress = { v4: '198.51.100.87', v6: 'fd00:198:51:100::87', port: 80 };
/** On the segment, where nobody is. */
const nobody = { v4: '192.0.2.77', v6: 'fd00:192:0:2::77' };
const waitMs = 300;

suite('outside clients that cannot be served', { skip: missingForLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let flows: FlowLab;
  let agent: NodeAgent;

  before(async () => {
    flows = resources.use(await FlowLab.start(await Lab.create({ name: 'test-refusals', cni: 'ptp' })));
    agent = resources.use(flows.agent());
    const more = dualServiceManifests({
      name: 'also-there',
      at: { v4: '10.96.0.87', v6: 'fd00:10:96::87', port: 80 },
      endpoints: [flows.there.addresses],
      externalIps: [alsoThere],
    });
    agent.write(more, 'more.json');
    await agent.start();
  });
  after(() => resources.disposeAsync());

  const node = () => flows.lab.nodes[0];
  const outside = () => flows.client('outside');

  function ip(host: Host, ...commands: readonly string[]): Promise<string> {
    return host.mustRun(['ip', '-batch', '-'], { input: `${commands.join('\n')}\n` });
  }

  afterEach(async () => {
    const normal = machineCommands('node1').split('\n');
    const again = normal.map((line) => line.replace(/^(route|address) add/, '$1 replace'));
    await ip(node(), ...again);
  });

  async function outcome(way: 'tcp' | 'udp', { port, ...to }: ServiceAddress, family: FamilyName) {
    const answer = await flows.ask(outside(), way, to[family], port, waitMs);
    return answer.outcome === 'reply' ? answer.server : answer.outcome;
  }

  function count(reason: string): bigint {
    using view = openBpfView(agent.pinDirectory);
    return view.reasons().get(reason) ?? 0n;
  }

  /** Nobody but those who ask for the other node notices anything. */
  async function assertOthersAreServed(family: FamilyName): Promise<void> {
    for (const way of ways) assert.equal(await outcome(way, externalWeb, family), 'n1-pod1');
  }

  for (const family of families) {
    for (const kind of ['blackhole', 'unreachable', 'prohibit'] as const) {
      test(`refusals ${family}: a route of kind ${kind} to the destination → dropped, counted, and over when the route is`, async () => {
        const { [family]: address, port } = externalThere;
        await using held = await outside().open({ protocol: 'tcp', address, port, timeoutMs: 10_000 });
        assert.equal((await held.ask()).outcome, 'reply');
        const before = count('dropped_no_route');
        const old = podRangeTwo[family];
        await ip(node(), `route del ${old}`, `route add ${kind} ${old}`);
        for (const way of ways) assert.equal(await outcome(way, externalThere, family), 'timeout', way);
        assert.ok(count('dropped_no_route') - before >= 2n);
        await assertOthersAreServed(family);
        const answer = held.ask();
        await ip(node(), `route del ${kind} ${old}`, ...routesOf(old));
        assert.equal((await answer).outcome, 'reply', 'a connection that was there before');
        assert.equal(await outcome('tcp', externalThere, family), 'n2-pod1');
      });
    }

    test(`refusals ${family}: no address that packets could have as their source → dropped and counted`, async () => {
      const { address: mac } = JSON.parse(
        await node().mustRun(['ip', '-json', 'link', 'show', 'dev', 'eth0']),
      )[0];
      await ip(outside().host, `neighbour replace ${nodeOne[family]} lladdr ${mac} dev eth0 nud permanent`);
      try {
        const length = segment[family].split('/')[1];
        await ip(
          node(),
          `address del ${nodeOne[family]}/${length} dev eth0`,
          `route replace ${segment[family]} dev eth0`,
          ...routesOf(podRangeTwo[family]).map((each) => each.replace('add', 'replace')),
        );
        for (let deadline = performance.now() + 5000; ; ) {
          const before = count('dropped_no_route');
          const said = await outcome('tcp', externalThere, family);
          if (said === 'timeout' && count('dropped_no_route') > before) break;
          assert.ok(performance.now() < deadline, said); // the daemon hears of the address in its own time
        }
        await assertOthersAreServed(family);
      } finally {
        await ip(outside().host, `neighbour del ${nodeOne[family]} dev eth0`);
      }
    });

    test(`refusals ${family}: nobody at the next hop → the client waits in vain, until somebody is there`, async () => {
      const { [family]: address, port } = externalThere;
      await ip(node(), `route replace ${podRangeTwo[family]} via ${nobody[family]}`);
      for (const way of ways)
        assert.match(await outcome(way, externalThere, family), /^(timeout|unreachable)$/, way);
      await assertOthersAreServed(family);
      const opened = outside().open({ protocol: 'tcp', address, port, timeoutMs: 10_000 });
      const [, other] = flows.lab.nodes;
      const length = segment[family].split('/')[1];
      await ip(other, `address add ${nobody[family]}/${length} dev eth0${family === 'v6' ? ' nodad' : ''}`);
      await using connection = await opened;
      assert.equal((await connection.ask()).outcome, 'reply');
      await ip(other, `address del ${nobody[family]}/${length} dev eth0`);
    });

    for (const way of ways) {
      test(`refusals ${family} ${way}: one client port asks for two virtual addresses of one destination → both are answered`, async () => {
        const seen: number[] = [];
        await using connections = new AsyncDisposableStack();
        for (const { [family]: address, port } of [externalThere, alsoThere]) {
          const from = { sourcePort: 23_456, sourceAddress: outside().host.addresses[family] };
          const connection = connections.use(
            await outside().open({
              protocol: way,
              address,
              port,
              ...from,
              ...(way === 'udp' && { connected: true }),
            }),
          );
          const answers = [await connection.ask(), await connection.ask()];
          for (const answer of answers) {
            assert.ok(answer.outcome === 'reply');
            assert.deepEqual(answer.peer, { address, port });
            seen.push(answer.client.port);
          }
          if (way === 'udp') await connection.close(); // two sockets could not have one port
        }
        const [first, firstAgain, second, secondAgain] = seen;
        assert.deepEqual([first, firstAgain], [23_456, 23_456]);
        assert.ok(second !== first && second === secondAgain && (second ?? 0) >= 32_768, `${seen}`);
      });
    }

    test(`refusals ${family} udp: no source port is left → dropped and counted, others are served`, async () => {
      const { [family]: address, port } = externalThere;
      await outside().host.mustRun(['python3', '-c', takeAllPorts, address, String(port)]);
      const before = count('dropped_ports_exhausted');
      const late = {
        address: alsoThere[family],
        port: alsoThere.port,
        sourcePort: 40_000,
        timeoutMs: waitMs,
      };
      assert.equal((await outside().udp(late))[0]?.outcome, 'timeout');
      assert.equal(count('dropped_ports_exhausted'), before + 1n);
      await assertOthersAreServed(family);
      assert.equal(await outcome('tcp', alsoThere, family), 'n2-pod1');
    });
  }

  function routesOf(prefix: string): readonly string[] {
    return machineCommands('node1')
      .split('\n')
      .filter((line) => line.startsWith(`route add ${prefix} `));
  }
});

/**
 * One datagram, and its answer, from each port that BPVS chooses from (bpf/lib/admit.h). Each keeps its own, but where an
 * earlier test's connection has it and chance finds no other.
 */
const takeAllPorts = `
import socket, sys
address, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
for own in range(32768, 61000):
    with socket.socket(family, socket.SOCK_DGRAM) as each:
        each.settimeout(0.2)
        each.bind(("", own))
        each.sendto(b"x" * 64, (address, port))
        try:
            each.recv(100)
        except TimeoutError:
            pass
`;
