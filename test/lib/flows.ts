// SPDX-License-Identifier: Apache-2.0
// One request of every class of flow through a daemon on node one, for tests of what else runs on a node.
import assert from 'node:assert/strict';
import type { SocketAddress } from '../../src/model/connection.ts';
import { type DualAddress, externalWeb, type ServiceAddress, serviceEmpty } from './cast.ts';
import { NodeAgent } from './daemon.ts';
import type { Pod } from './host.ts';
import type { Lab } from './lab.ts';
import { dualServiceManifests } from './manifests/dual-stack.ts';
import { Client } from './traffic/client.ts';
import type { Answer } from './traffic/protocol.ts';
import { Servers } from './traffic/server.ts';

export const families = ['v4', 'v6'] as const;
export type FamilyName = (typeof families)[number];

export const ways = ['tcp', 'udp'] as const;
export type Way = (typeof ways)[number];

/** Where every pod serves; where none does, and firewalls let nobody through; and where none does, but they would. */
export const serverPort = 8080;
export const blockedPort = 8081;
const closedPort = 8082;
const nodePort = 30080;

export const serviceHere: ServiceAddress = { v4: '10.96.0.81', v6: 'fd00:10:96::81', port: 80 };
export const serviceThere: ServiceAddress = { v4: '10.96.0.82', v6: 'fd00:10:96::82', port: 80 };
export const serviceSelf: ServiceAddress = { v4: '10.96.0.83', v6: 'fd00:10:96::83', port: 80 };

/** A service whose destination has nobody at that port. */
export const serviceClosed: ServiceAddress = { v4: '10.96.0.84', v6: 'fd00:10:96::84', port: 80 };
export const externalClosed: DualAddress = { v4: '198.51.100.84', v6: 'fd00:198:51:100::84' };

/** The address of a service outside the cluster, whose destination is on the other node. */
export const externalThere: ServiceAddress = { v4: '198.51.100.82', v6: 'fd00:198:51:100::82', port: 80 };

export type ClientName = 'pod' | 'self' | 'host' | 'outside';

export interface FlowClass {
  readonly from: ClientName;
  readonly to: ServiceAddress | 'node port';
  readonly server: string;
  /** The nodes whose stack the flow passes; a hairpin is turned round before it, and so is what only passes through a node. */
  readonly nodes: readonly ('node1' | 'node2')[];
}

export const flowClasses: readonly FlowClass[] = [
  { from: 'pod', to: serviceHere, server: 'n1-pod1', nodes: ['node1'] },
  { from: 'pod', to: serviceThere, server: 'n2-pod1', nodes: ['node1', 'node2'] },
  { from: 'self', to: serviceSelf, server: 'n1-pod2', nodes: [] },
  { from: 'host', to: serviceHere, server: 'n1-pod1', nodes: ['node1'] },
  { from: 'host', to: serviceThere, server: 'n2-pod1', nodes: ['node1', 'node2'] },
  { from: 'outside', to: 'node port', server: 'n1-pod1', nodes: ['node1'] },
  { from: 'outside', to: externalWeb, server: 'n1-pod1', nodes: ['node1'] },
  { from: 'outside', to: externalThere, server: 'n2-pod1', nodes: ['node2'] },
];

/** A flow that was answered: the client as the server sees it, and the server itself. */
export interface Flow {
  readonly protocol: Way;
  readonly nodes: FlowClass['nodes'];
  readonly client: SocketAddress;
  readonly server: SocketAddress;
}

/** Servers on every pod, and clients that outlive daemons. */
export class FlowLab implements AsyncDisposable {
  readonly lab: Lab;
  readonly here: Pod;
  readonly self: Pod;
  readonly pod: Pod;
  readonly there: Pod;
  readonly #resources: AsyncDisposableStack;
  readonly #clients: ReadonlyMap<ClientName, Client>;

  private constructor(lab: Lab, resources: AsyncDisposableStack, clients: ReadonlyMap<ClientName, Client>) {
    [this.here, this.self, this.pod, this.there] = lab.pods as [Pod, Pod, Pod, Pod];
    this.lab = lab;
    this.#resources = resources;
    this.#clients = clients;
  }

  /** Takes the lab over. */
  static async start(lab: Lab): Promise<FlowLab> {
    const resources = new AsyncDisposableStack();
    resources.use(lab);
    resources.use(await Servers.start(lab.pods, { tcp: [serverPort], udp: [serverPort] }));
    const [, self, pod] = lab.pods as [Pod, Pod, Pod];
    const clients = new Map<ClientName, Client>();
    for (const [name, host] of [
      ['pod', pod],
      ['self', self],
      ['outside', lab.client],
    ] as const)
      clients.set(name, resources.use(await Client.start(host)));
    return new FlowLab(lab, resources, clients);
  }

  /** A daemon that is yet to be started, with the manifests of all flows. */
  agent(): NodeAgent {
    const agent = new NodeAgent(this.lab, this.lab.nodes[0]);
    agent.write([
      ...dualServiceManifests({
        name: 'here',
        at: serviceHere,
        endpoints: [this.here.addresses],
        nodePort,
        externalIps: [externalWeb],
      }),
      ...dualServiceManifests({
        name: 'there',
        at: serviceThere,
        endpoints: [this.there.addresses],
        externalIps: [externalThere],
      }),
      ...dualServiceManifests({ name: 'self', at: serviceSelf, endpoints: [this.self.addresses] }),
      ...dualServiceManifests({
        name: 'closed',
        at: serviceClosed,
        endpoints: [this.here.addresses],
        targetPort: closedPort,
        externalIps: [externalClosed],
      }),
      ...dualServiceManifests({ name: 'empty', at: serviceEmpty, endpoints: [] }),
    ]);
    return agent;
  }

  client(name: Exclude<ClientName, 'host'>): Client {
    const found = this.#clients.get(name);
    assert.ok(found);
    return found;
  }

  /** @param size bytes of a datagram and of its answer */
  async ask(
    client: Client,
    way: Way,
    address: string,
    port: number,
    timeoutMs = 2000,
    size = 64,
  ): Promise<Answer> {
    const request = { address, port, timeoutMs };
    const [answer] =
      way === 'tcp' ? await client.tcp(request) : await client.udp({ ...request, connected: true, size });
    assert.ok(answer);
    return answer;
  }

  /** One request of every class; each has to be answered by its server. */
  async check(
    agent: NodeAgent,
    family: FamilyName,
    { only = ways, size = 64 }: { readonly only?: readonly Way[]; readonly size?: number } = {},
  ): Promise<readonly Flow[]> {
    const flows: Flow[] = [];
    await using host = await Client.start(agent.host);
    for (const { from, to, server, nodes } of flowClasses) {
      const client = from === 'host' ? host : this.client(from);
      const [address, port] =
        to === 'node port' ? [agent.node.addresses[family], nodePort] : [to[family], to.port];
      for (const way of only) {
        const answer = await this.ask(client, way, address, port, 2000, size);
        const title = `${way} from ${from} to ${address}:${port}`;
        assert.ok(answer.outcome === 'reply', `${title}: ${answer.outcome}`);
        assert.equal(answer.server, server, title);
        assert.deepEqual(answer.peer, { address, port }, title);
        const pod = this.lab.host(server);
        const end = { address: pod.addresses[family], port: answer.port };
        flows.push({ protocol: way, nodes, client: answer.client, server: end });
      }
    }
    return flows;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
