// SPDX-License-Identifier: Apache-2.0
// What of the kernel kube-proxy sets at its start, beyond the data plane: forwarding, connection tracking, its OOM score.
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import type { AgentSettings, ConntrackSettings } from '../config/agent-settings.ts';

export interface KernelSetting {
  readonly path: string;
  readonly value: number;
  /** A larger value that is there already stays. */
  readonly isLeast?: true;
}

/** Settings that could not be made, with the reason. */
export interface SettingFailure {
  readonly setting: KernelSetting;
  readonly error: NodeJS.ErrnoException;
}

const conntrackFolder = '/proc/sys/net/netfilter';
const hashSize = '/sys/module/nf_conntrack/parameters/hashsize';

/** Of nf_conntrack_max by the number of CPUs; where that says more, the minimum is not looked at. */
const mostConntrack = 1_048_576;

/** In the order in which they are to be made. IPv6 forwarding is the CNI's. */
export function kernelSettings(
  { conntrack }: Pick<AgentSettings, 'conntrack'>,
  cpuCount: number = cpus().length,
): readonly KernelSetting[] {
  return [{ path: '/proc/sys/net/ipv4/ip_forward', value: 1 }, ...conntrackSettings(conntrack, cpuCount)];
}

/** Source: pkg/proxy/conntrack/sysctls.go of Kubernetes. Zero leaves the kernel's value. */
function conntrackSettings(conntrack: ConntrackSettings, cpuCount: number): readonly KernelSetting[] {
  const { tcpEstablishedSeconds, tcpCloseWaitSeconds, udpSeconds, udpStreamSeconds } = conntrack;
  const most = mostEntries(conntrack, cpuCount);
  const named: readonly (readonly [string, number])[] = [
    ['nf_conntrack_max', most],
    ['nf_conntrack_tcp_timeout_established', tcpEstablishedSeconds],
    ['nf_conntrack_tcp_timeout_close_wait', tcpCloseWaitSeconds],
    ['nf_conntrack_tcp_be_liberal', conntrack.isTcpLiberal ? 1 : 0],
    ['nf_conntrack_udp_timeout', udpSeconds],
    ['nf_conntrack_udp_timeout_stream', udpStreamSeconds],
  ];
  const settings = named
    .filter(([, value]) => value > 0)
    .map(([name, value]) => ({ path: `${conntrackFolder}/${name}`, value }));
  if (most === 0) return settings;
  return [...settings, { path: hashSize, value: Math.floor(most / 4), isLeast: true }];
}

function mostEntries({ maxPerCore, min }: ConntrackSettings, cpuCount: number): number {
  const scaled = maxPerCore * cpuCount;
  if (scaled > mostConntrack) return mostConntrack;
  return scaled === 0 ? 0 : Math.max(min, scaled);
}

/** A value that is right already is not written, so that a read-only file system is no obstacle to it. */
export function applyKernelSettings(settings: readonly KernelSetting[]): readonly SettingFailure[] {
  return settings.flatMap((setting) => {
    try {
      const current = Number(readFileSync(setting.path, 'utf8'));
      const isRight = setting.isLeast ? current >= setting.value : current === setting.value;
      if (!isRight) writeFileSync(setting.path, String(setting.value));
      return [];
    } catch (error) {
      return [{ setting, error: error as NodeJS.ErrnoException }];
    }
  });
}

/**
 * What a kube-proxy's --init-only goes on after, too: connection tracking that is not loaded, so that nothing is tracked, and a hash
 * size that a container cannot write.
 */
export function isTolerable({ setting, error }: SettingFailure): boolean {
  if (setting.path === hashSize) return error.code === 'EROFS' || error.code === 'ENOENT';
  return error.code === 'ENOENT' && setting.path.startsWith(`${conntrackFolder}/`);
}

/** For whom the kernel ends first when memory runs out: -1000 (never) to 1000. Lowering it needs CAP_SYS_RESOURCE. */
export function applyOomScore(value: number): readonly SettingFailure[] {
  return applyKernelSettings([{ path: '/proc/self/oom_score_adj', value }]);
}
