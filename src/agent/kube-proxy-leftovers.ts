// SPDX-License-Identifier: Apache-2.0
// Removing what a kube-proxy left on the node in any of its modes: nftables tables, iptables chains, ipsets, its dummy device,
// and the virtual services of kernel IPVS. By the tools that made them, those of them that are installed.
import { spawnSync } from 'node:child_process';
import { withoutKubeProxy } from './iptables-save.ts';

/** One thing that was removed, or that could not be, or that nothing could look for. */
export interface LeftoverOutcome {
  /** "nftables table ip kube-proxy" */
  readonly what: string;
  readonly result: 'removed' | 'not removed' | 'not looked for';
  /** Of what was not removed. */
  readonly reason?: string;
}

interface Result {
  readonly isInstalled: boolean;
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a tool with this input. */
export type ToolRunner = (command: readonly string[], input?: string) => Result;

const backends = ['iptables-nft', 'ip6tables-nft', 'iptables-legacy', 'ip6tables-legacy'];
const device = 'kube-ipvs0';

/** Source: pkg/proxy/ipvs/ipset.go of Kubernetes. Others, as kube-router, have sets of such names, too. */
const setNames = [
  'LOOP-BACK',
  'CLUSTER-IP',
  'EXTERNAL-IP',
  'EXTERNAL-IP-LOCAL',
  'LOAD-BALANCER',
  'LOAD-BALANCER-LOCAL',
  'LOAD-BALANCER-FW',
  'LOAD-BALANCER-SOURCE-CIDR',
  'LOAD-BALANCER-SOURCE-IP',
  'NODE-PORT-TCP',
  'NODE-PORT-UDP',
  'NODE-PORT-LOCAL-TCP',
  'NODE-PORT-LOCAL-UDP',
  'NODE-PORT-SCTP-HASH',
  'NODE-PORT-LOCAL-SCTP-HASH',
  'HEALTH-CHECK-NODE-PORT',
  'IPVS-IPS',
];
/** IPSET_MAXNAMELEN without the final zero. */
const longestSetName = 31;
const sets: ReadonlySet<string> = new Set(
  setNames.flatMap((name) => [`KUBE-${name}`, `KUBE-6-${name}`.slice(0, longestSetName)]),
);

/**
 * Only what is kube-proxy's: chains of the kubelet, of CNI plugins and of administrators stay. Where `kube-ipvs0` is, the virtual
 * services of kernel IPVS are kube-proxy's too, and all of them go, as its own --cleanup does it.
 * @returns what was there, and what nothing could look for; empty for a clean node with all tools
 */
export function removeKubeProxyLeftovers(run: ToolRunner = runTool): readonly LeftoverOutcome[] {
  return [
    ...removeNftTables(run),
    ...backends.flatMap((backend) => removeChains(backend, run)),
    ...removeIpvs(run),
    ...removeIpsets(run),
  ];
}

function removeNftTables(run: ToolRunner): readonly LeftoverOutcome[] {
  return ['ip', 'ip6'].flatMap((family) => {
    const what = `nftables table ${family} kube-proxy`;
    const listed = run(['nft', 'list', 'table', family, 'kube-proxy']);
    if (!listed.isInstalled) return [notLookedFor(what, 'nft')];
    return listed.status === 0 ? [outcome(what, run(['nft', 'delete', 'table', family, 'kube-proxy']))] : [];
  });
}

function removeChains(backend: string, run: ToolRunner): readonly LeftoverOutcome[] {
  const what = `${backend} chains of kube-proxy`;
  const saved = run([`${backend}-save`]);
  if (!saved.isInstalled) return [notLookedFor(what, `${backend}-save`)];
  const change = saved.status === 0 ? withoutKubeProxy(saved.stdout) : undefined;
  return change === undefined
    ? []
    : [outcome(what, run([`${backend}-restore`, '--noflush', '--wait=5'], change))];
}

function removeIpvs(run: ToolRunner): readonly LeftoverOutcome[] {
  const what = `device ${device}`;
  const shown = run(['ip', 'link', 'show', device]);
  if (!shown.isInstalled) return [notLookedFor(what, 'ip')];
  if (shown.status !== 0) return [];
  const flushed = run(['ipvsadm', '--clear']);
  const removed = run(['ip', 'link', 'delete', device]);
  return [outcome('virtual services of kernel IPVS', flushed), outcome(what, removed)];
}

/** After the chains that use them. */
function removeIpsets(run: ToolRunner): readonly LeftoverOutcome[] {
  const listed = run(['ipset', 'list', '-name']);
  if (!listed.isInstalled) return [notLookedFor('ipsets of kube-proxy', 'ipset')];
  const names = listed.stdout.split('\n').filter((name) => sets.has(name));
  return names.map((name) => outcome(`ipset ${name}`, run(['ipset', 'destroy', name])));
}

function notLookedFor(what: string, tool: string): LeftoverOutcome {
  return { what, result: 'not looked for', reason: `${tool} is not installed` };
}

function outcome(what: string, { isInstalled, status, stderr }: Result): LeftoverOutcome {
  if (status === 0) return { what, result: 'removed' };
  const reason = isInstalled
    ? stderr.trim().split('\n')[0] || `exit code ${status}`
    : 'its tool is not installed';
  return { what, result: 'not removed', reason };
}

function runTool(command: readonly string[], input = ''): Result {
  const [name = '', ...words] = command;
  const { error, status, stdout, stderr } = spawnSync(name, words, {
    input,
    encoding: 'utf8',
    maxBuffer: Number.POSITIVE_INFINITY,
  });
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return { isInstalled: code !== 'ENOENT', status, stdout: stdout ?? '', stderr: error?.message ?? stderr };
}
