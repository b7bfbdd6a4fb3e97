// SPDX-License-Identifier: Apache-2.0
// The ways from a pod to a pod of the same node, each in a lab of its own: routed, with hooks that do nothing, by nftables, by
// BPVS.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Direction } from '../../src/native/bpf-link.ts';
import { mustRun } from '../lib/command.ts';
import { Lab } from '../lib/lab.ts';
import { Daemon } from './daemon.ts';
import { Speaker } from './speaker.ts';

const servicePort = 80;
const podPort = 8080;
const serviceAddress = '10.96.0.80';

/** GSO_MAX_SEGS */
const defaultSegmentsMax = 65_535;

/** All traffic runs on this CPU, softirq included; the daemon and this process stay on the other ones. */
const trafficCpu = 1;

const source = fileURLToPath(new URL('traffic.c', import.meta.url));
const hooks = fileURLToPath(new URL('hooks.ts', import.meta.url));

/** Compiles the traffic program. @returns its path */
export async function compileTraffic(folder: string): Promise<string> {
  const program = `${folder}/traffic`;
  await mustRun(['clang-19', '-O2', '-Wall', '-Wextra', '-Werror', '-o', program, source]);
  return program;
}

/**
 * What a client can do: TCP connections with one exchange each, exchanges on one, datagrams of one UDP flow, each answered, packets of
 * one UDP flow from device to device, UDP flows of one datagram each, a TCP stream.
 */
export type Deed = 'connections' | 'exchanges' | 'datagrams' | 'packets' | 'flows' | 'mebibytes';

export type Way = 'plain routing' | 'empty hooks' | 'nftables' | 'BPVS' | 'BPVS with --local-redirect';

export interface SubjectOptions {
  readonly name: string;
  readonly way: Way;
  readonly services: number;
}

/** A lab with its traffic. Whoever opens it ends it. */
export class PathSubject {
  readonly way: Way;
  readonly services: number;
  readonly #lab: Lab;
  readonly #speakers: Speaker[] = [];
  readonly #hooks: Speaker[] = [];
  readonly #softirqPid = findSoftirqPid();
  #client: Speaker | undefined;
  #daemon: Daemon | undefined;
  #end: Speaker | undefined;

  private constructor(lab: Lab, { way, services }: SubjectOptions) {
    this.#lab = lab;
    this.way = way;
    this.services = services;
  }

  static async open(traffic: string, options: SubjectOptions): Promise<PathSubject> {
    const subject = new PathSubject(await Lab.create({ name: options.name, podsPerNode: 2 }), options);
    try {
      await subject.#start(traffic);
      return subject;
    } catch (error) {
      await subject.close();
      throw error;
    }
  }

  /** Of the daemon, in MiB; undefined without one. */
  get residentMiB(): number | undefined {
    return this.#daemon?.residentMiB();
  }

  /** Has the client do `count` of something. @returns the nanoseconds of CPU each took: client, server and softirq */
  async run(what: Deed, count: number): Promise<number> {
    return what === 'packets' ? this.#measurePackets(count) : this.#measure(what, count);
  }

  async close(): Promise<void> {
    for (const speaker of [...this.#speakers, ...this.#hooks]) await speaker.end();
    await this.#daemon?.end();
    await this.#lab.teardown();
  }

  async #start(traffic: string): Promise<void> {
    const [client, server] = this.#lab.nodes[0].pods;
    if (!client || !server) throw new Error('Expected two pods on node one');
    const pinned = (argv: string[]) => ['taskset', '-c', String(trafficCpu), ...argv];
    for (const role of ['tcp-server', 'udp-server']) {
      const speaker = new Speaker(server.command(pinned([traffic, role, String(podPort)])));
      this.#speakers.push(speaker);
      await speaker.line();
    }
    const node = this.#lab.nodes[0];
    this.#end = this.#hook(server.command([]), 'end', 'ingress', ['eth0']);
    if (this.way === 'BPVS' || this.way === 'BPVS with --local-redirect') {
      const endpoint = { endpoint: server.addresses.v4, endpointPort: podPort };
      const target = { address: serviceAddress, port: servicePort, ...endpoint };
      const options = this.way === 'BPVS' ? [] : ['--local-redirect'];
      this.#daemon = await Daemon.start(this.#lab.name, node.command([]), this.services, target, options);
    } else if (this.way === 'empty hooks') {
      const devices = [client.hostDevice, server.hostDevice];
      for (const direction of ['ingress', 'egress'] as const) {
        const empty = this.#hook(node.command([]), 'empty', direction, devices);
        empty.say('attach');
        await empty.line();
      }
    } else if (this.way === 'nftables') {
      await node.mustRun(['nft', '-f', '-'], { input: nftables(server.addresses.v4) });
    }
    await client.mustRun(['sh', '-c', 'echo 1024 65000 > /proc/sys/net/ipv4/ip_local_port_range']);
    const target =
      this.#daemon === undefined && this.way !== 'nftables'
        ? [server.addresses.v4, String(podPort)]
        : [serviceAddress, String(servicePort)];
    this.#client = new Speaker(client.command(pinned([traffic, 'client', ...target])));
    this.#speakers.push(this.#client);
  }

  #hook(
    inside: readonly string[],
    program: string,
    direction: Direction,
    devices: readonly string[],
  ): Speaker {
    const argv = ['taskset', '-c', '0', process.execPath, hooks, program, direction, ...devices];
    const speaker = new Speaker([...inside, ...argv]);
    this.#hooks.push(speaker);
    return speaker;
  }

