// SPDX-License-Identifier: Apache-2.0
// Which configurations kube-proxy refuses, with its paths and words: tools and people know them.
import { parseSloppyAddress, parseSloppyCidr, splitHostPort } from './addresses.ts';
import type { KubeProxyConfiguration, Mode } from './fields.ts';
import { type DurationNs, formatDuration } from './go-duration.ts';
import { activeSection } from './kube-proxy-configuration.ts';

const root = 'KubeProxyConfiguration';
const conntrack = 'KubeProxyLinuxConfiguration.KubeProxyConntrackConfiguration';
const dualStackHint =
  'must be a either a single CIDR or dual-stack pair of CIDRs (e.g. [10.100.0.0/16, fde4:8dba:82e1::/48]';
const localModes = ['ClusterCIDR', 'NodeCIDR', 'BridgeInterface', 'InterfaceNamePrefix', ''];
const sectionNames: Readonly<Record<Mode, string>> = {
  iptables: 'KubeProxyIPTablesConfiguration',
  ipvs: 'KubeProxyIPVSConfiguration',
  nftables: 'KubeProxyNFTablesConfiguration',
};

/** Collects "path: Invalid value: value: reason". */
class Problems {
  readonly lines: string[] = [];

  invalid(path: string, value: string | number | readonly string[], reason: string): void {
    this.lines.push(`${path}: Invalid value: ${JSON.stringify(value)}: ${reason}`);
  }

  within(path: string, value: number, low: number, high: number): void {
    if (value < low || value > high) this.invalid(path, value, `must be within the range [${low}, ${high}]`);
  }

  notNegative(path: string, value: number): void {
    if (value < 0) this.invalid(path, value, 'must be greater than or equal to 0');
  }

  noNegativeDuration(path: string, value: DurationNs): void {
    if (value < 0) this.invalid(path, formatDuration(value), 'must be greater than or equal to 0');
  }

  positiveDuration(path: string, value: DurationNs): void {
    if (value <= 0) this.invalid(path, formatDuration(value), 'must be greater than 0');
  }

  hostPort(path: string, value: string): void {
    const parts = splitHostPort(value);
    if (!parts) {
      this.invalid(path, value, 'must be IP:port');
      return;
    }
    if (parseSloppyAddress(parts.host) === undefined) this.invalid(path, parts.host, 'must be a valid IP');
    const isPort = /^[-+]?\d+$/.test(parts.port) && Number(parts.port) >= 1 && Number(parts.port) <= 65535;
    if (!isPort) this.invalid(path, parts.port, 'must be a valid port');
  }

  cidrs(path: string, values: readonly string[], reason: string): void {
    values.forEach((value, i) => {
      if (parseSloppyCidr(value) === undefined) this.invalid(`${path}[${i}]`, value, reason);
    });
  }

  notEmpty(path: string, value: string): void {
    if (value === '') this.invalid(path, value, 'must not be empty');
  }
}

/** One line a problem, in kube-proxy's order; none for a configuration that it would start with. Pure. */
export function validateConfiguration(config: KubeProxyConfiguration): readonly string[] {
  const problems = new Problems();
  validateSections(config, problems);
  validateConntrack(config, problems);
  problems.within(`${root}.KubeProxyLinuxConfiguration.OOMScoreAdj`, config.oomScoreAdj, -1000, 1000);
  validateMode(config.mode, problems);
  problems.notNegative(`${root}.ClientConnection.Burst`, config['clientConnection.burst']);
  validatePeriods(config, problems);
  if (parseSloppyAddress(config.bindAddress) === undefined) {
    const reason = 'not a valid textual representation of an IP address';
    problems.invalid(`${root}.BindAddress`, config.bindAddress, reason);
  }
  if (config.healthzBindAddress !== '')
    problems.hostPort(`${root}.HealthzBindAddress`, config.healthzBindAddress);
  problems.hostPort(`${root}.MetricsBindAddress`, config.metricsBindAddress);
  validateNodePortAddresses(config.nodePortAddresses ?? [], problems);
  validateDetectLocal(config, problems);
  validateLogging(config, problems);
  return problems.lines;
}

function validateSections(config: KubeProxyConfiguration, problems: Problems): void {
  const bit = 'MasqueradeBit';
  const { iptables, ipvs, nftables } = sectionNames;
  problems.within(`${root}.${iptables}.${bit}`, config['iptables.masqueradeBit'], 0, 31);
  if (config.mode === 'ipvs') {
    problems.noNegativeDuration(`${root}.${ipvs}.TCPTimeout`, config['ipvs.tcpTimeout']);
    problems.noNegativeDuration(`${root}.${ipvs}.TCPFinTimeout`, config['ipvs.tcpFinTimeout']);
    problems.noNegativeDuration(`${root}.${ipvs}.UDPTimeout`, config['ipvs.udpTimeout']);
    problems.cidrs(`${root}.${ipvs}.ExcludeCidrs`, config['ipvs.excludeCIDRs'] ?? [], 'must be a valid CIDR');
  }
  if (config.mode === 'nftables')
    problems.within(`${root}.${nftables}.${bit}`, config['nftables.masqueradeBit'], 0, 31);
}

