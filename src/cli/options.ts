// SPDX-License-Identifier: Apache-2.0
// The commands and options of ipvsadm 1.31 as tables: how each is written, what it reads, which go together.
import type { Address, Family } from '../model/address.ts';
import type { ForwardingMethod, Protocol } from '../model/virtual-service.ts';
import type { Resolver } from './names.ts';
import { isMulticast, readMask, readNumber, readSocketAddress } from './option-values.ts';
import type { OptionSyntax } from './popt.ts';
import { fail } from './usage-error.ts';

/** The names of commands in messages. */
export type CommandName =
  | 'add-service'
  | 'edit-service'
  | 'delete-service'
  | 'flush'
  | 'restore'
  | 'save'
  | 'add-server'
  | 'edit-server'
  | 'delete-server'
  | 'list'
  | 'zero'
  | 'set'
  | 'start-daemon'
  | 'stop-daemon'
  | 'help'
  | 'version';

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

export type ServiceSelector =
  | {
      readonly protocol: Protocol;
      readonly address: Address;
      readonly port: number;
      readonly mark?: undefined;
    }
  | { readonly mark: number; readonly family: Family };

export const tunnelTypes = ['ipip', 'gue', 'gre'] as const;

/** What the options of one command line say; those not given keep the value of {@link defaultSettings}. */
export interface Settings {
  service?: ServiceSelector;
  server?: { readonly address: Address; readonly port: number };
  scheduler: string;
  /** As written: flags joined by commas. */
  schedulerFlags: string;
  persistentSeconds?: number;
  mask?: Address | number;
  persistenceEngine?: string;
  forwarding: ForwardingMethod;
  weight: number;
  upperThreshold: number;
  lowerThreshold: number;
  tunnelType: (typeof tunnelTypes)[number];
  tunnelPort: number;
  daemon?: 'master' | 'backup';
  /** `--set`: tcp, tcpfin and udp in seconds, 0 keeps a value. */
  timeouts?: readonly number[];
}

export const defaultSettings: Settings = {
  scheduler: 'wlc',
  schedulerFlags: '',
  forwarding: 'droute',
  weight: 1,
  upperThreshold: 0,
  lowerThreshold: 0,
  tunnelType: 'ipip',
  tunnelPort: 0,
};

type Reader = (settings: Settings, value: string, resolver: Resolver) => void | Promise<void>;

export interface Option extends OptionSyntax {
  /** Its name in messages, shared by options that exclude each other. An option without one is never out of place. */
  readonly name?: OptionName;
  readonly read?: Reader;
  /** Stands for an optional value that is not there. */
  readonly defaultValue?: string;
}

export interface Command extends OptionSyntax {
  readonly name: CommandName;
  readonly read?: Reader;
  readonly required?: readonly OptionName[];
  readonly allowed?: readonly OptionName[];
  /** At most one of these is allowed. */
  readonly exclusive?: readonly OptionName[];
}

export const maxTimeoutSeconds = 31 * 24 * 3600;
const maxInt = 2 ** 31 - 1;
const serviceOptions = ['scheduler', 'persistent', 'netmask', 'ops', 'pe', 'sched-flags'] as const;
const serverOptions = [
  'forwarding-method',
  'weight',
  'u-threshold',
  'l-threshold',
  'tun-type',
  'tun-port',
  'tun-nocsum',
  'tun-csum',
  'tun-remcsum',
] as const;

const list: Command = {
  short: 'L',
  long: 'list',
  name: 'list',
  allowed: [
    'numeric',
    'stats',
    'rate',
    'thresholds',
    'persistent-conn',
    'nosort',
    'syncid',
    'exact',
    'tun-info',
  ],
  exclusive: ['connection', 'service-address', 'timeout', 'daemon'],
};

