// SPDX-License-Identifier: Apache-2.0
// One-packet scheduling: each datagram of real sockets is sent to a destination of its own, and nothing is remembered.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { formatAddressPort } from '../../src/model/address.ts';
import type { Operation } from '../../src/model/operation.ts';
import { serviceDns } from '../lib/cast.ts';
import { configure } from '../lib/configured.ts';
import { NodeAgent } from '../lib/daemon.ts';
import type { Host, Pod } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { Client, type ClientConnection } from '../lib/traffic/client.ts';
import { Servers } from '../lib/traffic/server.ts';

const targetPort = 8080;
const questions = 6;

suite('one-packet scheduling', { skip: missingForLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let agent: NodeAgent;
  let servers: readonly [Pod, Pod];
  const hosts = new Map<string, Host>();

  before(async () => {
    const lab = resources.use(await Lab.create({ name: 'test-one-packet', podsPerNode: 2 }));
    const [here, pod, there] = lab.pods as [Pod, Pod, Pod];
    servers = [here, there];
    resources.use(await Servers.start(servers, { tcp: [], udp: [targetPort] }));
    agent = resources.use(new NodeAgent(lab, lab.nodes[0]));
    const operations = (['v4', 'v6'] as const).flatMap((family): Operation[] => {
      const service = { protocol: 'udp', address: serviceDns[family], port: serviceDns.port } as const;
      const terms = {
        scheduler: 'rr',
        schedulerFlags: [],
        noDestination: 'reject',
        isOnePacket: true,
      } as const;
      return [
        { do: 'add-service', service: { ...service, ...terms } },
        ...servers.map(({ addresses }): Operation => {
          const destination = {
            address: addresses[family],
            port: targetPort,
            weight: 1,
            forwarding: 'masq',
          } as const;
          return { do: 'add-destination', service, destination };
        }),
      ];
    });
    await configure(agent, operations);
    hosts.set('a process of the host', agent.host).set('a pod', pod);
  });
  after(() => resources.disposeAsync());

  /** Who answers each question, by name, and as whom. */
  async function answers(socket: ClientConnection): Promise<readonly (readonly [string, string])[]> {
    const all: (readonly [string, string])[] = [];
    for (let n = 0; n < questions; n++) {
      const answer = await socket.ask();
      assert.ok(answer.outcome === 'reply', answer.outcome);
      all.push([answer.server, formatAddressPort(answer.peer.address, answer.peer.port)]);
    }
    return all;
  }

  for (const family of ['v4', 'v6'] as const) {
    const address = serviceDns[family];
    const virtual = formatAddressPort(address, serviceDns.port);

    /** ActiveConn and InActConn of each destination. */
    async function counts(): Promise<readonly string[]> {
      const listing = await agent.bpvsadm('-Ln', '-u', virtual);
      return [...listing.matchAll(/Masq +1 +(\d+ +\d+)/g)].map(([, both = '']) => both.replace(/ +/, ' '));
    }

    /** Connections and packets in and out of the service. */
    async function statistics(): Promise<readonly number[]> {
      const listing = await agent.bpvsadm('-Ln', '--stats', '--exact', '-u', virtual);
      return (/\nUDP +\S+ +(\d+) +(\d+) +(\d+) /.exec(listing) ?? []).slice(1).map(Number);
    }

    for (const from of ['a process of the host', 'a pod'] as const) {
      test(`${family} udp: datagrams of one socket of ${from} take turns, and answers come with the servers' own addresses`, async () => {
        const host = hosts.get(from);
        assert.ok(host);
        await using client = await Client.start(host);
        await using socket = await client.open({ protocol: 'udp', address, port: serviceDns.port });
        const [connections = 0] = await statistics();
        const found = await answers(socket);
        for (const [n, [server, peer]] of found.entries()) {
          const pod = servers.find(({ name }) => name === server);
          assert.equal(peer, formatAddressPort(pod?.addresses[family] ?? '', targetPort));
          if (n > 0) assert.notEqual(server, found[n - 1]?.[0], 'the other one has its turn');
        }
        const [after = 0] = await statistics();
        assert.equal(after - connections, questions, 'each datagram is a connection');
        assert.deepEqual(await counts(), ['0 0', '0 0']);
        assert.doesNotMatch(await agent.bpvsadm('-Lnc'), /UDP/);
      });
    }

    test(`${family} udp: a connected socket of the host keeps the server that it got, and knows it by the virtual address`, async () => {
      await using client = await Client.start(agent.host);
      const target = { protocol: 'udp', address, port: serviceDns.port, connected: true } as const;
      await using socket = await client.open(target);
      const found = await answers(socket);
      assert.equal(new Set(found.map(([server]) => server)).size, 1);
      for (const [, peer] of found) assert.equal(peer, virtual);
    });
  }
});
