// SPDX-License-Identifier: Apache-2.0
// SCTP associations through a daemon, between ends whose stack checks every packet's CRC.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { formatAddressPort } from '../../src/model/address.ts';
import type { ServiceAddress } from '../lib/cast.ts';
import { wirings } from '../lib/cni.ts';
import { NodeAgent } from '../lib/daemon.ts';
import type { Pod } from '../lib/host.ts';
import { Lab, missingForLab } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { compileSctp, missingForSctp, SctpEnd } from '../lib/traffic/sctp.ts';

const bpvsadm = fileURLToPath(new URL('../../src/cli/bpvsadm.ts', import.meta.url));
const families = ['v4', 'v6'] as const;
const port = 3868;
const nodePort = 30868;

const serviceHere: ServiceAddress = { v4: '10.96.0.81', v6: 'fd00:10:96::81', port };
const serviceThere: ServiceAddress = { v4: '10.96.0.82', v6: 'fd00:10:96::82', port };
const serviceSelf: ServiceAddress = { v4: '10.96.0.83', v6: 'fd00:10:96::83', port };

for (const cni of wirings) {
  suite(`SCTP with ${cni} wiring`, { skip: missingForLab() ?? missingForSctp() ?? false }, () => {
    const resources = new AsyncDisposableStack();
    let lab: Lab;
    let agent: NodeAgent;
    const clients = new Map<string, SctpEnd>();

    before(async () => {
      const folder = mkdtempSync(join(tmpdir(), 'bpvs-sctp-'));
      resources.defer(() => rmSync(folder, { recursive: true }));
      const program = await compileSctp(folder);
      lab = resources.use(await Lab.create({ name: `test-sctp-${cni}`, cni }));
      const [here, self, other, there] = lab.pods as [Pod, Pod, Pod, Pod];
      for (const pod of [here, self, there]) resources.use(await SctpEnd.startServer(pod, program, 8080));
      agent = resources.use(new NodeAgent(lab, lab.nodes[0]));
      const service = (name: string, at: ServiceAddress, pod: Pod, more = {}) =>
        dualServiceManifests({ name, at, endpoints: [pod.addresses], protocols: ['SCTP'], ...more });
      agent.write([
        ...service('here', serviceHere, here, { nodePort }),
        ...service('there', serviceThere, there),
        ...service('self', serviceSelf, self),
      ]);
      await agent.start();
      for (const [name, host] of Object.entries({ pod: other, self, outside: lab.client })) {
        clients.set(name, resources.use(await SctpEnd.startClient(host, program)));
      }
    });
    after(() => resources.disposeAsync());

    const client = (name: string) => {
      const found = clients.get(name);
      assert.ok(found);
      return found;
    };

    /** The states that `bpvsadm -Lnc` lists of the connections with this virtual address. */
    async function states(address: string, at: number): Promise<string[]> {
      const argv = [process.execPath, bpvsadm, '-Lnc'];
      const environment = { BPVS_PIN_DIR: agent.pinDirectory };
      const lines = (await agent.node.mustRun(argv, { environment })).split('\n');
      const rows = lines.map((line) => line.split(/ +/));
      return rows.flatMap(([protocol, , state, , virtual]) =>
        protocol === 'SCTP' && virtual === formatAddressPort(address, at) && state ? [state] : [],
      );
    }

    for (const family of families) {
      for (const [from, to, server] of [
        ['pod', 'here', 'n1-pod1'],
        ['pod', 'there', 'n2-pod1'],
        ['outside', 'node port', 'n1-pod1'],
        ['self', 'self', 'n1-pod2'],
      ] as const) {
        const service = () => {
          if (to === 'node port') return { address: lab.nodes[0].addresses[family], at: nodePort };
          const address = { here: serviceHere, there: serviceThere, self: serviceSelf }[to][family];
          return { address, at: port };
        };
        const ownAddress = () => {
          if (from === 'self') return serviceSelf[family];
          return (from === 'pod' ? (lab.pods[2] as Pod) : lab.client).addresses[family];
        };

        test(`${cni} ${family} sctp: ${from} to ${to}: messages small and big come back whole, and the end is graceful`, async () => {
          const { address, at } = service();
          assert.equal(await client(from).say(`connect ${address} ${at}`), 'connected');
          const [name, seen] = (await client(from).say('who')).split(' ');
          assert.deepEqual([name, seen], [server, ownAddress()]);
          for (const bytes of [1, 1000, 200_000, 3]) {
            assert.equal(await client(from).say(`echo ${bytes}`), 'same', `${bytes} bytes`);
          }
          assert.equal((await states(address, at)).filter((state) => state === 'ESTABLISHED').length, 1);
          assert.equal(await client(from).say('shutdown'), 'shut down');
          assert.deepEqual(new Set(await states(address, at)), new Set(['CLOSED']));
        });
      }

      test(`${cni} ${family} sctp: explain says where an INIT would go`, async () => {
        const from = (lab.pods[2] as Pod).addresses[family];
        const target = `${formatAddressPort(serviceHere[family], port)}/sctp`;
        const { stdout } = await agent.command('explain', '--client', from, '--service', target);
        const to = formatAddressPort((lab.pods[0] as Pod).addresses[family], 8080);
        assert.ok(stdout.endsWith(`goes to ${to} (masq, weight 1)\n`), stdout);
      });

      test(`${cni} ${family} sctp: an ABORT of either end closes the connection`, async () => {
        const { [family]: address } = serviceHere;
        for (const end of ['abort', 'make-abort']) {
          assert.equal(await client('pod').say(`connect ${address} ${port}`), 'connected');
          assert.equal(await client('pod').say(end), 'aborted');
          assert.deepEqual(new Set(await states(address, port)), new Set(['CLOSED']), end);
        }
      });
    }
  });
}