export const commands: readonly Command[] = [
  {
    short: 'A',
    long: 'add-service',
    name: 'add-service',
    required: ['service-address'],
    allowed: serviceOptions,
  },
  {
    short: 'E',
    long: 'edit-service',
    name: 'edit-service',
    required: ['service-address'],
    allowed: serviceOptions,
  },
  { short: 'D', long: 'delete-service', name: 'delete-service', required: ['service-address'] },
  { short: 'C', long: 'clear', name: 'flush' },
  { short: 'R', long: 'restore', name: 'restore' },
  { short: 'S', long: 'save', name: 'save', allowed: ['numeric'] },
  {
    short: 'a',
    long: 'add-server',
    name: 'add-server',
    required: ['service-address', 'real-server'],
    allowed: serverOptions,
  },
  {
    short: 'e',
    long: 'edit-server',
    name: 'edit-server',
    required: ['service-address', 'real-server'],
    allowed: serverOptions,
  },
  {
    short: 'd',
    long: 'delete-server',
    name: 'delete-server',
    required: ['service-address', 'real-server'],
  },
  list,
  { ...list, short: 'l' },
  { short: 'Z', long: 'zero', name: 'zero', allowed: ['service-address'] },
  { long: 'set', name: 'set' },
  {
    long: 'start-daemon',
    name: 'start-daemon',
    value: 'required',
    read: (settings, value) => {
      settings.daemon = readRole(value) ?? fail('illegal start-daemon parameter specified');
    },
    allowed: ['mcast-interface', 'syncid', 'sync-maxlen', 'mcast-group', 'mcast-port', 'mcast-ttl'],
  },
  {
    long: 'stop-daemon',
    name: 'stop-daemon',
    value: 'required',
    read: (settings, value) => {
      settings.daemon = readRole(value) ?? fail('illegal start_daemon specified');
    },
    allowed: ['syncid'],
  },
  { short: 'h', long: 'help', name: 'help' },
  { short: 'v', long: 'version', name: 'version' },
];

export const options: readonly Option[] = [
  { short: 't', long: 'tcp-service', name: 'service-address', value: 'required', read: readService('tcp') },
  { short: 'u', long: 'udp-service', name: 'service-address', value: 'required', read: readService('udp') },
  { long: 'sctp-service', name: 'service-address', value: 'required', read: readService('sctp') },
  {
    short: 'f',
    long: 'fwmark-service',
    name: 'service-address',
    value: 'required',
    read: (settings, value) => {
      const mark = readNumber(value, 1, 2 ** 32 - 1) ?? fail(`invalid fwmark value \`${value}' specified`);
      settings.service = { mark, family: 4 };
    },
  },
  {
    short: '6',
    long: 'ipv6',
    read: (settings) => {
      if (settings.service?.mark === undefined) fail('-6 used before -f\n');
      settings.service = { mark: settings.service.mark, family: 6 };
    },
  },
  {
    short: 's',
    long: 'scheduler',
    name: 'scheduler',
    value: 'required',
    read: (settings, value) => {
      settings.scheduler = value.slice(0, 15);
    },
  },
  {
    short: 'p',
    long: 'persistent',
    name: 'persistent',
    value: 'optional',
    defaultValue: '360',
    read: (settings, value) => {
      settings.persistentSeconds = readTimeout(value, 1);
    },
  },
  {
    short: 'M',
    long: 'netmask',
    name: 'netmask',
    value: 'required',
    read: async (settings, value, resolver) => {
      const family = serviceFamily(settings.service);
      const problem = family === 6 ? 'illegal ipv6 netmask' : 'illegal virtual server persistent mask';
      settings.mask = (await readMask(value, family, resolver)) ?? fail(`${problem} specified`);
    },
  },
  { short: 'o', long: 'ops', name: 'ops' },
  {
    long: 'pe',
    name: 'pe',
    value: 'required',
    read: (settings, value) => {
      settings.persistenceEngine = value;
    },
  },
  {
    short: 'b',
    long: 'sched-flags',
    name: 'sched-flags',
    value: 'required',
    read: (settings, value) => {
      settings.schedulerFlags = value;
    },
  },
  {
    short: 'r',
    long: 'real-server',
    name: 'real-server',
    value: 'required',
    read: async (settings, value, resolver) => {
      const { protocol, port } = keyOf(settings.service);
      const server = await readSocketAddress(value, protocol, resolver);
      if (!server) fail('illegal real server address[:port] specified');
      settings.server = { address: server.address, port: server.port ?? port };
    },
  },
  { short: 'g', long: 'gatewaying', name: 'forwarding-method', read: readForwarding('droute') },
  { short: 'i', long: 'ipip', name: 'forwarding-method', read: readForwarding('tunnel') },
  { short: 'm', long: 'masquerading', name: 'forwarding-method', read: readForwarding('masq') },
  {
    short: 'w',
    long: 'weight',
    name: 'weight',
    value: 'required',
    read: (settings, value) => {
      settings.weight = readNumber(value, 0, maxInt) ?? fail('illegal weight specified');
    },
  },
  {
    short: 'x',
    long: 'u-threshold',
    name: 'u-threshold',
    value: 'required',
    read: (settings, value) => {
      settings.upperThreshold = readNumber(value, 0, maxInt) ?? fail('illegal u_threshold specified');
    },
  },
  {
    short: 'y',
    long: 'l-threshold',
    name: 'l-threshold',
    value: 'required',
    read: (settings, value) => {
      settings.lowerThreshold = readNumber(value, 0, maxInt) ?? fail('illegal l_threshold specified');
    },
  },
  {
    long: 'tun-type',
    name: 'tun-type',
    value: 'required',
    read: (settings, value) => {
      settings.tunnelType =
        tunnelTypes.find((type) => type === value) ?? fail('illegal tunnel type specified');
    },
  },
  {
    long: 'tun-port',
    name: 'tun-port',
    value: 'required',
    read: (settings, value) => {
      settings.tunnelPort = readNumber(value, 1, 65535) ?? fail('illegal tunnel port specified');
    },
  },
  { long: 'tun-nocsum', name: 'tun-nocsum' },
  { long: 'tun-csum', name: 'tun-csum' },
  { long: 'tun-remcsum', name: 'tun-remcsum' },
  { short: 'n', long: 'numeric', name: 'numeric' },
  { short: 'c', long: 'connection', name: 'connection' },
  { long: 'timeout', name: 'timeout' },
  { long: 'daemon', name: 'daemon' },
  { long: 'stats', name: 'stats' },
  { long: 'rate', name: 'rate' },
  { long: 'thresholds', name: 'thresholds' },
  { long: 'persistent-conn', name: 'persistent-conn' },
  { long: 'nosort', name: 'nosort' },
  { long: 'sort' },
  { short: 'X', long: 'exact', name: 'exact' },
  { long: 'tun-info', name: 'tun-info' },
  { long: 'mcast-interface', name: 'mcast-interface', value: 'required' },
  { long: 'syncid', name: 'syncid', value: 'required', read: checkNumber('syncid', 0, 255) },
  {
    long: 'sync-maxlen',
    name: 'sync-maxlen',
    value: 'required',
    read: checkNumber('sync-maxlen', 1, 65507),
  },
  {
    long: 'mcast-group',
    name: 'mcast-group',
    value: 'required',
    read: (_settings, value) => {
      if (isMulticast(value)) return;
      fail(`invalid ${value.includes(':') ? 'IPv6' : 'IPv4'} mcast-group \`${value}'`);
    },
  },
  { long: 'mcast-port', name: 'mcast-port', value: 'required', read: checkNumber('mcast-port', 1, 65535) },
  { long: 'mcast-ttl', name: 'mcast-ttl', value: 'required', read: checkNumber('mcast-ttl', 1, 255) },
];

