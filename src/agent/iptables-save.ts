// SPDX-License-Identifier: Apache-2.0
// What iptables-save prints, and the change that takes kube-proxy's chains out of it. Pure.

/** Chains that kube-proxy makes in mode iptables or ipvs. Those of the kubelet (KUBE-FIREWALL, ...) are not among them. */
const kubeProxyChain =
  /^KUBE-(?:SERVICES|EXTERNAL-SERVICES|NODEPORTS|NODE-PORT|POSTROUTING|FORWARD|PROXY-FIREWALL|PROXY-CANARY|LOAD-BALANCER|SOURCE-RANGES-FIREWALL|IPVS-FILTER|IPVS-OUT-FILTER|MARK-MASQ|(?:SVC|SVL|EXT|SEP|FW|XLB)-[A-Za-z0-9-]+)$/;

interface Table {
  readonly name: string;
  readonly chains: readonly string[];
  readonly rules: readonly string[];
}

/**
 * Input for iptables-restore --noflush: rules elsewhere that jump to kube-proxy's chains go first, then the chains. A chain that a
 * foreign rule outside of the built-in chains names stays. Undefined: there is nothing of kube-proxy.
 */
export function withoutKubeProxy(saved: string): string | undefined {
  const changes = parseTables(saved).flatMap((table) => removal(table));
  return changes.length === 0 ? undefined : changes.map((line) => `${line}\n`).join('');
}

function parseTables(saved: string): readonly Table[] {
  const sections = saved.split(/^\*/m).slice(1);
  return sections.map((section) => {
    const [name = '', ...lines] = section.split('\n');
    const chains = lines.flatMap((line) => /^:(\S+)/.exec(line)?.[1] ?? []);
    return { name, chains, rules: lines.filter((line) => line.startsWith('-A ')) };
  });
}

function removal({ name, chains, rules }: Table): readonly string[] {
  const own = chains.filter((chain) => kubeProxyChain.test(chain));
  if (own.length === 0) return [];
  const foreign = rules.filter((rule) => !own.includes(chainOf(rule)));
  const kept = new Set(own.filter((chain) => foreign.some((rule) => isKeptBy(rule, chain))));
  const going = own.filter((chain) => !kept.has(chain));
  const jumps = foreign.filter((rule) => going.some((chain) => targetOf(rule) === chain));
  return [
    `*${name}`,
    ...going.map((chain) => `:${chain} - [0:0]`), // empties it
    ...jumps.map((rule) => rule.replace(/^-A /, '-D ')),
    ...going.map((chain) => `-X ${chain}`),
    'COMMIT',
  ];
}

const builtIn: ReadonlySet<string> = new Set(['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING']);

/** kube-proxy itself jumps to its chains from built-in ones only; a jump from another chain is somebody else's. */
function isKeptBy(rule: string, chain: string): boolean {
  return targetOf(rule) === chain && !builtIn.has(chainOf(rule));
}

function chainOf(rule: string): string {
  return rule.split(' ')[1] ?? '';
}

function targetOf(rule: string): string | undefined {
  return / -[jg] (\S+)/.exec(rule)?.[1];
}
