// SPDX-License-Identifier: Apache-2.0
// Beside the rules of an ordinary node: firewalls, policies, strict reverse paths, connection tracking, kube-proxy's leftovers.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { externalWeb, serviceEmpty } from '../lib/cast.ts';
import { wirings } from '../lib/cni.ts';
import {
  hostRules,
  hostTables,
  missingForFirewall,
  policyRules,
  Rules,
  type TrackedConnection,
  trackBridgedFrames,
  trackedConnections,
} from '../lib/firewall.ts';
import {
  blockedPort,
  externalClosed,
  type Flow,
  FlowLab,
  families,
  serverPort,
  serviceClosed,
  serviceHere,
  serviceSelf,
  serviceThere,
  ways,
} from '../lib/flows.ts';
import { kubeProxyNftRules, kubeProxyTables } from '../lib/kube-proxy-rules.ts';
import { Lab, missingForLab } from '../lib/lab.ts';

const blockedMs = 300;

for (const cni of wirings) {
  const skip = missingForLab() ?? missingForFirewall(cni) ?? false;
  suite(`beside firewalls with ${cni} wiring`, { skip }, () => {
    const resources = new AsyncDisposableStack();
    let flows: FlowLab;

    before(async () => {
      const lab = await Lab.create({ name: `test-walls-${cni}`, cni });
      flows = resources.use(await FlowLab.start(lab));
      if (cni === 'bridge') for (const each of lab.nodes) await trackBridgedFrames(each);
    });
    after(() => resources.disposeAsync());

    const node = () => flows.lab.nodes[0];
    const outside = () => flows.client('outside');

    /** Both the node and its pods are closed to the outside but for what the rules name. */
    async function assertWalled(): Promise<void> {
      for (const family of families) {
        for (const { addresses } of [node(), flows.here]) {
          const answer = await flows.ask(outside(), 'tcp', addresses[family], blockedPort, blockedMs);
          assert.equal(answer.outcome, 'timeout', `${addresses[family]}:${blockedPort}`);
        }
        const open = await flows.ask(outside(), 'tcp', flows.here.addresses[family], serverPort);
        assert.equal(open.outcome, 'reply');
      }
    }

    for (const [name, apply] of [
      ['nftables', () => Rules.nft(node(), hostRules)],
      ['iptables', () => Rules.iptables(node(), hostTables)],
    ] as const) {
      test(`${cni}: ${name} rules that drop by policy and accept what is established let every flow through`, async () => {
        await using agent = flows.agent();
        await using _rules = await apply();
        await agent.start();
        await assertWalled();
        for (const family of families) await flows.check(agent, family);
      });

      test(`${cni}: ${name} rules that accept what is related let ICMP errors about a flow through`, async () => {
        await using agent = flows.agent();
        await using _rules = await apply();
        await agent.start();
        for (const family of families) {
          for (const [from, address] of [
            ['pod', serviceClosed[family]],
            ['outside', externalClosed[family]],
          ] as const) {
            const answer = await flows.ask(flows.client(from), 'udp', address, serviceClosed.port);
            assert.equal(answer.outcome, 'refused', `${from} ${address}`);
          }
        }
      });
    }

    test(`${cni}: strict reverse path filters let every flow through`, async () => {
      await using agent = flows.agent();
      const { stdout } = await node().run(['sysctl', '-a', '-r', 'net.ipv4.conf.*.rp_filter']);
      const before = stdout.trim().split('\n');
      const strict = before.map((line) => line.replace(/\d+$/, '1'));
      assert.ok(before.length > 5);
      const set = (lines: readonly string[]) =>
        node().mustRun(['sysctl', '-p', '-'], { input: lines.join('\n') });
      await set(strict);
      await agent.start();
      for (const family of families) await flows.check(agent, family);
      assert.equal(
        (await node().run(['sysctl', '-a', '-r', 'net.ipv4.conf.*.rp_filter'])).stdout.trim(),
        strict.join('\n'),
      );
      await set(before);
    });

    test(`${cni}: filters at pods' devices see pods' addresses, and so decide about requests to virtual addresses`, async () => {
      await using agent = flows.agent();
      await agent.start();
      const { here, there, pod, self } = flows;
      await using _rules = await Rules.nft(node(), policyRules(pod, [here, there]) + policyRules(self, []));
      await assertPolicy();
    });

    test(`${cni}: filters in the forward hook see pods' addresses, and so decide about requests to virtual addresses`, async () => {
      await using agent = flows.agent();
      await agent.start();
      const { here, there, pod } = flows;
      const accept = (family: 'v4' | 'v6', ip: string) =>
        `${ip} saddr ${pod.addresses[family]} ${ip} daddr { ${here.addresses[family]}, ${there.addresses[family]} } accept`;
      const rules = `table inet network-policy {
        chain forward { type filter hook forward priority filter; policy drop;
          ct state established accept
          meta l4proto icmpv6 accept
          ${accept('v4', 'ip')}
          ${accept('v6', 'ip6')}
        }
      }`;
      await using _rules = await Rules.nft(node(), rules);
      await assertPolicy();
    });

    /** The pod may talk to `here` and `there` alone, the other one to none. */
    async function assertPolicy(): Promise<void> {
      for (const family of families) {
        for (const way of ways) {
          const outcome = async (from: 'pod' | 'self', address: string, port: number) => {
            const answer = await flows.ask(flows.client(from), way, address, port, blockedMs);
            return answer.outcome === 'reply' ? answer.server : answer.outcome;
          };
          const { here, self } = flows;
          assert.equal(await outcome('pod', serviceHere[family], serviceHere.port), 'n1-pod1');
          assert.equal(await outcome('pod', serviceThere[family], serviceThere.port), 'n2-pod1');
          assert.equal(await outcome('pod', here.addresses[family], serverPort), 'n1-pod1');
          assert.equal(await outcome('pod', serviceSelf[family], serviceSelf.port), 'timeout');
          assert.equal(await outcome('pod', self.addresses[family], serverPort), 'timeout');
          assert.equal(await outcome('self', serviceHere[family], serviceHere.port), 'timeout');
          assert.equal(await outcome('self', here.addresses[family], serverPort), 'timeout');
        }
      }
    }

    test(`${cni}: connection tracking has one entry a flow, with pods' addresses, the same both ways, and answered`, async () => {
      await using agent = flows.agent();
      const tracks =
        'table inet tracking { chain counted { type filter hook prerouting priority filter; ct state invalid counter; }; }';
      for (const family of families) {
        await using _here = await Rules.nft(node(), tracks);
        await using _there = await Rules.nft(flows.lab.nodes[1], tracks);
        await agent.start();
        const answered = await flows.check(agent, family);
        for (const way of ways) {
          const refused = await flows.ask(flows.client('pod'), way, serviceEmpty[family], serviceEmpty.port);
          assert.equal(refused.outcome, 'refused'); // by a packet that passes no stack, and so is not tracked
        }
        for (const each of flows.lab.nodes) {
          const passed = answered.filter(({ nodes }) => nodes.some((name) => name === each.name));
          const tracked = await trackedConnections(each);
          assert.deepEqual(sorted(tracked), sorted(passed.map(expectedOf)), `${family} on ${each.name}`);
          const rules = await each.mustRun(['nft', 'list', 'ruleset']);
          assert.match(rules, /ct state invalid counter packets 0 bytes 0/, `${family} on ${each.name}`);
        }
        await agent.stop();
      }
    });

    for (const [name, apply] of [
      [
        'nftables',
        (services: readonly (typeof serviceHere)[], endpoint: typeof flows.there.addresses) =>
          Rules.nft(node(), kubeProxyNftRules(services, endpoint)),
      ],
      [
        'iptables',
        (services: readonly (typeof serviceHere)[], endpoint: typeof flows.there.addresses) =>
          Rules.iptables(node(), kubeProxyTables(services, endpoint)),
      ],
    ] as const) {
      test(`${cni}: rules that kube-proxy left (${name}) get no new connection, and keep those that they have`, async () => {
        await using agent = flows.agent();
        const [, , , , stale] = flows.lab.pods;
        assert.ok(stale);
        await using _rules = await apply(
          [serviceHere, serviceThere, serviceSelf, externalWeb],
          stale.addresses,
        );
        for (const family of families) {
          const { [family]: address, port } = serviceHere;
          await using old = await flows.client('pod').open({ protocol: 'tcp', address, port });
          const server = async () => {
            const answer = await old.ask();
            return answer.outcome === 'reply' ? answer.server : answer.outcome;
          };
          assert.equal(await server(), stale.name, 'the rules work while BPVS is away');
          await agent.start();
          await flows.check(agent, family);
          assert.equal(await server(), stale.name);
          await agent.stop();
          assert.equal((await agent.command('cleanup')).code, 0);
        }
      });
    }
  });
}

function expectedOf({ protocol, client, server }: Flow): TrackedConnection {
  return { protocol, original: [client, server], reply: [server, client], isAnswered: true };
}

function sorted(connections: readonly TrackedConnection[]): readonly string[] {
  return connections.map((each) => JSON.stringify(each)).sort();
}
