// SPDX-License-Identifier: Apache-2.0
// What a configuration means for the daemon: the treaty between the configuration and what runs by it.
import { hostname } from 'node:os';
import { InputError } from '../errors.ts';
import { type Address, addressFamily, firstOfEachFamily } from '../model/address.ts';
import type { Cidr } from '../model/cidr.ts';
import { isSchedulerName, type SchedulerName, schedulerNames } from '../model/scheduler.ts';
import type { TimeoutChanges } from '../model/timeouts.ts';
import { parseSloppyAddress, parseSloppyCidr, splitHostPort } from './addresses.ts';
import type { KubeProxyConfiguration, Mode } from './fields.ts';
import { type DurationNs, milliseconds } from './go-duration.ts';
import { activeSection } from './kube-proxy-configuration.ts';

export interface AgentSettings {
  /** The name of the own Node: the override, or the host's name; lower case, without blanks around it. */
  readonly nodeName: string;
  /** The word that /proxyMode answers. BPVS serves the same way in every mode. */
  readonly mode: Mode;
  readonly api: ApiSettings;
  readonly scheduler: SchedulerName;
  /** Undefined where kernel IPVS would keep what it has. */
  readonly timeouts: TimeoutChanges;
  /** All desired state is compared with what is programmed at least this often; health allows twice as much without a sync. */
  readonly syncPeriodMs: number;
  /** From the end of one sync to the start of the next; 0: none. */
  readonly minSyncPeriodMs: number;
  /** Empty: every address of the node. Else those in a CIDR of their family, and with `primary` the Node's first. */
  readonly nodePortAddresses: readonly (Cidr | 'primary')[];
  /** Undefined: no such server. */
  readonly healthz: Listener | undefined;
  readonly metrics: Listener | undefined;
  /** A listener that cannot be opened ends the daemon; else it is tried again every 5 seconds. */
  readonly mustListen: boolean;
  readonly conntrack: ConntrackSettings;
  /** For /proc/self/oom_score_adj. */
  readonly oomScoreAdjust: number;
  /** Whether `spec.externalIPs` count: the feature gate AllowServiceExternalIPs. */
  readonly allowsExternalIps: boolean;
}

/** Neither `kubeconfig` nor `server`: the service account of the pod. */
export interface ApiSettings {
  /** Path of a file. */
  readonly kubeconfig: string | undefined;
  /** URL that counts instead of the file's. */
  readonly server: string | undefined;
}

export interface Listener {
  /** An unspecified address stands for both families. */
  readonly address: Address;
  readonly port: number;
}

/** What of the kernel's connection tracking is set at the start; 0 leaves the kernel's value. */
export interface ConntrackSettings {
  readonly maxPerCore: number;
  readonly min: number;
  readonly tcpEstablishedSeconds: number;
  readonly tcpCloseWaitSeconds: number;
  readonly udpSeconds: number;
  readonly udpStreamSeconds: number;
  /** Only ever turned on. */
  readonly isTcpLiberal: boolean;
}

/**
 * `config` is a valid one (validate.ts). `server` is --master. Throws InputError for what kube-proxy would only find out at its
 * start: a scheduler that there is not, a host without a name.
 */
export function agentSettings(config: KubeProxyConfiguration, server?: string): AgentSettings {
  const section = activeSection(config);
  return {
    nodeName: nodeName(config.hostnameOverride),
    mode: section,
    api: { kubeconfig: config['clientConnection.kubeconfig'] || undefined, server: server || undefined },
    scheduler: scheduler(config['ipvs.scheduler']),
    timeouts: {
      tcpSeconds: idleSeconds(config['ipvs.tcpTimeout']),
      tcpFinSeconds: idleSeconds(config['ipvs.tcpFinTimeout']),
      udpSeconds: idleSeconds(config['ipvs.udpTimeout']),
    },
    syncPeriodMs: milliseconds(config[`${section}.syncPeriod`]),
    minSyncPeriodMs: milliseconds(config[`${section}.minSyncPeriod`]),
    nodePortAddresses: (config.nodePortAddresses ?? []).flatMap(nodePortAddress),
    healthz: listener(config.healthzBindAddress),
    metrics: listener(config.metricsBindAddress),
    mustListen: config.bindAddressHardFail,
    conntrack: {
      maxPerCore: config['conntrack.maxPerCore'],
      min: config['conntrack.min'],
      tcpEstablishedSeconds: wholeSeconds(config['conntrack.tcpEstablishedTimeout']),
      tcpCloseWaitSeconds: wholeSeconds(config['conntrack.tcpCloseWaitTimeout']),
      udpSeconds: wholeSeconds(config['conntrack.udpTimeout']),
      udpStreamSeconds: wholeSeconds(config['conntrack.udpStreamTimeout']),
      isTcpLiberal: config['conntrack.tcpBeLiberal'],
    },
    oomScoreAdjust: config.oomScoreAdj,
    allowsExternalIps: config.featureGates.AllowServiceExternalIPs ?? true,
  };
}

function nodeName(override: string): string {
  const name = (override === '' ? hostname() : override).trim().toLowerCase();
  if (name === '')
    throw new InputError('Expected a name for the node but received blanks; set hostnameOverride');
  return name;
}

function scheduler(name: string): SchedulerName {
  if (name === '') return 'rr';
  if (isSchedulerName(name)) return name;
  throw new InputError(
    `Expected one of ${schedulerNames.join(', ')} for ipvs.scheduler but received "${name}"`,
  );
}

/** Kernel IPVS counts whole seconds; less than one would be none at all. */
function idleSeconds(duration: DurationNs): number | undefined {
  return duration === 0 ? undefined : Math.max(1, wholeSeconds(duration));
}

function wholeSeconds(duration: DurationNs): number {
  return Math.floor(duration / 1e9);
}

/** The words `all` and `localhost` are those of Kubernetes 1.37; loopback addresses never answer. */
function nodePortAddress(text: string): readonly (Cidr | 'primary')[] {
  if (text === 'primary') return ['primary'];
  if (text === 'all') return cidrs(['0.0.0.0/0', '::/0']);
  if (text === 'localhost') return cidrs(['127.0.0.0/8', '::1/128']);
  return cidrs([text]);
}

/**
 * For planning: the word `primary` as networks of one address each, of the first of each family of `nodeIps`, which are the
 * Node's own; loopback is none of them.
 * Empty stands for all addresses of the node, of one family or both.
 */
export function nodePortCidrs(
  list: AgentSettings['nodePortAddresses'],
  nodeIps: readonly Address[],
): readonly Cidr[] {
  return list.flatMap((each) => {
    if (each !== 'primary') return [each];
    return firstOfEachFamily(nodeIps.filter(isNoLoopback)).map((address): Cidr => {
      const family = addressFamily(address);
      return { family, address, length: family === 4 ? 32 : 128 };
    });
  });
}

function isNoLoopback(address: Address): boolean {
  return address !== '::1' && !address.startsWith('127.');
}

function cidrs(texts: readonly string[]): readonly Cidr[] {
  return texts.flatMap((text) => parseSloppyCidr(text) ?? []);
}

function listener(text: string): Listener | undefined {
  const parts = splitHostPort(text);
  const address = parseSloppyAddress(parts?.host ?? '');
  return parts && address !== undefined ? { address, port: Number(parts.port) } : undefined;
}