  /** The client's device segments, and at the server's device is the end. */
  async #measurePackets(count: number): Promise<number> {
    const wanted = count + 1; // one opens the flow
    await this.#setSegmentsMax(1);
    const before = await this.#tellEnd('attach');
    const ns = await this.#measure('packets', count);
    const arrived = (await this.#tellEnd('detach')) - before;
    await this.#setSegmentsMax(defaultSegmentsMax);
    if (arrived !== wanted)
      throw new Error(`Expected ${wanted} packets at the server but received ${arrived}`);
    return ns;
  }

  async #setSegmentsMax(count: number): Promise<void> {
    await this.#lab.nodes[0].pods[0]?.mustRun(['ip', 'link', 'set', 'eth0', 'gso_max_segs', String(count)]);
  }

  /** @returns how many datagrams the end of the way has counted so far */
  async #tellEnd(verb: 'attach' | 'detach'): Promise<number> {
    this.#end?.say(verb);
    return Number(await this.#end?.line());
  }

  async #measure(what: Deed, count: number): Promise<number> {
    const before = this.#cpuNs();
    this.#client?.say(`${what} ${count}`);
    await this.#client?.line();
    return Number(this.#cpuNs() - before) / count;
  }

  /**
   * The run time of all processes of the traffic. Softirq is in it: it runs where the packet is sent, on the sender's
   * account (without CONFIG_IRQ_TIME_ACCOUNTING), and what is put off goes to ksoftirqd.
   */
  #cpuNs(): bigint {
    const pids = [...this.#speakers.map((speaker) => speaker.pid), this.#softirqPid];
    return pids.map(runTimeNs).reduce((sum, time) => sum + time, 0n);
  }
}

/** What kube-proxy's nftables mode has for one service with one endpoint, of both protocols. */
function nftables(pod: string): string {
  const port = (protocol: string) => `${protocol} dport ${servicePort}`;
  const chains = ['tcp', 'udp'].map(
    (protocol) => `
  chain endpoint-${protocol} {
    ip saddr ${pod} jump mark-for-masquerade
    meta l4proto ${protocol} dnat to ${pod}:${podPort}
  }
  chain service-${protocol} {
    ip daddr ${serviceAddress} ${port(protocol)} ip saddr != 10.244.0.0/16 jump mark-for-masquerade
    numgen random mod 1 vmap { 0 : goto endpoint-${protocol} }
  }`,
  );
  return `table ip kube-proxy {
  chain mark-for-masquerade { meta mark set mark or 0x4000; }${chains.join('')}
  map service-ips {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { ${serviceAddress} . tcp . ${servicePort} : goto service-tcp, ${serviceAddress} . udp . ${servicePort} : goto service-udp }
  }
  map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
  chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
  chain filter-forward { type filter hook forward priority -110; ct state new jump service-endpoints-check; }
  chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
  chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
  chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; }
  chain masquerading {
    meta mark & 0x4000 == 0 return
    meta mark set meta mark xor 0x4000
    masquerade fully-random
  }
}
`;
}

function runTimeNs(pid: number): bigint {
  return BigInt(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0] ?? '0');
}

/** The kernel thread that does the traffic CPU's softirq when there is much of it. */
function findSoftirqPid(): number {
  const name = `ksoftirqd/${trafficCpu}\n`;
  const pid = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .find((entry) => commandOf(entry) === name);
  return Number(pid);
}

function commandOf(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8');
  } catch {
    return undefined; // ended meanwhile
  }
}
