// SPDX-License-Identifier: Apache-2.0
// Every class of flow through a daemon: who asks, what for, and which server answers whom.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import {
  type DualAddress,
  externalWeb,
  loadBalancerWeb,
  type ServiceAddress,
  serviceDns,
  serviceEmpty,
  serviceWeb,
} from '../lib/cast.ts';
import { wirings } from '../lib/cni.ts';
import { NodeAgent } from '../lib/daemon.ts';
import type { Host, Pod } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { Client, tally } from '../lib/traffic/client.ts';
import type { Answer, TcpRequest } from '../lib/traffic/protocol.ts';
import { Servers } from '../lib/traffic/server.ts';

const families = ['v4', 'v6'] as const;
const port = 8080;
const nodePort = 30080;
const megabytes = 1 << 20;

/** Cluster IPs beyond the cast's: one service whose destination is on the node, one whose is not, one that is its own client. */
const serviceHere: ServiceAddress = { v4: '10.96.0.81', v6: 'fd00:10:96::81', port: 80 };
const serviceThere: ServiceAddress = { v4: '10.96.0.82', v6: 'fd00:10:96::82', port: 80 };
const serviceSelf: ServiceAddress = { v4: '10.96.0.83', v6: 'fd00:10:96::83', port: 80 };
const nodePortThere = 30082;
const externalThere: DualAddress = { v4: '198.51.100.82', v6: 'fd00:198:51:100::82' };
const externalEmpty: DualAddress = { v4: '198.51.100.99', v6: 'fd00:198:51:100::99' };

type Way = 'tcp' | 'connected udp' | 'udp';
const ways: readonly Way[] = ['tcp', 'connected udp', 'udp'];

