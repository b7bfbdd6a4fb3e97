// SPDX-License-Identifier: Apache-2.0
// From the fields that somebody set to a whole configuration: the defaults of kube-proxy, and what its mode brings along.
import { addressFamily } from '../model/address.ts';
import { parseSloppyAddress, withDefaultPort } from './addresses.ts';
import {
  type FieldPath,
  fieldOf,
  fieldPaths,
  type KubeProxyConfiguration,
  type Mode,
  type SetFields,
} from './fields.ts';

const healthzPort = 10256;
const metricsPort = 10249;

/** Whose sync periods and masqueradeAll count; the mode of an invalid configuration counts as iptables. */
export function activeSection({ mode }: Pick<KubeProxyConfiguration, 'mode'>): Mode {
  return mode === 'ipvs' || mode === 'nftables' ? mode : 'iptables';
}

/** A field is set where it differs from what an absent one would be: "", 0, false, [] and no bytes are set only of pointers. */
export function isSet<P extends FieldPath>(path: P, value: KubeProxyConfiguration[P] | undefined): boolean {
  if (value === undefined || value === null) return false;
  const { isPointer, kind } = fieldOf(path);
  if (isPointer) return true;
  if (kind === 'quantity' && value === '0') return false;
  if (typeof value === 'object') return Object.keys(value).length > 0;
  return value !== '' && value !== 0 && value !== false;
}

/** What SetDefaults_KubeProxyConfiguration of kube-proxy 1.36 makes of a file, before the mode is looked at. */
export function withDefaults(set: SetFields): KubeProxyConfiguration {
  const values = fieldPaths.map((path) => [path, isSet(path, set[path]) ? set[path] : fieldOf(path).default]);
  const config: KubeProxyConfiguration = Object.fromEntries(values);
  const primary = parseSloppyAddress(config.bindAddress);
  const isV4 = primary !== undefined && addressFamily(primary) === 4;
  return {
    ...config,
    nodePortAddresses: set.nodePortAddresses ?? null,
    'ipvs.excludeCIDRs': set['ipvs.excludeCIDRs'] ?? null,
    healthzBindAddress: withDefaultPort(config.healthzBindAddress || (isV4 ? '0.0.0.0' : '::'), healthzPort),
    metricsBindAddress: withDefaultPort(
      config.metricsBindAddress || (isV4 ? '127.0.0.1' : '::1'),
      metricsPort,
    ),
  };
}

/**
 * What follows from the mode: which detector and node port addresses are the default, and that sections without effect
 * say nothing of periods and masquerading. Source: kube-proxy's platformApplyDefaults and its conversions.
 */
export function settled(config: KubeProxyConfiguration): KubeProxyConfiguration {
  const mode = config.mode || 'iptables';
  const section = activeSection({ mode });
  const isPrimaryOnly = mode === 'nftables' && (config.nodePortAddresses ?? []).length === 0;
  const periods = (of: Mode) => ({
    [`${of}.syncPeriod`]: section === of ? config[`${of}.syncPeriod`] : 0,
    [`${of}.minSyncPeriod`]: section === of ? config[`${of}.minSyncPeriod`] : 0,
  });
  return {
    ...config,
    mode,
    detectLocalMode: config.detectLocalMode || 'ClusterCIDR',
    portRange: '',
    nodePortAddresses: isPrimaryOnly ? ['primary'] : config.nodePortAddresses,
    'iptables.masqueradeAll': section !== 'nftables' && config['iptables.masqueradeAll'],
    'nftables.masqueradeAll': section === 'nftables' && config['nftables.masqueradeAll'],
    ...periods('iptables'),
    ...periods('ipvs'),
    ...periods('nftables'),
  };
}
