// SPDX-License-Identifier: Apache-2.0
// Services with sessionAffinity ClientIP through a daemon: who stays where, how long, and what bpvsadm lists of it.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { formatAddressPort } from '../../src/model/address.ts';
import { type DualAddress, externalWeb, type ServiceAddress } from '../lib/cast.ts';
import { NodeAgent } from '../lib/daemon.ts';
import type { Pod } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { Client, tally } from '../lib/traffic/client.ts';
import { Servers } from '../lib/traffic/server.ts';
import { until } from '../lib/until.ts';

const port = 80;
const targetPort = 8080;
const hour = 3600;
/** Longer than datagrams' connections of a second and the sweep's round after that: those hold the template. */
const shortSeconds = 5;
const connections = 10;

const sticky: ServiceAddress = { v4: '10.96.0.91', v6: 'fd00:10:96::91', port };
const shortly: ServiceAddress = { v4: '10.96.0.92', v6: 'fd00:10:96::92', port };

suite('affinity to a client address', { skip: missingForLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: Lab;
  let agent: NodeAgent;
  let servers: readonly Pod[];
  const clients = new Map<string, Client>();

  before(async () => {
    lab = resources.use(await Lab.create({ name: 'test-affinity' }));
    const [first, second, pod, third, other] = lab.pods as [Pod, Pod, Pod, Pod, Pod];
    servers = [first, second, third];
    resources.use(await Servers.start(servers, { tcp: [targetPort], udp: [targetPort] }));
    agent = resources.use(new NodeAgent(lab, lab.nodes[0]));
    write(servers);
    await agent.start();
    const hosts = { pod, host: agent.host, outside: lab.client, server: first, other };
    for (const [name, host] of Object.entries(hosts))
      clients.set(name, resources.use(await Client.start(host)));
  });
  after(() => resources.disposeAsync());

  function write(pods: readonly Pod[]): void {
    const endpoints = pods.map((pod) => pod.addresses);
    agent.write([
      ...dualServiceManifests({
        ...{ name: 'sticky', at: sticky, endpoints, affinitySeconds: hour },
        externalIps: [externalWeb],
      }),
      ...dualServiceManifests({
        ...{ name: 'shortly', at: shortly, endpoints, affinitySeconds: shortSeconds },
        protocols: ['UDP'],
      }),
    ]);
  }

  /** Who answers so many connections, each from a port of its own. Fails where that is not one alone. */
  async function serverOf(name: string, protocol: 'tcp' | 'udp', address: string, count = connections) {
    const client = clients.get(name);
    assert.ok(client);
    const answers = tally(await client[protocol]({ address, port, count }));
    const [server = ''] = Object.keys(answers);
    assert.deepEqual(answers, { [server]: count }, `${name} is answered by one server`);
    return server;
  }

  const destinationOf = (name: string, family: keyof DualAddress) => {
    const pod = servers.find((each) => each.name === name);
    assert.ok(pod, `${name} is one of the servers`);
    return formatAddressPort(pod.addresses[family], targetPort);
  };

  /** The lines of `bpvsadm -Lnc` that are about a service's templates: state, client and destination. */
  async function templates(protocol: 'tcp' | 'udp', address: string): Promise<readonly string[]> {
    const lines = (await agent.bpvsadm('-Lnc')).split('\n').map((line) => line.split(/ +/));
    return lines.flatMap(([of, , state = '', client = '', virtual, destination = '']) =>
      of === protocol.toUpperCase() && virtual === formatAddressPort(address, port) && client.endsWith(':0')
        ? [`${state} ${client} ${destination}`]
        : [],
    );
  }

  for (const family of ['v4', 'v6'] as const) {
    for (const protocol of ['tcp', 'udp'] as const) {
      test(`${family} ${protocol}: each client stays where its first connection went, others are sent to others`, async () => {
        const address = sticky[family];
        const found = {
          pod: await serverOf('pod', protocol, address),
          host: await serverOf('host', protocol, address),
          server: await serverOf('server', protocol, address),
        };
        assert.deepEqual(Object.values(found).sort(), servers.map(({ name }) => name).sort());
        for (const [name, server] of Object.entries(found))
          assert.equal(await serverOf(name, protocol, address), server, `${name} comes again`);

        const external = externalWeb[family];
        const outside = await serverOf('outside', protocol, external);
        assert.equal(await serverOf('outside', protocol, external), outside);

        /* To its scheduler a process of the host is a client at the virtual address; of its datagrams no answer is seen. */
        const own = { pod: 'pod', server: 'server' } as const;
        const sources = new Map<string, string>(
          Object.entries(own).map(([name, key]) => [name, clients.get(key)?.host.addresses[family] ?? '']),
        ).set('host', address);
        const line = (source: string, server: string) => {
          const isHeard = protocol === 'tcp' || source !== address;
          return `${isHeard ? 'ASSURED' : 'NONE'} ${formatAddressPort(source, 0)} ${destinationOf(server, family)}`;
        };
        assert.deepEqual(
          [...(await templates(protocol, address))].sort(),
          Object.entries(found)
            .map(([name, server]) => line(sources.get(name) ?? '', server))
            .sort(),
        );
        assert.deepEqual(await templates(protocol, external), [line(lab.client.addresses[family], outside)]);

        const option = protocol === 'tcp' ? '-t' : '-u';
        const listing = await agent.bpvsadm(
          ...['-Ln', '--persistent-conn', option, formatAddressPort(address, port)],
        );
        const rows = [...listing.matchAll(/-> (\S+) +1 +(\d+) +\d+ +\d+/g)];
        assert.deepEqual(
          rows.map(([, destination, count]) => `${destination} ${count}`).sort(),
          servers.map(({ name }) => `${destinationOf(name, family)} 1`).sort(),
        );
      });
    }

    test(`${family} udp: a client that has been away for longer than the timeout is sent on to the next`, async () => {
      await agent.bpvsadm('--set', '0', '0', '1');
      const address = shortly[family];
      const first = await serverOf('pod', 'udp', address);
      assert.deepEqual(
        await until(
          () => templates('udp', address),
          ({ length }) => length === 0,
          90_000,
        ),
        [],
      );
      const second = await serverOf('pod', 'udp', address);
      assert.notEqual(second, first);
      await agent.bpvsadm('--set', '0', '0', '300');
    });
  }

  test('a client whose destination goes is sent to another at its next connection, and stays there', async () => {
    const at = [sticky.v4, sticky.v6];
    const before = await Promise.all(at.map((address) => serverOf('pod', 'tcp', address)));
    for (const [n, address] of at.entries()) {
      write(servers.filter(({ name }) => name !== before[n]));
      const server = await until(
        () => serverOf('pod', 'tcp', address, 1),
        (name) => name !== before[n],
      );
      assert.notEqual(server, before[n]);
      write(servers);
      assert.equal(await serverOf('pod', 'tcp', address), server);
    }
  });
});
