// SPDX-License-Identifier: Apache-2.0
// Reads a command line as ipvsadm 1.31 does: the first option is the command, and its checks come in its order.
import { addressFamily } from '../model/address.ts';
import { isSchedulerName, parseSchedulerFlag, type SchedulerFlag } from '../model/scheduler.ts';
import { type Command, type CommandName, commands } from './commands.ts';
import type { Resolver } from './names.ts';
import { type Option, type OptionName, optionNames, options, readTimeout } from './options.ts';
import { type Scanned, scanOptions } from './popt.ts';
import { defaultSettings, type Settings, serviceFamily } from './settings.ts';
import { fail, UsageError } from './usage-error.ts';

export interface CommandLine {
  readonly command: CommandName;
  readonly given: ReadonlySet<OptionName>;
  readonly settings: Readonly<Settings>;
  /** What `-b` gave, for the service's scheduler. */
  readonly schedulerFlags: readonly SchedulerFlag[];
}

type Row = Command | Option;
type Word = Scanned<Row>;

/**
 * @param program the name as invoked, for messages.
 * @throws UsageError with the message and exit status of ipvsadm.
 */
export async function parseCommandLine(
  words: readonly string[],
  program: string,
  resolver: Resolver,
): Promise<CommandLine> {
  const rest: string[] = [];
  const scanned = scanOptions<Row>(words, [...commands, ...options], rest);
  const settings: Settings = { ...defaultSettings };
  const command = await readCommand(scanned.next().value, settings, program, resolver);
  const given = new Set<OptionName>();
  if (command.name === 'help' || command.name === 'version') {
    return { command: command.name, given, settings, schedulerFlags: [] };
  }
  for (const word of scanned) await readOption(word, settings, given, resolver);
  if (command.name === 'set') settings.timeouts = takeTimeouts(rest);
  if (rest[0] !== undefined) fail(`unexpected argument ${rest[0]}`);
  const schedulerFlags = readSchedulerFlags(settings);
  checkTable(command, given);
  checkMeaning(command.name, given, settings);
  return { command: command.name, given, settings, schedulerFlags };
}

async function readCommand(
  first: Word | undefined,
  settings: Settings,
  program: string,
  resolver: Resolver,
): Promise<Command> {
  const command = first && 'option' in first && commands.find((each) => each === first.option);
  if (!command) {
    throw new UsageError(`Try \`${program} -h' or '${program} --help' for more information.`, 255);
  }
  Object.assign(settings, await command.read?.(first.value ?? '', settings, resolver));
  return command;
}

async function readOption(word: Word, settings: Settings, given: Set<OptionName>, resolver: Resolver) {
  if ('problem' in word) throw new UsageError(`${word.word}: ${word.problem}`, 255);
  const option = options.find((each) => each === word.option);
  if (!option) fail(`invalid option \`${word.word}'`);
  if (option.name !== undefined) {
    if (given.has(option.name)) fail(`multiple '${option.name}' options specified`);
    given.add(option.name);
  }
  const value = word.value ?? option.defaultValue ?? '';
  Object.assign(settings, await option.read?.(value, settings, resolver));
}

function takeTimeouts(rest: string[]): readonly number[] {
  const words = rest.splice(0, 3);
  if (words.length < 3) fail('--set option requires 3 timeout values');
  return words.map((word) => readTimeout(word, 0));
}

function readSchedulerFlags(settings: Settings): readonly SchedulerFlag[] {
  const scheduler = isSchedulerName(settings.scheduler) ? settings.scheduler : 'rr';
  const names = settings.schedulerFlags.split(',').filter((name) => name !== '');
  return names.map((name) => {
    const isKnown = parseSchedulerFlag('sh', name) ?? parseSchedulerFlag('mh', name);
    const problem = isKnown ? 'incompatible' : 'invalid';
    return parseSchedulerFlag(scheduler, name) ?? fail(`${problem} scheduler flag \`${name}'`);
  });
}