function validateConntrack(config: KubeProxyConfiguration, problems: Problems): void {
  const path = `${root}.${conntrack}`;
  problems.notNegative(`${path}.MaxPerCore`, config['conntrack.maxPerCore']);
  problems.notNegative(`${path}.Min`, config['conntrack.min']);
  problems.noNegativeDuration(`${path}.TCPEstablishedTimeout`, config['conntrack.tcpEstablishedTimeout']);
  problems.noNegativeDuration(`${path}.TCPCloseWaitTimeout`, config['conntrack.tcpCloseWaitTimeout']);
  problems.noNegativeDuration(`${path}.UDPTimeout`, config['conntrack.udpTimeout']);
  problems.noNegativeDuration(`${path}.UDPStreamTimeout`, config['conntrack.udpStreamTimeout']);
}

function validateMode(mode: string, problems: Problems): void {
  if (mode === '' || mode in sectionNames) return;
  const reason =
    'must be iptables, ipvs, nftables or blank (blank means the best-available proxy [currently iptables])';
  problems.invalid(`${root}.Mode.ProxyMode`, mode, reason);
}

function validatePeriods(config: KubeProxyConfiguration, problems: Problems): void {
  const section = activeSection(config);
  const sync = config[`${section}.syncPeriod`];
  const least = config[`${section}.minSyncPeriod`];
  problems.positiveDuration(`${root}.ConfigSyncPeriod`, config.configSyncPeriod);
  problems.positiveDuration(`${root}.SyncPeriod`, sync);
  problems.noNegativeDuration(`${root}.MinSyncPeriod`, least);
  if (least > sync) {
    const reason = `must be greater than or equal to ${root}.MinSyncPeriod`;
    problems.invalid(`${root}.SyncPeriod`, formatDuration(least), reason);
  }
}

/** `all`, `localhost`, and `primary` beside CIDRs are those of Kubernetes 1.37; 1.36 refuses them. */
function validateNodePortAddresses(values: readonly string[], problems: Problems): void {
  values.forEach((value, i) => {
    if (['primary', 'all', 'localhost'].includes(value) || parseSloppyCidr(value) !== undefined) return;
    problems.invalid(`${root}.NodePortAddresses[${i}]`, value, 'must be a valid CIDR');
  });
}

function validateDetectLocal(config: KubeProxyConfiguration, problems: Problems): void {
  const path = `${root}.DetectLocalConfiguration`;
  const mode = config.detectLocalMode;
  if (!localModes.includes(mode)) {
    const supported = localModes.map((each) => JSON.stringify(each)).join(', ');
    problems.lines.push(
      `${root}.DetectLocalMode: Unsupported value: ${JSON.stringify(mode)}: supported values: ${supported}`,
    );
  }
  if (mode === 'BridgeInterface')
    problems.notEmpty(`${path}.InterfaceName`, config['detectLocal.bridgeInterface']);
  if (mode === 'InterfaceNamePrefix')
    problems.notEmpty(`${path}.InterfacePrefix`, config['detectLocal.interfaceNamePrefix']);
  if (mode === 'ClusterCIDR' && config.clusterCIDR !== '')
    validateClusterCidrs(config.clusterCIDR.split(','), `${path}.ClusterCIDRs`, problems);
}

function validateClusterCidrs(values: readonly string[], path: string, problems: Problems): void {
  if (values.length > 2) {
    problems.invalid(path, values, dualStackHint);
    return;
  }
  const reason = 'must be a valid CIDR block (e.g. 10.100.0.0/16 or fde4:8dba:82e1::/48)';
  problems.cidrs(path, values, reason);
  const families = values.flatMap((value) => parseSloppyCidr(value)?.family ?? []);
  if (families.length === 2 && families[0] === families[1]) problems.invalid(path, values, dualStackHint);
}

function validateLogging(config: KubeProxyConfiguration, problems: Problems): void {
  const frequency = config['logging.flushFrequency'];
  const isPositive = typeof frequency === 'number' ? frequency > 0 : !/^-|^\+?0+[a-z]*$/.test(frequency);
  if (!isPositive) problems.invalid('logging.flushFrequency', frequency, 'Must be greater than zero');
  const format = config['logging.format'];
  if (format !== 'text' && format !== 'json')
    problems.invalid('logging.format', format, 'Unsupported log format');
  if (format !== 'text' && config['logging.vmodule'].length > 0)
    problems.lines.push('logging.vmodule: Forbidden: Only supported for text log format');
}
