// SPDX-License-Identifier: Apache-2.0
// The only endpoint of a Service is replaced under UDP and SCTP clients that never stop sending, each from one port.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import {
  type ClientName,
  ClusterLab,
  describePod,
  missingForClusterLab,
  patientMs,
} from '../lib/cluster/cluster-lab.ts';
import { createPods, removePodObjects } from '../lib/cluster/objects.ts';
import { compileSctp, missingForSctp, SctpEnd } from '../lib/traffic/sctp.ts';
import { until } from '../lib/until.ts';

const clusterIp = '10.96.0.80';
const port = 80;
const nodePort = 30080;
/** Of the server there, which is not the cluster's, as all pods of the lab serve 8080 by TCP and UDP. */
const sctpPort = 8081;

suite('endpoints that are replaced', { skip: missingForClusterLab() ?? false }, () => {
  const resources = new AsyncDisposableStack();
  let lab: ClusterLab;

  before(async () => {
    lab = resources.use(await ClusterLab.start('test-replace'));
    const each = { port, nodePort };
    await lab.serve('web', {
      type: 'NodePort',
      clusterIP: clusterIp,
      selector: { app: 'only' },
      ports: [
        { ...each, name: 'udp', protocol: 'UDP', targetPort: 8080 },
        { ...each, name: 'sctp', protocol: 'SCTP', targetPort: sctpPort },
      ],
    });
  });
  after(() => resources.disposeAsync());

  /** The Pod object of a pod, of this Service alone. */
  async function begin(name: string): Promise<void> {
    await createPods(lab.cluster, { ...describePod(lab.pod(name), `only-${name}`), labels: { app: 'only' } });
  }

  const end = (name: string) => removePodObjects(lab.cluster, `only-${name}`);

  /** Asks on and on until the answers come from there; what else comes meanwhile is why they do not. */
  async function movesTo(server: string, ask: () => Promise<string>): Promise<void> {
    const found = await until(ask, (from) => from === server, patientMs);
    assert.equal(found, server);
  }

  const ways = [
    { from: 'pod', isConnected: true },
    { from: 'pod', isConnected: false },
    { from: 'host', isConnected: true },
    { from: 'host', isConnected: false },
    { from: 'outside', isConnected: true },
  ] as const;

  /**
   * A socket, and how to ask by it: who answers, or what comes instead. One that is destroyed with its destination, as connected
   * ones of the node's processes are, is opened anew.
   */
  async function openSocket(from: ClientName, isConnected: boolean) {
    const client = await lab.client(from);
    const at =
      from === 'outside'
        ? { address: lab.lab.nodes[0].addresses.v4, port: nodePort }
        : { address: clusterIp, port };
    const request = { protocol: 'udp', ...at, connected: isConnected, timeoutMs: 300 } as const;
    let socket = await client.tryOpen(request);
    const close = async () => {
      if ('close' in socket) await socket.close();
    };
    const ask = async () => {
      if (!('ask' in socket)) socket = await client.tryOpen(request);
      if (!('ask' in socket)) return socket.outcome;
      const answer = await socket.ask();
      if (answer.outcome === 'aborted') {
        await close();
        socket = answer;
      }
      return answer.outcome === 'reply' ? answer.server : answer.outcome;
    };
    return { ask, close };
  }

  test('udp: sockets of pods, nodes and clients outside that ask without a pause follow the endpoint, through none, too', async () => {
    await begin('n1-pod2');
    // A socket that is connected before there is a Service stays without one.
    await lab.becomes('host', { address: clusterIp, port, protocol: 'udp' }, ['n1-pod2']);
    await using sockets = new AsyncDisposableStack();
    const asks: (() => Promise<string>)[] = [];
    for (const { from, isConnected } of ways) {
      const { ask, close } = await openSocket(from, isConnected);
      sockets.defer(close);
      asks.push(ask);
    }
    const allMoveTo = (server: string) => Promise.all(asks.map((ask) => movesTo(server, ask)));
    await allMoveTo('n1-pod2');
    // One comes and the other goes at once.
    await Promise.all([begin('n2-pod2'), end('n1-pod2'), allMoveTo('n2-pod2')]);
    await Promise.all([
      end('n2-pod2'),
      ...asks.map(async (ask) => {
        const outcome = await until(ask, (from) => from !== 'n2-pod2', patientMs);
        assert.ok(['refused', 'timeout', 'aborted'].includes(outcome), outcome);
      }),
    ]);
    await Promise.all([begin('n1-pod3'), allMoveTo('n1-pod3')]);
    await end('n1-pod3');
  });

  suite('of SCTP', { skip: missingForSctp() ?? false }, () => {
    let client: SctpEnd;

    before(async () => {
      const folder = mkdtempSync(join(tmpdir(), 'bpvs-sctp-'));
      resources.defer(() => rmSync(folder, { recursive: true }));
      const program = await compileSctp(folder);
      for (const name of ['n1-pod2', 'n2-pod2'])
        resources.use(await SctpEnd.startServer(lab.pod(name), program, sctpPort));
      client = resources.use(await SctpEnd.startClient(lab.lab.host('n1-pod1'), program));
    });

    /** Its association, or, where that has failed, another one from the same port. */
    async function ask(): Promise<string> {
      const answer = await client.say('who');
      if (/^n\d-pod/.test(answer)) return answer.split(' ')[0] ?? '';
      return `${answer}, ${await client.say(`connect ${clusterIp} ${port} 40000`)}`;
    }

    test('sctp: a client that connects anew from its port whenever its association fails gets to the new endpoint', async () => {
      await begin('n1-pod2');
      await movesTo('n1-pod2', ask);
      await Promise.all([begin('n2-pod2'), end('n1-pod2'), movesTo('n2-pod2', ask)]);
    });
  });
});