function checkTable(command: Command, given: ReadonlySet<OptionName>): void {
  let exclusive: OptionName | undefined;
  for (const name of optionNames) {
    if (!given.has(name)) {
      if (command.required?.includes(name)) {
        fail(`You need to supply the '${name}' option for the '${command.name}' command`);
      }
    } else if (command.exclusive?.includes(name)) {
      if (exclusive) {
        fail(
          `The option '${name}' conflicts with the '${exclusive}' option in the '${command.name}' command`,
        );
      }
      exclusive = name;
    } else if (!command.required?.includes(name) && !command.allowed?.includes(name)) {
      fail(`Illegal '${name}' option with the '${command.name}' command`);
    }
  }
}

function checkMeaning(command: CommandName, given: ReadonlySet<OptionName>, settings: Settings): void {
  const has = (...names: readonly OptionName[]) => names.some((name) => given.has(name));
  if (command === 'list') {
    const counters = has('stats', 'rate', 'thresholds');
    if (
      (has('connection', 'timeout', 'daemon') && counters) ||
      (has('timeout', 'daemon') && has('persistent-conn'))
    ) {
      fail('options conflicts in the list command');
    }
  }
  if (command === 'add-service' || command === 'edit-service') checkService(given, settings);
  if (command === 'add-server' || command === 'edit-server') checkServer(given, settings);
}

function checkService(given: ReadonlySet<OptionName>, { service }: Settings): void {
  if (!service || service.mark !== undefined) return;
  if (service.port === 0 && !given.has('persistent')) fail('Zero port specified for non-persistent service');
  if (given.has('ops') && service.protocol !== 'udp') {
    fail('One-Packet Scheduling is only for UDP virtual services');
  }
}

/** Also gives a tunnel's or a router's real server the port of the service, which is the one it will see. */
function checkServer(given: ReadonlySet<OptionName>, settings: Settings): void {
  const { service, server, forwarding } = settings;
  if (!service || !server) return;
  if (service.mark === undefined && forwarding !== 'masq') {
    settings.server = { address: server.address, port: service.port };
  }
  if (addressFamily(server.address) !== serviceFamily(service) && forwarding !== 'tunnel') {
    fail('Different address family is allowed only for tunneling servers');
  }
  checkTunnel(given, settings);
}

const checksums = ['tun-nocsum', 'tun-csum', 'tun-remcsum'] as const;

/** What goes with each type of tunnel; of the checksum options at most one. */
const tunnelTable: Record<
  Settings['tunnelType'],
  { port: 'required' | 'illegal'; allowed: readonly OptionName[] }
> = {
  ipip: { port: 'illegal', allowed: [] },
  gue: { port: 'required', allowed: checksums },
  gre: { port: 'illegal', allowed: ['tun-nocsum', 'tun-csum'] },
};

function checkTunnel(given: ReadonlySet<OptionName>, { forwarding, tunnelType }: Settings): void {
  const tunnelOptions = (['tun-type', 'tun-port', ...checksums] as const).filter((name) => given.has(name));
  if (forwarding !== 'tunnel') {
    if (tunnelOptions.length > 0) fail('Tunnel options conflict with forward method');
    return;
  }
  const { port, allowed } = tunnelTable[tunnelType];
  if (port === 'required' && !given.has('tun-port')) {
    fail(`You need to supply the 'tun-port' option for the '${tunnelType}' tunnel type`);
  }
  let checksum: OptionName | undefined;
  for (const name of tunnelOptions) {
    if (name === 'tun-type' || (name === 'tun-port' && port === 'required')) continue;
    if (!allowed.includes(name)) fail(`Illegal '${name}' option with the '${tunnelType}' tunnel type`);
    if (checksum) {
      fail(`The option '${name}' conflicts with the '${checksum}' option in the '${tunnelType}' tunnel type`);
    }
    checksum = name;
  }
}
