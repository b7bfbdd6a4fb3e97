// SPDX-License-Identifier: Apache-2.0
// Every flag of kube-proxy 1.36, deprecated ones too: what kind of value it takes, and which field it sets.
import type { FieldPath, Kind } from './fields.ts';

/** What a flag's text has to be beyond its kind. */
export type FlagForm = 'address' | 'address-port';

export interface Flag {
  readonly kind: Kind;
  /** The field it sets where no file is given. */
  readonly field?: FieldPath;
  /** It counts beside a file, too: logging. */
  readonly beatsFile?: true;
  readonly form?: FlagForm;
  readonly shorthand?: string;
  /** What the help says; flags that only set a field are told by its path. */
  readonly help?: string;
}

function field<K extends Kind>(kind: K, path: FieldPath): Flag & { readonly kind: K } {
  return { kind, field: path };
}

function logging<K extends Kind>(kind: K, path: FieldPath): Flag & { readonly kind: K } {
  return { kind, field: path, beatsFile: true };
}

/** By name, without its dashes. Fields that depend on the mode are set by load.ts. */
export const flags = {
  config: { kind: 'text', help: 'KubeProxyConfiguration file; most other flags are ignored beside it' },
  'hostname-override': {
    kind: 'text',
    help: 'name of the own Node; counts instead of hostnameOverride in the file',
  },
  master: { kind: 'text', help: 'URL of the API server; counts instead of the one in the kubeconfig' },
  'write-config-to': { kind: 'text', help: 'write the whole configuration to this file and exit' },
  'init-only': { kind: 'flag', help: 'set up the kernel as the configuration says, then exit' },
  cleanup: { kind: 'flag', help: 'remove what BPVS and kube-proxy left on this node, then exit' },
  kubeconfig: field('text', 'clientConnection.kubeconfig'),
  'kube-api-content-type': field('text', 'clientConnection.contentType'),
  'kube-api-qps': field('float', 'clientConnection.qps'),
  'kube-api-burst': field('int32', 'clientConnection.burst'),
  'proxy-mode': field('text', 'mode'),
  'bind-address': { ...field('text', 'bindAddress'), form: 'address' },
  'bind-address-hard-fail': field('flag', 'bindAddressHardFail'),
  'healthz-bind-address': { ...field('text', 'healthzBindAddress'), form: 'address-port' },
  'metrics-bind-address': { ...field('text', 'metricsBindAddress'), form: 'address-port' },
  'healthz-port': {
    kind: 'int32',
    help: 'deprecated: port of a healthz-bind-address without one; 0: no server',
  },
  'metrics-port': {
    kind: 'int32',
    help: 'deprecated: port of a metrics-bind-address without one',
  },
  profiling: field('flag', 'enableProfiling'),
  'show-hidden-metrics-for-version': field('text', 'showHiddenMetricsForVersion'),
  'feature-gates': field('gates', 'featureGates'),
  'nodeport-addresses': field('texts', 'nodePortAddresses'),
  'oom-score-adj': field('int32', 'oomScoreAdj'),
  'config-sync-period': field('duration', 'configSyncPeriod'),
  'masquerade-all': { kind: 'flag', help: 'sets masqueradeAll of the mode' },
  'iptables-masquerade-bit': field('int32', 'iptables.masqueradeBit'),
  'iptables-localhost-nodeports': field('flag', 'iptables.localhostNodePorts'),
  'iptables-sync-period': { kind: 'duration', help: 'sets syncPeriod of the mode, unless it is ipvs' },
  'iptables-min-sync-period': { kind: 'duration', help: 'sets minSyncPeriod of the mode, unless it is ipvs' },
  'ipvs-sync-period': { kind: 'duration', help: 'sets ipvs.syncPeriod in mode ipvs' },
  'ipvs-min-sync-period': { kind: 'duration', help: 'sets ipvs.minSyncPeriod in mode ipvs' },
  'ipvs-scheduler': field('text', 'ipvs.scheduler'),
  'ipvs-exclude-cidrs': field('texts', 'ipvs.excludeCIDRs'),
  'ipvs-strict-arp': field('flag', 'ipvs.strictARP'),
  'ipvs-tcp-timeout': field('duration', 'ipvs.tcpTimeout'),
  'ipvs-tcpfin-timeout': field('duration', 'ipvs.tcpFinTimeout'),
  'ipvs-udp-timeout': field('duration', 'ipvs.udpTimeout'),
  'detect-local-mode': field('text', 'detectLocalMode'),
  'pod-bridge-interface': field('text', 'detectLocal.bridgeInterface'),
  'pod-interface-name-prefix': field('text', 'detectLocal.interfaceNamePrefix'),
  'cluster-cidr': field('text', 'clusterCIDR'),
  'conntrack-max-per-core': field('int32', 'conntrack.maxPerCore'),
  'conntrack-min': field('int32', 'conntrack.min'),
  'conntrack-tcp-timeout-established': field('duration', 'conntrack.tcpEstablishedTimeout'),
  'conntrack-tcp-timeout-close-wait': field('duration', 'conntrack.tcpCloseWaitTimeout'),
  'conntrack-tcp-be-liberal': field('flag', 'conntrack.tcpBeLiberal'),
  'conntrack-udp-timeout': field('duration', 'conntrack.udpTimeout'),
  'conntrack-udp-timeout-stream': field('duration', 'conntrack.udpStreamTimeout'),
  v: { ...logging('uint32', 'logging.verbosity'), shorthand: 'v' },
  vmodule: logging('verbosities', 'logging.vmodule'),
  'logging-format': logging('text', 'logging.format'),
  'log-flush-frequency': logging('period', 'logging.flushFrequency'),
  'log-text-split-stream': logging('flag', 'logging.options.text.splitStream'),
  'log-text-info-buffer-size': logging('quantity', 'logging.options.text.infoBufferSize'),
  'log-json-split-stream': logging('flag', 'logging.options.json.splitStream'),
  'log-json-info-buffer-size': logging('quantity', 'logging.options.json.infoBufferSize'),
  'boot-id-file': { kind: 'text', help: 'accepted, without effect' },
  'machine-id-file': { kind: 'text', help: 'accepted, without effect' },
} as const satisfies Readonly<Record<string, Flag>>;

export type FlagName = keyof typeof flags;

export const flagNames = Object.keys(flags) as readonly FlagName[];

/** One flag, its kind unknown to the caller. */
export function flagOf(name: FlagName): Flag {
  return flags[name];
}
