// SPDX-License-Identifier: Apache-2.0
// ICMP with real tools: path MTU discovery, refusals, ping and traceroute, all through virtual addresses.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { formatAddressPort } from '../../src/model/address.ts';
import { externalWeb, farRange, farRouter, podRangeTwo, type ServiceAddress } from '../lib/cast.ts';
import { wirings } from '../lib/cni.ts';
import { NodeAgent } from '../lib/daemon.ts';
import { addFar } from '../lib/far.ts';
import type { Host, Pod } from '../lib/host.ts';
import { Lab, missingForLabWith } from '../lib/lab.ts';
import { dualServiceManifests } from '../lib/manifests/dual-stack.ts';
import { Client, tally } from '../lib/traffic/client.ts';
import { Servers } from '../lib/traffic/server.ts';

const families = ['v4', 'v6'] as const;
type Family = (typeof families)[number];
const port = 8080;
const closedPort = 8081;
const latePort = 8082;
const nodePort = 30080;
const smallMtu = 1280;
const transferBytes = 4 << 20;

const serviceHere: ServiceAddress = { v4: '10.96.0.81', v6: 'fd00:10:96::81', port: 80 };
const serviceThere: ServiceAddress = { v4: '10.96.0.82', v6: 'fd00:10:96::82', port: 80 };
const serviceClosed: ServiceAddress = { v4: '10.96.0.84', v6: 'fd00:10:96::84', port: 80 };
const serviceSelf: ServiceAddress = { v4: '10.96.0.85', v6: 'fd00:10:96::85', port: 80 };
const serviceLate: ServiceAddress = { v4: '10.96.0.86', v6: 'fd00:10:96::86', port: 80 };

/** Linux sends a host no more than an ICMP error a second, which traceroute notices. */
const unlimitedErrors = 'echo 0 | tee /proc/sys/net/ipv4/icmp_ratelimit > /proc/sys/net/ipv6/icmp/ratelimit';

