// SPDX-License-Identifier: Apache-2.0
// bpvs run: the daemon.
import { hostname } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { DeviceHook } from '../../dataplane/bpf/attachments.ts';
import {
  isClientDevice,
  isNic,
  namedDevices,
  parseDevices,
  parseXdpDevices,
} from '../../dataplane/bpf/devices.ts';
import { defaultSizes, defaultTimeouts, type TableSizes } from '../../dataplane/bpf/options.ts';
import { isUplink, parseUplinks } from '../../dataplane/bpf/uplinks.ts';
import { InputError } from '../../errors.ts';
import type { SchedulerName } from '../../model/scheduler.ts';
import { findCgroupRoot } from '../cgroup.ts';
import type { DaemonOptions } from '../daemon.ts';
import { createLog } from '../log.ts';
import type { XdpMode } from '../xdp.ts';
import { type CommandOutput, pinDirectoryOption } from './common.ts';

interface RunOptions {
  readonly manifests: string;
  readonly node: string;
  readonly devices?: string;
  readonly uplinks?: string;
  readonly cgroup?: string;
  readonly pinDir: string;
  readonly attach: DeviceHook;
  readonly xdp: XdpMode;
  readonly xdpDevices?: string;
  readonly localRedirect?: boolean;
  readonly scheduler: SchedulerName;
  readonly maxConnections: number;
  readonly tcpTimeout: number;
  readonly tcpfinTimeout: number;
  readonly udpTimeout: number;
  readonly secureTcp?: boolean;
  readonly expireSockets: 'udp' | 'all';
}

/** The most is what one walk of a program through a table can do: BPF_MAX_LOOPS of include/linux/bpf.h. */
const minConnections = 1024;
const maxConnections = 8_388_608;

/** Runs until SIGTERM or SIGINT, which leave data plane and attachments in place. */
export function runCommand(io: CommandOutput): Command {
  const { tcpSeconds, tcpFinSeconds, udpSeconds } = defaultTimeouts;
  return new Command('run')
    .description('serve the Services of a folder of manifests on this node, following its changes')
    .requiredOption('--manifests <dir>', 'folder of Service, EndpointSlice and Node manifests')
    .option('--node <name>', 'name of this node', hostname())
    .option(
      '--devices <names>',
      'devices that clients use, as names or globs joined by commas; !name leaves one out ' +
        '(default: veth, netkit, physical, bond, vlan and vxlan devices)',
    )
    .option(
      '--uplinks <names>',
      'devices that lead off this node, written as --devices (default: physical, bond, vlan and tunnel devices, a bridge ' +
        "that has one, and a veth with a subnet's address)",
    )
    .option('--cgroup <path>', 'control group (version 2) whose processes are clients (default: the root)')
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
    .addOption(
      new Option('--scheduler <name>', 'scheduler of all virtual services')
        .choices(['rr', 'sh', 'dh'])
        .default('rr'),
    )
    .option(
      '--max-connections <n>',
      `connections that fit, ${minConnections} to ${maxConnections}, fixed when the maps are first made`,
      (text) => wholeNumber(text, minConnections, maxConnections),
      defaultSizes.connections,
    )
    .option('--tcp-timeout <seconds>', 'idle established TCP connections', seconds, tcpSeconds)
    .option('--tcpfin-timeout <seconds>', 'TCP connections after a FIN', seconds, tcpFinSeconds)
    .option('--udp-timeout <seconds>', 'idle UDP connections', seconds, udpSeconds)
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
    .action((options: RunOptions) => run(daemonOptions(options), io));
}

async function run(options: DaemonOptions, io: CommandOutput): Promise<void> {
  setFlagsFromString('--optimize-for-size'); // a third less memory with 10,000 Services
  const { Daemon } = await import('../daemon.ts');
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => end());
  await using daemon = await Daemon.start(options, createLog(io.stderr));
  io.stdout(`bpvs: ready, ${daemon.services} virtual services, ${daemon.devices} devices\n`);
  const alive = setInterval(() => {}, 1 << 30); // the daemon's own timers may all be unreferenced
  await ended;
  clearInterval(alive);
}

function daemonOptions(options: RunOptions): DaemonOptions {
  if (options.xdpDevices !== undefined && options.xdp === 'off') {
    throw new InputError(
      'Expected --xdp native or --xdp best-effort with --xdp-devices but received --xdp off',
    );
  }
  if (options.localRedirect && options.xdp !== 'off') {
    throw new InputError(
      `Expected --xdp off with --local-redirect but received --xdp ${options.xdp}: what XDP turns goes up the stack; leave one out`,
    );
  }
  return {
    manifests: options.manifests,
    node: options.node,
    cgroup: options.cgroup ?? findCgroupRoot(),
    isClientDevice: options.devices === undefined ? isClientDevice : parseDevices(options.devices),
    namedDevices: options.devices === undefined ? [] : namedDevices(options.devices),
    isUplink: options.uplinks === undefined ? isUplink : parseUplinks(options.uplinks),
    deviceHook: options.attach,
    xdp: {
      mode: options.xdp,
      isXdpDevice: options.xdpDevices === undefined ? isNic : parseXdpDevices(options.xdpDevices),
      namedDevices: options.xdpDevices === undefined ? [] : namedDevices(options.xdpDevices),
    },
    scheduler: options.scheduler,
    bpf: {
      pinDirectory: options.pinDir,
      sizes: sizesFor(options.maxConnections),
      timeouts: {
        tcpSeconds: options.tcpTimeout,
        tcpFinSeconds: options.tcpfinTimeout,
        udpSeconds: options.udpTimeout,
      },
      expireNodestConn: true,
      connReuseMode: 1,
      secureTcp: options.secureTcp === true,
      expiresTcpSockets: options.expireSockets === 'all',
      redirectsLocally: options.localRedirect === true,
      hasVirtualClock: false,
    },
  };
}

/** A quarter may be half open. */
function sizesFor(connections: number): TableSizes {
  return { ...defaultSizes, connections, halfOpen: 2 ** Math.max(0, Math.floor(Math.log2(connections / 4))) };
}

function seconds(text: string): number {
  return wholeNumber(text, 1, 0x7fff_ffff);
}

function wholeNumber(text: string, lowest: number, highest: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= lowest && value <= highest) return value;
  throw new InvalidArgumentError(`Expected a whole number from ${lowest} to ${highest}.`);
}