for (const cni of wirings) {
  suite(`flows with ${cni} wiring`, { skip: missingForLab() ?? false }, () => {
    const resources = new AsyncDisposableStack();
    let lab: Lab;
    let agent: NodeAgent;
    const clients = new Map<string, Client>();

    before(async () => {
      lab = resources.use(await Lab.create({ name: `test-flows-${cni}`, cni }));
      const [here, self, other, there] = lab.pods as [Pod, Pod, Pod, Pod];
      resources.use(await Servers.start(lab.pods, { tcp: [port], udp: [port] }));
      agent = resources.use(new NodeAgent(lab, lab.nodes[0]));
      agent.write([
        ...dualServiceManifests({
          name: 'web',
          at: serviceWeb,
          endpoints: [here, self, there].map((pod) => pod.addresses),
        }),
        ...dualServiceManifests({
          name: 'here',
          at: serviceHere,
          endpoints: [here.addresses],
          nodePort,
          externalIps: [externalWeb],
          loadBalancerIps: [loadBalancerWeb],
        }),
        ...dualServiceManifests({
          name: 'there',
          at: serviceThere,
          endpoints: [there.addresses],
          nodePort: nodePortThere,
          externalIps: [externalThere],
        }),
        ...dualServiceManifests({ name: 'self', at: serviceSelf, endpoints: [self.addresses] }),
        ...dualServiceManifests({
          name: 'empty',
          at: serviceEmpty,
          endpoints: [],
          externalIps: [externalEmpty],
        }),
      ]);
      await agent.start();
      const hosts: Record<string, Host> = { pod: other, self, host: agent.host, outside: lab.client };
      for (const [name, host] of Object.entries(hosts)) {
        clients.set(name, resources.use(await Client.start(host)));
      }
    });
    after(() => resources.disposeAsync());

    const client = (name: string) => {
      const found = clients.get(name);
      assert.ok(found);
      return found;
    };

    function ask(
      from: string,
      way: Way,
      address: string,
      at: number,
      several: Pick<TcpRequest, 'count' | 'sourcePort'> = {},
    ): Promise<Answer[]> {
      const request = { address, port: at, ...several };
      return way === 'tcp'
        ? client(from).tcp(request)
        : client(from).udp({ ...request, connected: way === 'connected udp' });
    }

    /** One request; checks who answers, as whom, and returns the client as the server sees it. */
    async function answeredBy(server: string, from: string, way: Way, address: string, at: number) {
      const [answer] = await ask(from, way, address, at);
      assert.ok(answer?.outcome === 'reply', `${from} to ${address}:${at}: ${answer?.outcome}`);
      assert.equal(answer.server, server);
      assert.deepEqual(answer.peer, { address, port: at });
      return answer.client.address;
    }

    for (const family of families) {
      for (const way of ways) {
        const title = `${cni} ${family} ${way}`;

        test(`${title}: a pod reaches destinations on its own and on the other node as itself`, async () => {
          const own = client('pod').host.addresses[family];
          assert.equal(await answeredBy('n1-pod1', 'pod', way, serviceHere[family], 80), own);
          assert.equal(await answeredBy('n2-pod1', 'pod', way, serviceThere[family], 80), own);
        });

        test(`${title}: an outside client reaches node port, external IP and load-balancer IP as itself`, async () => {
          const own = lab.client.addresses[family];
          const node = lab.nodes[0].addresses[family];
          assert.equal(await answeredBy('n1-pod1', 'outside', way, node, nodePort), own);
          assert.equal(await answeredBy('n1-pod1', 'outside', way, externalWeb[family], 80), own);
          assert.equal(await answeredBy('n1-pod1', 'outside', way, loadBalancerWeb[family], 80), own);
        });

        test(`${title}: an outside client reaches a destination on the other node, which sees this node as its client`, async () => {
          const node = lab.nodes[0].addresses[family];
          assert.equal(await answeredBy('n2-pod1', 'outside', way, node, nodePortThere), node);
          assert.equal(await answeredBy('n2-pod1', 'outside', way, externalThere[family], 80), node);
        });

        test(`${title}: a process of the host reaches destinations on both nodes and knows only the virtual address`, async () => {
          await answeredBy('n1-pod1', 'host', way, serviceHere[family], 80);
          await answeredBy('n2-pod1', 'host', way, serviceThere[family], 80);
          await answeredBy('n1-pod1', 'host', way, lab.nodes[0].addresses[family], nodePort);
        });

        test(`${title}: a pod that is its own destination is answered, as if the virtual address had asked`, async () => {
          const seen = await answeredBy('n1-pod2', 'self', way, serviceSelf[family], 80);
          assert.equal(seen, serviceSelf[family]);
        });

        test(`${title}: three destinations get exactly a third of the requests each`, async () => {
          // Ports that no request had before: a port of one's choice may still have its connection, and so its server.
          const sourcePort = 20_000 + 1000 * ways.indexOf(way);
          for (const from of ['pod', 'host']) {
            const several = { count: 30, sourcePort };
            const answers = await ask(from, way, serviceWeb[family], serviceWeb.port, several);
            assert.deepEqual(tally(answers), { 'n1-pod1': 10, 'n1-pod2': 10, 'n2-pod1': 10 }, from);
          }
        });

        // An unconnected socket never hears of ICMP errors; the host's hear from sendmsg itself.
        const refused = way === 'udp' ? (['host'] as const) : (['pod', 'host', 'outside'] as const);
        for (const from of refused) {
          test(`${title}: a service without destinations, or a port without service, refuses ${from} at once`, async () => {
            const address = (from === 'outside' ? externalEmpty : serviceEmpty)[family];
            assert.deepEqual(tally(await ask(from, way, address, serviceEmpty.port)), { refused: 1 });
            if (way === 'tcp' || from === 'pod')
              assert.deepEqual(tally(await ask(from, way, address, serviceEmpty.port + 1)), { refused: 1 });
          });
        }
      }

      for (const [from, service] of [
        ['pod', serviceHere],
        ['pod', serviceThere],
        ['outside', externalWeb],
        ['outside', { ...externalThere, port: 80 }],
        ['host', serviceThere],
        ['self', serviceSelf],
      ] as const) {
        test(`${cni} ${family}: 64 MiB each way between ${from} and ${service.v4} arrive whole`, async () => {
          await using connection = await client(from).open({
            protocol: 'tcp',
            address: service[family],
            port: service.port,
          });
          const whole = { outcome: 'done', bytes: 64 * megabytes, firstDifference: null };
          assert.deepEqual(await connection.receive(64 * megabytes), whole);
          assert.deepEqual(await connection.send(64 * megabytes), whole);
        });
      }
    }

    test(`${cni}: a name that is no virtual address is left alone`, async () => {
      const [answer] = await ask('pod', 'tcp', serviceDns.v4, serviceDns.port);
      assert.equal(answer?.outcome, 'timeout');
    });
  });
}
