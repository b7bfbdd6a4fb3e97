// SPDX-License-Identifier: Apache-2.0
// Every field of kubeproxy.config.k8s.io/v1alpha1, KubeProxyConfiguration: its kind, its default, and what BPVS does with it.
import { type DurationNs, seconds } from './go-duration.ts';

export interface VerbosityOfFile {
  readonly filePattern: string;
  readonly verbosity: number;
}

/** What the kinds of fields hold. */
export interface KindValues {
  readonly text: string;
  readonly flag: boolean;
  readonly int32: number;
  readonly uint32: number;
  readonly float: number;
  readonly duration: DurationNs;
  /** A text is a duration, a number nanoseconds; it is printed as it was given. */
  readonly period: DurationNs | string;
  /** Bytes as a resource quantity: "512", "4Ki". */
  readonly quantity: string;
  readonly texts: readonly string[] | null;
  readonly gates: Readonly<Record<string, boolean>>;
  readonly verbosities: readonly VerbosityOfFile[];
}

export type Kind = keyof KindValues;
export type Mode = 'iptables' | 'ipvs' | 'nftables';

/** honoured: means what it means for kube-proxy. mapped: means what the note says. ignored: has no effect, for the note's reason. */
export type Use = 'honoured' | 'mapped' | 'ignored';

interface FieldOf<K extends Kind> {
  readonly kind: K;
  readonly default: KindValues[K];
  readonly use: Use;
  readonly note?: string;
  /** Without a value differs from zero: 0 and false are set, only null is not. */
  readonly isPointer?: true;
  /** Not printed while it is empty. */
  readonly isOmittedEmpty?: true;
  /** It counts in these modes only. */
  readonly modes?: readonly Mode[];
}

export type Field = { [K in Kind]: FieldOf<K> }[Kind];

const windowsOnly = 'Windows only';
const noAlphaLogging = 'log lines go to standard error at once';
const localByDevice = 'pods of this node are told by their devices';
const masqueradesLittle =
  'replies are turned where requests were, so only what leaves by an uplink again is masqueraded';
const noMark = 'packets are masqueraded without a mark on them';

