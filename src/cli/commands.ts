// SPDX-License-Identifier: Apache-2.0
// The commands of ipvsadm 1.31 as a table: how each is written, and which options go with it.
import type { OptionName, Reader } from './options.ts';
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

export interface Command extends OptionSyntax {
  readonly name: CommandName;
  readonly read?: Reader;
  readonly required?: readonly OptionName[];
  readonly allowed?: readonly OptionName[];
  /** At most one of these is allowed. */
  readonly exclusive?: readonly OptionName[];
}

const service = ['service-address'] as const;
const server = ['service-address', 'real-server'] as const;
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
  { short: 'A', long: 'add-service', name: 'add-service', required: service, allowed: serviceOptions },
  { short: 'E', long: 'edit-service', name: 'edit-service', required: service, allowed: serviceOptions },
  { short: 'D', long: 'delete-service', name: 'delete-service', required: service },
  { short: 'C', long: 'clear', name: 'flush' },
  { short: 'R', long: 'restore', name: 'restore' },
  { short: 'S', long: 'save', name: 'save', allowed: ['numeric'] },
  { short: 'a', long: 'add-server', name: 'add-server', required: server, allowed: serverOptions },
  { short: 'e', long: 'edit-server', name: 'edit-server', required: server, allowed: serverOptions },
  { short: 'd', long: 'delete-server', name: 'delete-server', required: server },
  list,
  { ...list, short: 'l' },
  { short: 'Z', long: 'zero', name: 'zero', allowed: service },
  { long: 'set', name: 'set' },
  {
    long: 'start-daemon',
    name: 'start-daemon',
    value: 'required',
    read: readRole('illegal start-daemon parameter specified'),
    allowed: ['mcast-interface', 'syncid', 'sync-maxlen', 'mcast-group', 'mcast-port', 'mcast-ttl'],
  },
  {
    long: 'stop-daemon',
    name: 'stop-daemon',
    value: 'required',
    read: readRole('illegal start_daemon specified'),
    allowed: ['syncid'],
  },
  { short: 'h', long: 'help', name: 'help' },
  { short: 'v', long: 'version', name: 'version' },
];

function readRole(problem: string): Reader {
  return (value) => {
    if (value !== 'master' && value !== 'backup') fail(problem);
    return { daemon: value };
  };
}
