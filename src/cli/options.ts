// SPDX-License-Identifier: Apache-2.0
// The options of ipvsadm 1.31 as a table: how each is written, and what its value says.
import type { Protocol } from '../model/virtual-service.ts';
import type { Resolver } from './names.ts';
import { isMulticast, readMask, readNumber, readSocketAddress } from './option-values.ts';
import type { OptionSyntax } from './popt.ts';
import { type Settings, serviceFamily, serviceKey, tunnelTypes } from './settings.ts';
import { fail } from './usage-error.ts';

/** The names of options in messages, in the order in which they are checked. */
export const optionNames = [
  'numeric',
  'connection',
  'service-address',
  'scheduler',
  'persistent',
  'netmask',
  'real-server',
  'forwarding-method',
  'weight',
  'u-threshold',
  'l-threshold',
  'mcast-interface',
  'timeout',
  'daemon',
  'stats',
  'rate',
  'thresholds',
  'persistent-conn',
  'nosort',
  'syncid',
  'exact',
  'ops',
  'pe',
  'sched-flags',
  'tun-info',
  'tun-type',
  'tun-port',
  'tun-nocsum',
  'tun-csum',
  'tun-remcsum',
  'sync-maxlen',
  'mcast-group',
  'mcast-port',
  'mcast-ttl',
] as const;

export type OptionName = (typeof optionNames)[number];

/** What an option's value says, knowing what the options before it said. */
export type Reader = (
  value: string,
  settings: Readonly<Settings>,
  resolver: Resolver,
) => Partial<Settings> | Promise<Partial<Settings>>;

export interface Option extends OptionSyntax {
  /** Its name in messages, shared by options that exclude each other. An option without one is never out of place. */
  readonly name?: OptionName;
  readonly read?: Reader;
  /** Stands for an optional value that is not there. */
  readonly defaultValue?: string;
}

const maxTimeoutSeconds = 31 * 24 * 3600;
const maxInt = 2 ** 31 - 1;

export const options: readonly Option[] = [
  valued('t', 'tcp-service', 'service-address', readService('tcp')),
  valued('u', 'udp-service', 'service-address', readService('udp')),
  valued('', 'sctp-service', 'service-address', readService('sctp')),
  valued('f', 'fwmark-service', 'service-address', readMark),
  { short: '6', long: 'ipv6', read: makeMarkIpv6 },
  valued('s', 'scheduler', 'scheduler', (value) => ({ scheduler: value.slice(0, 15) })),
  {
    ...valued('p', 'persistent', 'persistent', (value) => ({ persistentSeconds: readTimeout(value, 1) })),
    value: 'optional',
    defaultValue: '360',
  },
  valued('M', 'netmask', 'netmask', readNetmask),
  flag('o', 'ops'),
  valued('', 'pe', 'pe', (value) => ({ persistenceEngine: value })),
  valued('b', 'sched-flags', 'sched-flags', (value) => ({ schedulerFlags: value })),
  valued('r', 'real-server', 'real-server', readServer),
  { ...flag('g', 'gatewaying', 'forwarding-method'), read: () => ({ forwarding: 'droute' }) },
  { ...flag('i', 'ipip', 'forwarding-method'), read: () => ({ forwarding: 'tunnel' }) },
  { ...flag('m', 'masquerading', 'forwarding-method'), read: () => ({ forwarding: 'masq' }) },
  number('w', 'weight', 'weight', 0, maxInt, (weight) => ({ weight })),
  number('x', 'u-threshold', 'u_threshold', 0, maxInt, (upperThreshold) => ({ upperThreshold })),
  number('y', 'l-threshold', 'l_threshold', 0, maxInt, (lowerThreshold) => ({ lowerThreshold })),
  valued('', 'tun-type', 'tun-type', readTunnelType),
  number('', 'tun-port', 'tunnel port', 1, 65535, (tunnelPort) => ({ tunnelPort })),
  flag('', 'tun-nocsum'),
  flag('', 'tun-csum'),
  flag('', 'tun-remcsum'),
  flag('n', 'numeric'),
  flag('c', 'connection'),
  flag('', 'timeout'),
  flag('', 'daemon'),
  flag('', 'stats'),
  flag('', 'rate'),
  flag('', 'thresholds'),
  flag('', 'persistent-conn'),
  flag('', 'nosort'),
  { long: 'sort' },
  flag('X', 'exact'),
  flag('', 'tun-info'),
  valued('', 'mcast-interface', 'mcast-interface', () => ({})),
  number('', 'syncid', 'syncid', 0, 255),
  number('', 'sync-maxlen', 'sync-maxlen', 1, 65507),
  valued('', 'mcast-group', 'mcast-group', checkGroup),
  number('', 'mcast-port', 'mcast-port', 1, 65535),
  number('', 'mcast-ttl', 'mcast-ttl', 1, 255),
];

/** Seconds of `-p` and `--set`. */
export function readTimeout(text: string, min: number): number {
  return readNumber(text, min, maxTimeoutSeconds) ?? fail(`invalid timeout value \`${text}' specified`);
}

/** An option without a value. */
function flag(short: string, long: string, name = long as OptionName): Option {
  return { short, long, name };
}

function valued(short: string, long: string, name: OptionName, read: Reader): Option {
  return { short, long, name, value: 'required', read };
}

/** @param what the number's name in the message. */
function number(
  short: string,
  name: OptionName,
  what: string,
  min: number,
  max: number,
  settings: (value: number) => Partial<Settings> = () => ({}),
): Option {
  return valued(short, name, name, (value) =>
    settings(readNumber(value, min, max) ?? fail(`illegal ${what} specified`)),
  );
}

function readService(protocol: Protocol): Reader {
  return async (value, _settings, resolver) => {
    const at = await readSocketAddress(value, protocol, resolver);
    if (!at) fail('illegal virtual server address[:port] specified');
    return { service: { protocol, address: at.address, port: at.port ?? 0 } };
  };
}

function readMark(value: string): Partial<Settings> {
  const mark = readNumber(value, 1, 2 ** 32 - 1) ?? fail(`invalid fwmark value \`${value}' specified`);
  return { service: { mark, family: 4 } };
}

function makeMarkIpv6(_value: string, { service }: Readonly<Settings>): Partial<Settings> {
  if (service?.mark === undefined) fail('-6 used before -f\n');
  return { service: { mark: service.mark, family: 6 } };
}

async function readServer(
  value: string,
  { service }: Readonly<Settings>,
  resolver: Resolver,
): Promise<Partial<Settings>> {
  const { protocol, port } = serviceKey(service);
  const server = await readSocketAddress(value, protocol, resolver);
  if (!server) fail('illegal real server address[:port] specified');
  return { server: { address: server.address, port: server.port ?? port } };
}

async function readNetmask(
  value: string,
  { service }: Readonly<Settings>,
  resolver: Resolver,
): Promise<Partial<Settings>> {
  const family = serviceFamily(service);
  const problem = family === 6 ? 'illegal ipv6 netmask' : 'illegal virtual server persistent mask';
  return { mask: (await readMask(value, family, resolver)) ?? fail(`${problem} specified`) };
}

function readTunnelType(value: string): Partial<Settings> {
  return { tunnelType: tunnelTypes.find((type) => type === value) ?? fail('illegal tunnel type specified') };
}

function checkGroup(value: string): Partial<Settings> {
  if (!isMulticast(value)) fail(`invalid ${value.includes(':') ? 'IPv6' : 'IPv4'} mcast-group \`${value}'`);
  return {};
}
