// SPDX-License-Identifier: Apache-2.0
// Rulesets that nodes have besides BPVS, and what they track.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { SocketAddress } from '../../src/model/connection.ts';
import type { Wiring } from './cni.ts';
import type { Host, Pod } from './host.ts';

const bridgeSettings = '/proc/sys/net/bridge/bridge-nf-call';

/** What this machine lacks for rulesets and connection tracking, as a sentence. */
export function missingForFirewall(wiring: Wiring): string | undefined {
  const tools = { nft: 'nftables', iptables: 'iptables', conntrack: 'conntrack', sysctl: 'procps' };
  const tool = Object.entries(tools).find(([name]) => spawnSync('which', [name]).status !== 0);
  if (tool) return `the test needs ${tool[0]} (Debian package ${tool[1]})`;
  if (wiring === 'bridge' && !existsSync(`${bridgeSettings}-iptables`))
    return 'the test needs the module br_netfilter';
  return undefined;
}

/** What Kubernetes asks of nodes whose pods are ports of a bridge: replies between two of them pass no router. */
export async function trackBridgedFrames(host: Host): Promise<void> {
  await host.mustRun([
    'sh',
    '-c',
    `echo 1 > ${bridgeSettings}-iptables; echo 1 > ${bridgeSettings}-ip6tables`,
  ]);
}

const podNetwork = { v4: '10.244.0.0/16', v6: 'fd00:10:244::/48' } as const;

/** Drop by policy, what belongs to a known connection accepted, what is invalid dropped, and the pod network let through. */
export const hostRules = `
table inet host {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    ct state invalid drop
    iifname "lo" accept
    meta l4proto { icmp, icmpv6 } accept
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    ct state invalid drop
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    ip saddr ${podNetwork.v4} ip daddr ${podNetwork.v4} accept
    ip6 saddr ${podNetwork.v6} ip6 daddr ${podNetwork.v6} accept
    ip daddr ${podNetwork.v4} meta l4proto { tcp, udp } th dport { 8080, 8082 } accept
    ip6 daddr ${podNetwork.v6} meta l4proto { tcp, udp } th dport { 8080, 8082 } accept
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr ${podNetwork.v4} ip daddr != ${podNetwork.v4} masquerade
    ip6 saddr ${podNetwork.v6} ip6 daddr != ${podNetwork.v6} masquerade
  }
}
`;

/** The same for iptables-restore and ip6tables-restore. */
export function hostTables(family: 'v4' | 'v6'): string {
  const pods = podNetwork[family];
  const icmp = family === 'v4' ? 'icmp' : 'icmpv6';
  const known = [
    '-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    '-m conntrack --ctstate INVALID -j DROP',
  ];
  return [
    '*filter',
    ':INPUT DROP [0:0]',
    ':FORWARD DROP [0:0]',
    ':OUTPUT ACCEPT [0:0]',
    ...['INPUT', 'FORWARD'].flatMap((chain) => known.map((rule) => `-A ${chain} ${rule}`)),
    `-A INPUT -p ${icmp} -j ACCEPT`,
    ...(family === 'v4'
      ? []
      : [135, 136].map((type) => `-A FORWARD -p icmpv6 --icmpv6-type ${type} -j ACCEPT`)),
    '-A INPUT -i lo -j ACCEPT',
    `-A FORWARD -s ${pods} -d ${pods} -j ACCEPT`,
    ...['tcp', 'udp'].map(
      (protocol) => `-A FORWARD -d ${pods} -p ${protocol} -m multiport --dports 8080,8082 -j ACCEPT`,
    ),
    'COMMIT',
    '*nat',
    `-A POSTROUTING -s ${pods} ! -d ${pods} -j MASQUERADE`,
    'COMMIT',
    '',
  ].join('\n');
}

/** Lets a pod's device carry what the pod says to these pods and they to it, and nothing else. */
export function policyRules(pod: Pod, peers: readonly Pod[]): string {
  const both = (family: 'v4' | 'v6') => `{ ${peers.map((peer) => peer.addresses[family]).join(', ')} }`;
  const rules = (own: string, other: string) => [
    'ether type arp accept',
    'meta l4proto icmpv6 accept',
    ...(peers.length > 0
      ? [
          `ip ${own} ${pod.addresses.v4} ip ${other} ${both('v4')} accept`,
          `ip6 ${own} ${pod.addresses.v6} ip6 ${other} ${both('v6')} accept`,
        ]
      : []),
  ];
  const chain = (hook: string, lines: readonly string[]) =>
    `chain ${hook} { type filter hook ${hook} device "${pod.hostDevice}" priority filter; policy drop;\n${lines.join('\n')}\n}`;
  return `table netdev ${pod.name} {
    ${chain('ingress', rules('saddr', 'daddr'))}
    ${chain('egress', rules('daddr', 'saddr'))}
  }\n`;
}

/** Rules of a machine; disposing of them takes all rules off it, and forgets its tracked connections. */
export class Rules implements AsyncDisposable {
  readonly #host: Host;

  private constructor(host: Host) {
    this.#host = host;
  }

  static async nft(host: Host, ruleset: string): Promise<Rules> {
    await host.mustRun(['nft', '-f', '-'], { input: ruleset });
    return new Rules(host);
  }

  /** @param tables what iptables-restore reads, by family */
  static async iptables(host: Host, tables: (family: 'v4' | 'v6') => string): Promise<Rules> {
    await host.mustRun(['iptables-restore'], { input: tables('v4') });
    await host.mustRun(['ip6tables-restore'], { input: tables('v6') });
    return new Rules(host);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#host.mustRun(['nft', 'flush', 'ruleset']);
    await this.#host.mustRun(['conntrack', '-F']);
  }
}

/** A tracked connection in both directions, as `conntrack -L` tells it. */
export interface TrackedConnection {
  readonly protocol: string;
  readonly original: readonly [source: SocketAddress, destination: SocketAddress];
  readonly reply: readonly [source: SocketAddress, destination: SocketAddress];
  readonly isAnswered: boolean;
}

export async function trackedConnections(host: Host): Promise<readonly TrackedConnection[]> {
  const lists = await Promise.all(
    ['ipv4', 'ipv6'].map((family) => host.mustRun(['conntrack', '-L', '-f', family])),
  );
  return lists.flatMap((list) =>
    list
      .split('\n')
      .filter((line) => line !== '')
      .map(parseTracked),
  );
}

function parseTracked(line: string): TrackedConnection {
  const values = [...line.matchAll(/\b(?:src|dst|sport|dport)=(\S+)/g)].map(([, value]) => value ?? '');
  const direction = ([source = '', destination = '', sourcePort, destinationPort]: readonly string[]) =>
    [
      { address: source, port: Number(sourcePort) },
      { address: destination, port: Number(destinationPort) },
    ] as const;
  return {
    protocol: line.split(' ')[0] ?? '',
    original: direction(values.slice(0, 4)),
    reply: direction(values.slice(4)),
    isAnswered: !line.includes('[UNREPLIED]'),
  };
}
