// SPDX-License-Identifier: Apache-2.0
// Removing what a kube-proxy left on the node in any of its modes: nftables tables, iptables chains, ipsets, its dummy device,
// and the virtual services of kernel IPVS. By the tools that made them, those of them that are installed.
import { spawnSync } from 'node:child_process';
import { withoutKubeProxy } from './iptables-save.ts';

/** One thing that was removed, or that could not be. */
export interface LeftoverOutcome {
  /** "nftables table ip kube-proxy" */
  readonly what: string;
  /** undefined: it is gone. */
  readonly problem: string | undefined;
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

/**
 * Only what is kube-proxy's: chains of the kubelet, of CNI plugins and of administrators stay. Where `kube-ipvs0` is, the virtual
 * services of kernel IPVS are kube-proxy's too, and all of them go, as its own --cleanup does it. What is not there needs no tool.
 * @returns what was there; empty for a clean node
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
    const isThere = run(['nft', 'list', 'table', family, 'kube-proxy']).status === 0;
    if (!isThere) return [];
    const result = run(['nft', 'delete', 'table', family, 'kube-proxy']);
    return [outcome(`nftables table ${family} kube-proxy`, result)];
  });
}

function removeChains(backend: string, run: ToolRunner): readonly LeftoverOutcome[] {
  const saved = run([`${backend}-save`]);
  const change = saved.status === 0 ? withoutKubeProxy(saved.stdout) : undefined;
  if (change === undefined) return [];
  const result = run([`${backend}-restore`, '--noflush', '--wait=5'], change);
  return [outcome(`${backend} chains of kube-proxy`, result)];
}

function removeIpvs(run: ToolRunner): readonly LeftoverOutcome[] {
  if (run(['ip', 'link', 'show', device]).status !== 0) return [];
  const flushed = run(['ipvsadm', '--clear']);
  const removed = run(['ip', 'link', 'delete', device]);
  return [outcome('virtual services of kernel IPVS', flushed), outcome(`device ${device}`, removed)];
}

/** After the chains that use them. */
function removeIpsets(run: ToolRunner): readonly LeftoverOutcome[] {
  const listed = run(['ipset', 'list', '-name']);
  if (listed.status !== 0) return [];
  const names = listed.stdout.split('\n').filter((name) => /^KUBE-(?:6-)?[A-Z-]+$/.test(name));
  return names.map((name) => outcome(`ipset ${name}`, run(['ipset', 'destroy', name])));
}

function outcome(what: string, { isInstalled, status, stderr }: Result): LeftoverOutcome {
  if (status === 0) return { what, problem: undefined };
  const reason = isInstalled
    ? stderr.trim().split('\n')[0] || `exit code ${status}`
    : 'its tool is not installed';
  return { what, problem: reason };
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
