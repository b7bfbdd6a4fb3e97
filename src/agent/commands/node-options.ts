// SPDX-License-Identifier: Apache-2.0
// The options about this node's devices, sockets and tables, for each command that serves Services.
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { DeviceHook } from '../../dataplane/bpf/attachments.ts';
import {
  isClientDevice,
  isNic,
  namedDevices,
  parseDevices,
  parseXdpDevices,
} from '../../dataplane/bpf/devices.ts';
import { defaultCacheSeconds, defaultSizes, type TableSizes } from '../../dataplane/bpf/options.ts';
import { isUplink, parseUplinks } from '../../dataplane/bpf/uplinks.ts';
import { InputError } from '../../errors.ts';
import { type VersionProfile, versionProfiles } from '../../model/schedulers/scheduler.ts';
import type { TimeoutChanges } from '../../model/timeouts.ts';
import { findCgroupRoot } from '../cgroup.ts';
import type { DaemonOptions } from '../daemon.ts';
import type { XdpMode } from '../xdp.ts';
import { pinDirectoryOption } from './common.ts';

/** As commander hands them over. */
export interface NodeOptionValues {
  readonly devices?: string;
  readonly uplinks?: string;
  readonly cgroup?: string;
  readonly pinDir: string;
  readonly attach: DeviceHook;
  readonly xdp: XdpMode;
  readonly xdpDevices?: string;
  readonly localRedirect?: boolean;
  readonly maxConnections: number;
  readonly secureTcp?: boolean;
  readonly expireSockets: 'udp' | 'all';
  readonly ipvsProfile: VersionProfile;
  readonly lblcExpiration: number;
  readonly lblcrExpiration: number;
}

/** What of the daemon's options these decide. */
export type NodeOptions = Omit<DaemonOptions, 'cluster' | 'node' | 'scheduler' | 'schedulerFlags'>;

/** The most is what one walk of a program through a table can do: BPF_MAX_LOOPS of include/linux/bpf.h. */
const minConnections = 1024;
const maxConnections = 8_388_608;

export function addNodeOptions(command: Command): Command {
  return command
    .option(
      '--devices <names>',
      'devices that clients use, as names or globs joined by commas; !name leaves one out ' +
        '(default: veth, netkit, physical, bond, vlan and tunnel devices)',
    )
    .option(
      '--uplinks <names>',
      'devices that lead off this node, written as --devices (default: physical, bond, vlan and tunnel devices, a bridge ' +
        "that has one, and a veth with a subnet's address)",
    )
    .addOption(
      new Option(
        '--cgroup <path>',
        'control group (version 2) whose processes are clients (default: the root)',
      ).env('BPVS_CGROUP'),
    )
    .addOption(pinDirectoryOption())
    .addOption(
      new Option('--attach <how>', 'how to attach to devices; auto: tcx, or clsact before Linux 6.6')
        .choices(['auto', 'tcx', 'clsact'])
        .default('auto'),
    )
    .addOption(
      new Option(
        '--xdp <mode>',
        'XDP at NICs; native: fail where a driver refuses it, best-effort: leave that to tc',
      )
        .choices(['native', 'best-effort', 'off'])
        .default('off'),
    )
    .option(
      '--xdp-devices <names>',
      'devices for --xdp, among those of --devices and written as there (default: physical and bond devices)',
    )
    .option(
      '--local-redirect',
      "send packets to and from this node's pods straight to their devices: faster, but past the node's firewall, " +
        'connection tracking and policies (default: off)',
    )
    .option(
      '--max-connections <n>',
      `connections that fit, ${minConnections} to ${maxConnections}, fixed when the maps are first made`,
      (text) => wholeNumber(text, minConnections, maxConnections),
      defaultSizes.connections,
    )
    .option(
      '--secure-tcp',
      "a TCP connection becomes ESTABLISHED by its destination's answer, not by what its client sends (the sysctl " +
        'secure_tcp of IPVS; default: off)',
    )
    .addOption(
      new Option('--expire-sockets <which>', "the host's connected sockets that end with their destination")
        .choices(['udp', 'all'])
        .default('udp'),
    )
    .addOption(
      new Option(
        '--ipvs-profile <profile>',
        'whose arithmetic of loads and thresholds; classic: kernels before 6.1.187, 6.12.107 and 7.2',
      )
        .choices(versionProfiles)
        .default('recent'),
    )
    .option(
      '--lblc-expiration <seconds>',
      'lblc forgets an address that was not used for so long (the sysctl lblc_expiration of IPVS)',
      seconds,
      defaultCacheSeconds,
    )
    .option(
      '--lblcr-expiration <seconds>',
      'the same of lblcr, and a set that has not changed for so long gets smaller (the sysctl lblcr_expiration)',
      seconds,
      defaultCacheSeconds,
    );
}

/** Throws InputError for options that contradict each other. */
export function nodeOptions(values: NodeOptionValues, timeouts: TimeoutChanges): NodeOptions {
  if (values.xdpDevices !== undefined && values.xdp === 'off') {
    throw new InputError(
      'Expected --xdp native or --xdp best-effort with --xdp-devices but received --xdp off',
    );
  }
  if (values.localRedirect && values.xdp !== 'off') {
    throw new InputError(
      `Expected --xdp off with --local-redirect but received --xdp ${values.xdp}: what XDP turns goes up the stack; leave one out`,
    );
  }
  return {
    cgroup: values.cgroup ?? findCgroupRoot(),
    isClientDevice: values.devices === undefined ? isClientDevice : parseDevices(values.devices),
    namedDevices: values.devices === undefined ? [] : namedDevices(values.devices),
    isUplink: values.uplinks === undefined ? isUplink : parseUplinks(values.uplinks),
    deviceHook: values.attach,
    xdp: {
      mode: values.xdp,
      isXdpDevice: values.xdpDevices === undefined ? isNic : parseXdpDevices(values.xdpDevices),
      namedDevices: values.xdpDevices === undefined ? [] : namedDevices(values.xdpDevices),
    },
    bpf: {
      pinDirectory: values.pinDir,
      sizes: sizesFor(values.maxConnections),
      timeouts,
      expireNodestConn: true,
      connReuseMode: 1,
      expireQuiescentTemplate: true,
      secureTcp: values.secureTcp === true,
      ipvsProfile: values.ipvsProfile,
      lblcExpirationSeconds: values.lblcExpiration,
      lblcrExpirationSeconds: values.lblcrExpiration,
      expiresTcpSockets: values.expireSockets === 'all',
      redirectsLocally: values.localRedirect === true,
      hasVirtualClock: false,
    },
  };
}

/** A quarter may be half open. */
function sizesFor(connections: number): TableSizes {
  return { ...defaultSizes, connections, halfOpen: 2 ** Math.max(0, Math.floor(Math.log2(connections / 4))) };
}

export function seconds(text: string): number {
  return wholeNumber(text, 1, 0x7fff_ffff);
}

function wholeNumber(text: string, lowest: number, highest: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= lowest && value <= highest) return value;
  throw new InvalidArgumentError(`Expected a whole number from ${lowest} to ${highest}.`);
}