/** Seconds of `-p` and `--set`. */
export function readTimeout(text: string, min: number): number {
  return readNumber(text, min, maxTimeoutSeconds) ?? fail(`invalid timeout value \`${text}' specified`);
}

export function serviceFamily(service: ServiceSelector | undefined): Family {
  if (service === undefined) return 4;
  if (service.mark !== undefined) return service.family;
  return service.address.includes(':') ? 6 : 4;
}

/** Protocol and port of a service; those of one with a firewall mark are TCP and 0. */
function keyOf(service: ServiceSelector | undefined): { readonly protocol: Protocol; readonly port: number } {
  return service === undefined || service.mark !== undefined ? { protocol: 'tcp', port: 0 } : service;
}

function readService(protocol: Protocol): Reader {
  return async (settings, value, resolver) => {
    const at = await readSocketAddress(value, protocol, resolver);
    if (!at) fail('illegal virtual server address[:port] specified');
    settings.service = { protocol, address: at.address, port: at.port ?? 0 };
  };
}

function readForwarding(forwarding: ForwardingMethod): Reader {
  return (settings) => {
    settings.forwarding = forwarding;
  };
}

function checkNumber(name: OptionName, min: number, max: number): Reader {
  return (_settings, value) => {
    if (readNumber(value, min, max) === undefined) fail(`illegal ${name} specified`);
  };
}

function readRole(text: string): 'master' | 'backup' | undefined {
  return text === 'master' || text === 'backup' ? text : undefined;
}