for (const cni of wirings) {
  suite(`ICMP with ${cni} wiring`, { skip: missingForLabWith('traceroute', 'traceroute') ?? false }, () => {
    const resources = new AsyncDisposableStack();
    let lab: Lab;
    let agent: NodeAgent;
    let far: Host;
    const clients = new Map<string, Client>();

    before(async () => {
      lab = resources.use(await Lab.create({ name: `test-icmp-${cni}`, cni }));
      far = await addFar(lab);
      for (const router of [lab.client, ...lab.nodes]) await router.mustRun(['sh', '-c', unlimitedErrors]);
      const [here, self, pod, there] = lab.pods as [Pod, Pod, Pod, Pod];
      resources.use(await Servers.start(lab.pods, { tcp: [port], udp: [port] }));
      agent = resources.use(new NodeAgent(lab, lab.nodes[0]));
      const services = [
        { name: 'here', at: serviceHere, endpoints: [here], nodePort, externalIps: [externalWeb] },
        { name: 'there', at: serviceThere, endpoints: [there] },
        { name: 'closed', at: serviceClosed, endpoints: [there], targetPort: closedPort },
        { name: 'self', at: serviceSelf, endpoints: [self], targetPort: closedPort },
        { name: 'late', at: serviceLate, endpoints: [there], targetPort: latePort },
      ];
      agent.write(
        services.flatMap(({ endpoints, ...service }) =>
          dualServiceManifests({ ...service, endpoints: endpoints.map((each) => each.addresses) }),
        ),
      );
      await agent.start();
      for (const [name, host] of Object.entries({ pod, self, host: agent.host, far, outside: lab.client })) {
        clients.set(name, resources.use(await Client.start(host)));
      }
    });
    after(() => resources.disposeAsync());

    const client = (name: string) => {
      const found = clients.get(name);
      assert.ok(found);
      return found;
    };

    /** Gives a machine's route a small MTU until it is disposed of. */
    async function withSmallMtu(router: Host, family: Family, to: string) {
      const ip = ['ip', family === 'v4' ? '-4' : '-6', 'route'];
      const route = (await router.mustRun([...ip, 'show', to])).trim().split('\n')[0] ?? '';
      const words = route.split(/\s+/);
      await router.mustRun([...ip, 'replace', ...words, 'mtu', String(smallMtu)]);
      return {
        [Symbol.asyncDispose]: async () => {
          await router.mustRun([...ip, 'replace', ...words, 'mtu', '0']);
        },
      };
    }

    async function forgetPaths(host: Host): Promise<void> {
      for (const family of ['-4', '-6']) await host.mustRun(['ip', family, 'route', 'flush', 'cache']);
    }

    async function pathMtu(host: Host, address: string): Promise<number | undefined> {
      const mtu = / mtu (\d+)/.exec(await host.mustRun(['ip', 'route', 'get', address]))?.[1];
      return mtu === undefined ? undefined : Number(mtu);
    }

    for (const family of families) {
      const ways = [
        {
          name: 'behind the node',
          service: serviceThere,
          router: () => lab.nodes[0],
          to: podRangeTwo[family],
        },
        {
          name: 'behind a router behind the node',
          service: serviceThere,
          router: () => lab.nodes[1],
          to: undefined,
        },
      ];
      for (const { name, service, router, to } of ways) {
        const route = () => to ?? (cni === 'ptp' ? podOn(lab, 3).addresses[family] : podRangeTwo[family]);

        for (const from of ['pod', 'host']) {
          test(`${cni} ${family} tcp: ${from} finds the small MTU ${name}, and 4 MiB arrive whole`, async () => {
            const { host } = client(from);
            await forgetPaths(host);
            await using _small = await withSmallMtu(router(), family, route());
            await using connection = await client(from).open({
              protocol: 'tcp',
              address: service[family],
              port: service.port,
            });
            const whole = { outcome: 'done', bytes: transferBytes, firstDifference: null };
            assert.deepEqual(await connection.receive(transferBytes), whole);
            assert.deepEqual(await connection.send(transferBytes), whole);
            const destination = from === 'host' ? podOn(lab, 3).addresses[family] : service[family];
            if (from !== 'host' || router() !== lab.nodes[0])
              assert.equal(await pathMtu(host, destination), smallMtu);
          });
        }

        test(`${cni} ${family} udp: a pod's datagrams that must not be fragmented find the small MTU ${name}`, async () => {
          const { host } = client('pod');
          await forgetPaths(host);
          await using _small = await withSmallMtu(router(), family, route());
          const argv = ['python3', script('udp_path_mtu.py'), service[family], String(service.port), '1400'];
          assert.equal((await host.mustRun(argv)).trim(), `EMSGSIZE ${smallMtu}`);
          const small = { address: service[family], port: service.port, size: 1200 };
          assert.deepEqual(tally(await client('pod').udp(small)), { 'n2-pod1': 1 });
          const inFragments = { ...small, size: 1400 }; // as the kernel knows the path by now
          assert.deepEqual(tally(await client('pod').udp(inFragments)), { 'n2-pod1': 1 });
        });
      }

      test(`${cni} ${family} tcp: a destination finds the small MTU on the way to an outside client`, async () => {
        const destination = podOn(lab, 0);
        await forgetPaths(destination);
        await using _small = await withSmallMtu(lab.client, family, farRange[family]);
        await using connection = await client('far').open({
          protocol: 'tcp',
          address: externalWeb[family],
          port: externalWeb.port,
        });
        const whole = { outcome: 'done', bytes: transferBytes, firstDifference: null };
        assert.deepEqual(await connection.receive(transferBytes), whole);
        assert.deepEqual(await connection.send(transferBytes), whole);
        assert.equal(await pathMtu(destination, far.addresses[family]), smallMtu);
      });

      for (const [from, service] of [
        ['pod', serviceClosed],
        ['host', serviceClosed],
        ['self', serviceSelf],
      ] as const) {
        test(`${cni} ${family} udp: ${from} hears at once that nobody listens at the destination`, async () => {
          const request = { address: service[family], port: service.port, connected: true };
          assert.deepEqual(tally(await client(from).udp(request)), { refused: 1 });
        });
      }

      test(`${cni} ${family} udp: a destination hears that its client is gone`, async () => {
        const there = podOn(lab, 3);
        const server = there.spawn([
          'python3',
          script('udp_late_answer.py'),
          there.addresses[family],
          String(latePort),
        ]);
        const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
        assert.equal((await lines.next()).value, 'ready');
        const request = { address: serviceLate[family], port: serviceLate.port, timeoutMs: 50 };
        assert.deepEqual(tally(await client('pod').udp(request)), { timeout: 1 });
        assert.equal((await lines.next()).value, 'ECONNREFUSED');
        if (server.exitCode === null) await once(server, 'close');
      });

      for (const [from, address] of [
        ['pod', serviceThere],
        ['host', serviceThere],
        ['outside', externalWeb],
        ['far', externalWeb],
      ] as const) {
        for (const size of from === 'host' && family === 'v6' ? [0, 56, 1400] : [0, 56, 1400, 6000]) {
          test(`${cni} ${family}: ${from} pings a virtual address with ${size} bytes`, async () => {
            await forgetPaths(client(from).host); // what is larger than the path comes in fragments
            const argv = [
              'ping',
              '-n',
              '-c',
              '2',
              '-i',
              '0.2',
              '-W',
              '1',
              '-s',
              String(size),
              address[family],
            ];
            const output = await client(from).host.mustRun(argv);
            assert.match(output, /2 packets transmitted, 2 received, 0% packet loss/);
            assert.match(output, new RegExp(`bytes from ${address[family]}: icmp_seq=1 ttl=6[34]`));
          });
        }
      }

      test(`${cni} ${family}: a node answers pings to its own addresses itself, node ports or not`, async () => {
        const answered = async () =>
          /answered_echo\s+(\d+)/.exec((await agent.command('status')).stdout)?.[1] ?? '0';
        const before = await answered();
        await client('outside').host.mustRun(['ping', '-c', '1', '-W', '1', lab.nodes[0].addresses[family]]);
        assert.equal(await answered(), before);
      });

      for (const [from, service] of [
        ['pod', serviceThere],
        ['pod', serviceHere],
        ['far', externalWeb],
      ] as const) {
        for (const [what, option] of [
          ['UDP to ports without a service', ['-U', '-p', '33434']],
          ['TCP to the service', ['-T', '-p', '80']],
          ['TCP to a port without a service', ['-T', '-p', '81']],
          ['ICMP', ['-I']],
        ] as const) {
          const at = formatAddressPort(service[family], service.port);
          test(`${cni} ${family}: ${from} traces the route to ${at} with ${what}: it ends there and shows nothing else`, async () => {
            const argv = ['traceroute', '-n', '-q', '1', '-w', '2', '-m', '6', ...option, service[family]];
            const hops = readHops(await client(from).host.mustRun(argv));
            const first = from === 'far' ? [farRouter[family]] : [];
            const rest = hops.slice(first.length);
            assert.deepEqual(hops.slice(0, first.length), first);
            assert.ok(rest.length > 0 && rest.length < 4, hops.join());
            assert.deepEqual(new Set(rest), new Set([service[family]]));
          });
        }
      }
    }
  });
}

function podOn(lab: Lab, index: number): Pod {
  const pod = lab.pods[index];
  assert.ok(pod);
  return pod;
}

function script(name: string): string {
  return fileURLToPath(new URL(`../lib/traffic/${name}`, import.meta.url));
}

/** The addresses that traceroute printed, in order; "*" where nobody answered. */
function readHops(output: string): string[] {
  return [...output.matchAll(/^\s*\d+\s+(\S+)/gm)].map(([, address]) => address ?? '');
}