/** In the order in which a report lists them. Sections are the parts before a dot. */
export const fields = {
  mode: {
    kind: 'text',
    default: '',
    use: 'mapped',
    note: 'BPVS serves in place of every mode; /proxyMode answers it, and it says which section has the sync periods',
  },
  hostnameOverride: { kind: 'text', default: '', use: 'honoured' },
  bindAddress: {
    kind: 'text',
    default: '0.0.0.0',
    use: 'mapped',
    note: 'its family is that of the default addresses of healthz and metrics; node ports answer at the addresses of nodePortAddresses, whatever it says',
  },
  healthzBindAddress: { kind: 'text', default: '', use: 'honoured' },
  metricsBindAddress: { kind: 'text', default: '', use: 'honoured' },
  bindAddressHardFail: { kind: 'flag', default: false, use: 'honoured' },
  enableProfiling: {
    kind: 'flag',
    default: false,
    use: 'ignored',
    note: 'the profiles of /debug/pprof are those of Go programs',
  },
  showHiddenMetricsForVersion: { kind: 'text', default: '', use: 'ignored', note: 'no metric is hidden' },
  'clientConnection.kubeconfig': { kind: 'text', default: '', use: 'honoured' },
  'clientConnection.acceptContentTypes': {
    kind: 'text',
    default: '',
    use: 'ignored',
    note: 'the API server is asked for JSON',
  },
  'clientConnection.contentType': {
    kind: 'text',
    default: 'application/vnd.kubernetes.protobuf',
    use: 'ignored',
    note: 'the API server is asked for JSON',
  },
  'clientConnection.qps': {
    kind: 'float',
    default: 5,
    use: 'ignored',
    note: 'BPVS holds a few watches; what the API server asks to wait, it waits',
  },
  'clientConnection.burst': {
    kind: 'int32',
    default: 10,
    use: 'ignored',
    note: 'BPVS holds a few watches; what the API server asks to wait, it waits',
  },
  clusterCIDR: { kind: 'text', default: '', use: 'ignored', note: localByDevice },
  detectLocalMode: { kind: 'text', default: '', use: 'ignored', note: localByDevice },
  'detectLocal.bridgeInterface': { kind: 'text', default: '', use: 'ignored', note: localByDevice },
  'detectLocal.interfaceNamePrefix': { kind: 'text', default: '', use: 'ignored', note: localByDevice },
  nodePortAddresses: { kind: 'texts', default: null, use: 'honoured' },
  configSyncPeriod: {
    kind: 'duration',
    default: seconds(15 * 60),
    use: 'ignored',
    note: 'nothing has to be delivered again: each syncPeriod compares all of the desired state with what is programmed',
  },
  'ipvs.scheduler': { kind: 'text', default: '', use: 'honoured', note: 'in every mode' },
  'ipvs.tcpTimeout': { kind: 'duration', default: 0, use: 'honoured', note: 'in every mode' },
  'ipvs.tcpFinTimeout': { kind: 'duration', default: 0, use: 'honoured', note: 'in every mode' },
  'ipvs.udpTimeout': { kind: 'duration', default: 0, use: 'honoured', note: 'in every mode' },
  'ipvs.syncPeriod': { kind: 'duration', default: seconds(30), use: 'honoured', modes: ['ipvs'] },
  'ipvs.minSyncPeriod': { kind: 'duration', default: 0, use: 'honoured', modes: ['ipvs'] },
  'ipvs.excludeCIDRs': {
    kind: 'texts',
    default: null,
    use: 'ignored',
    note: "BPVS deletes no virtual service of kernel IPVS, whoever's it is",
  },
  'ipvs.strictARP': {
    kind: 'flag',
    default: false,
    use: 'ignored',
    note: 'no virtual address is bound to a device, so the node answers no ARP for one',
  },
  'iptables.masqueradeAll': {
    kind: 'flag',
    default: false,
    use: 'ignored',
    note: masqueradesLittle,
    modes: ['iptables', 'ipvs'],
  },
  'iptables.masqueradeBit': { kind: 'int32', default: 14, use: 'ignored', note: noMark, isPointer: true },
  'iptables.localhostNodePorts': {
    kind: 'flag',
    default: true,
    use: 'ignored',
    note: 'node ports do not answer on loopback addresses, as in the modes ipvs and nftables',
    isPointer: true,
  },
  'iptables.syncPeriod': { kind: 'duration', default: seconds(30), use: 'honoured', modes: ['iptables'] },
  'iptables.minSyncPeriod': { kind: 'duration', default: seconds(1), use: 'honoured', modes: ['iptables'] },
  'nftables.masqueradeAll': {
    kind: 'flag',
    default: false,
    use: 'ignored',
    note: masqueradesLittle,
    modes: ['nftables'],
  },
  'nftables.masqueradeBit': { kind: 'int32', default: 14, use: 'ignored', note: noMark, isPointer: true },
  'nftables.syncPeriod': { kind: 'duration', default: seconds(30), use: 'honoured', modes: ['nftables'] },
  'nftables.minSyncPeriod': { kind: 'duration', default: seconds(1), use: 'honoured', modes: ['nftables'] },
  'conntrack.maxPerCore': { kind: 'int32', default: 32768, use: 'honoured', isPointer: true },
  'conntrack.min': { kind: 'int32', default: 131072, use: 'honoured', isPointer: true },
  'conntrack.tcpEstablishedTimeout': {
    kind: 'duration',
    default: seconds(24 * 3600),
    use: 'honoured',
    isPointer: true,
  },
  'conntrack.tcpCloseWaitTimeout': {
    kind: 'duration',
    default: seconds(3600),
    use: 'honoured',
    isPointer: true,
  },
  'conntrack.tcpBeLiberal': { kind: 'flag', default: false, use: 'honoured' },
  'conntrack.udpTimeout': { kind: 'duration', default: 0, use: 'honoured' },
  'conntrack.udpStreamTimeout': { kind: 'duration', default: 0, use: 'honoured' },
  oomScoreAdj: { kind: 'int32', default: -999, use: 'honoured', isPointer: true },
  featureGates: {
    kind: 'gates',
    default: {},
    use: 'mapped',
    note: 'AllowServiceExternalIPs is honoured; other gates have nothing to switch here',
    isOmittedEmpty: true,
  },
  'logging.format': {
    kind: 'text',
    default: 'text',
    use: 'ignored',
    note: 'log lines are key=value pairs',
    isOmittedEmpty: true,
  },
  'logging.flushFrequency': { kind: 'period', default: '5s', use: 'ignored', note: noAlphaLogging },
  'logging.verbosity': { kind: 'uint32', default: 0, use: 'ignored', note: 'there is one level of detail' },
  'logging.vmodule': {
    kind: 'verbosities',
    default: [],
    use: 'ignored',
    note: "it names kube-proxy's source files",
    isOmittedEmpty: true,
  },
  'logging.options.json.infoBufferSize': {
    kind: 'quantity',
    default: '0',
    use: 'ignored',
    note: noAlphaLogging,
  },
  'logging.options.json.splitStream': {
    kind: 'flag',
    default: false,
    use: 'ignored',
    note: noAlphaLogging,
    isOmittedEmpty: true,
  },
  'logging.options.text.infoBufferSize': {
    kind: 'quantity',
    default: '0',
    use: 'ignored',
    note: noAlphaLogging,
  },
  'logging.options.text.splitStream': {
    kind: 'flag',
    default: false,
    use: 'ignored',
    note: noAlphaLogging,
    isOmittedEmpty: true,
  },
  portRange: { kind: 'text', default: '', use: 'ignored', note: 'kube-proxy does not read it either' },
  'winkernel.enableDSR': { kind: 'flag', default: false, use: 'ignored', note: windowsOnly },
  'winkernel.forwardHealthCheckVip': { kind: 'flag', default: false, use: 'ignored', note: windowsOnly },
  'winkernel.networkName': { kind: 'text', default: '', use: 'ignored', note: windowsOnly },
  'winkernel.rootHnsEndpointName': { kind: 'text', default: '', use: 'ignored', note: windowsOnly },
  'winkernel.sourceVip': { kind: 'text', default: '', use: 'ignored', note: windowsOnly },
  windowsRunAsService: {
    kind: 'flag',
    default: false,
    use: 'ignored',
    note: windowsOnly,
    isOmittedEmpty: true,
  },
} as const satisfies Readonly<Record<string, Field>>;

export type FieldPath = keyof typeof fields;

/** One field, its kind unknown to the caller. */
export function fieldOf(path: FieldPath): Field {
  return fields[path];
}

export const fieldPaths = Object.keys(fields) as readonly FieldPath[];

/** A configuration, flat: every field by its path. */
export type KubeProxyConfiguration = {
  readonly [P in FieldPath]: KindValues[(typeof fields)[P]['kind']];
};

/** Those fields that somebody set. */
export type SetFields = { readonly [P in FieldPath]?: KubeProxyConfiguration[P] };

export const apiVersion = 'kubeproxy.config.k8s.io/v1alpha1';
export const kind = 'KubeProxyConfiguration';
