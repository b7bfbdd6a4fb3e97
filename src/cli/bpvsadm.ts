#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// The command `bpvsadm`: shows what the data plane holds, written and read as ipvsadm's users know it.
import { basename } from 'node:path';
import process from 'node:process';
import packageDescription from '../../package.json' with { type: 'json' };
import type { DataPlaneView, VirtualServiceStatus } from '../dataplane/data-plane.ts';
import { BpvsError, OperationError } from '../errors.ts';
import type { Address } from '../model/address.ts';
import type { Connection } from '../model/connection.ts';
import type { Timeouts } from '../model/timeouts.ts';
import { virtualServiceId } from '../model/virtual-service.ts';
import { formatConnections } from './format-connections.ts';
import { formatListing, formatVersionLine, type ListingFormat } from './format-listing.ts';
import { type CommandLine, parseCommandLine } from './grammar.ts';
import { help } from './help.ts';
import { lookUpNames, type Names, numericNames, type Resolver, systemResolver } from './names.ts';
import type { OptionName } from './options.ts';
import { UsageError } from './usage-error.ts';

export interface Io {
  /** The name as invoked, for messages. */
  readonly program: string;
  stdout(text: string): void;
  stderr(text: string): void;
  lookUpNames(addresses: Iterable<Address>): Promise<Names>;
  readonly resolver: Resolver;
}

/** Opens the data plane's view; {@link main} closes it. */
export type OpenView = () => Promise<DataPlaneView>;

const notListed: readonly OptionName[] = ['daemon', 'tun-info'];

/**
 * Carries one command line out.
 * @param words without interpreter and program.
 * @returns the exit status: those of ipvsadm, see `help`.
 */
export async function main(words: readonly string[], io: Io, openView: OpenView): Promise<number> {
  try {
    const line = await parseCommandLine(words.length === 0 ? ['--list'] : words, io.program, io.resolver);
    return await run(line, io, openView);
  } catch (error) {
    if (!(error instanceof BpvsError)) throw error;
    io.stderr(`${error.message}\n`);
    return error instanceof UsageError ? error.status : 1;
  }
}

async function run(line: CommandLine, io: Io, openView: OpenView): Promise<number> {
  if (line.command === 'help') return print(io, help);
  if (line.command === 'version') return print(io, formatVersion());
  if (line.command === 'set' || line.command === 'zero')
    return withView(io, openView, change.bind(null, line, io));
  if (line.command !== 'list') {
    io.stderr(
      `${line.command}: this version of bpvsadm changes no virtual services; they follow the cluster's Services\n`,
    );
    return 1;
  }
  const missing = notListed.find((name) => line.given.has(name));
  const isForConnections = line.given.has('connection');
  if (missing) {
    io.stderr(`list: this version of bpvsadm has no '${missing}' listing\n`);
    return 1;
  }
  return withView(io, openView, (view) => {
    if (line.given.has('timeout')) return print(io, formatTimeouts(view.timeouts()));
    return isForConnections ? listConnections(line, io, view) : listServices(line, io, view);
  });
}

async function withView(
  io: Io,
  openView: OpenView,
  action: (view: DataPlaneView) => number | Promise<number>,
): Promise<number> {
  let view: DataPlaneView;
  try {
    view = await openView();
  } catch (error) {
    if (!(error instanceof BpvsError)) throw error;
    const isDenied = error.code === 'EPERM' || error.code === 'EACCES';
    const reason = isDenied ? 'Permission denied (you must be root)' : error.message;
    io.stderr(`Can't initialize ipvs: ${reason}\nIs BPVS running on this node? \`bpvs run\` starts it.\n`);
    return 2;
  }
  using open = view;
  return await action(open);
}

/** What is no virtual service: timeouts and counters. */
function change({ command, settings }: CommandLine, io: Io, view: DataPlaneView): number {
  try {
    if (command === 'zero') view.zeroStatistics(settings.service);
    const [tcpSeconds, tcpFinSeconds, udpSeconds] = settings.timeouts ?? [];
    if (command === 'set') view.setTimeouts({ tcpSeconds, tcpFinSeconds, udpSeconds });
    return 0;
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    io.stderr('No such service\n');
    return 255;
  }
}

async function listServices(line: CommandLine, io: Io, view: DataPlaneView): Promise<number> {
  const services = selectServices(line, view.services());
  if (!services) {
    io.stderr('No such service\n');
    return 1;
  }
  const addresses = services.flatMap((service) => [
    ...(service.mark === undefined ? [service.address] : []),
    ...service.destinations.map(({ address }) => address),
  ]);
  const listing = formatListing(services, {
    format: formatOf(line),
    isExact: line.given.has('exact'),
    isSorted: !line.given.has('nosort'),
    names: await namesFor(line, io, addresses),
  });
  const heading = line.settings.service ? '' : formatVersionLine(view.connectionTableSize);
  return print(io, heading + listing);
}

async function listConnections(line: CommandLine, io: Io, view: DataPlaneView): Promise<number> {
  const connections = [...view.connections()];
  const names = await namesFor(line, io, connections.flatMap(addressesOf));
  return print(io, formatConnections(connections, names, line.given.has('persistent-conn')));
}

/** All services, or the one that the command line names; undefined if it is not there. */
function selectServices(
  { settings: { service } }: CommandLine,
  services: readonly VirtualServiceStatus[],
): readonly VirtualServiceStatus[] | undefined {
  if (!service) return services;
  const id = virtualServiceId(service);
  const found = services.find((each) => virtualServiceId(each) === id);
  return found && [found];
}

function formatOf(line: CommandLine): ListingFormat {
  const formats = ['stats', 'rate', 'thresholds'] as const;
  const found = formats.find((format) => line.given.has(format));
  return found ?? (line.given.has('persistent-conn') ? 'persistent' : 'plain');
}

async function namesFor(line: CommandLine, io: Io, addresses: readonly Address[]): Promise<Names> {
  return line.given.has('numeric') ? numericNames : io.lookUpNames(addresses);
}

function addressesOf({ client, virtual, destination }: Connection): readonly Address[] {
  return [client.address, virtual.address, destination.address];
}

function print(io: Io, text: string): number {
  io.stdout(text);
  return 0;
}

function formatTimeouts({ tcpSeconds, tcpFinSeconds, udpSeconds }: Timeouts): string {
  return `Timeout (tcp tcpfin udp): ${tcpSeconds} ${tcpFinSeconds} ${udpSeconds}\n`;
}

function formatVersion(): string {
  return `bpvsadm v${packageDescription.version} (commands and listings of ipvsadm v1.31, IPVS v1.2.1)\n`;
}

async function openPinnedView(): Promise<DataPlaneView> {
  const { openBpfView } = await import('../dataplane/bpf/view.ts');
  return openBpfView(process.env.BPVS_PIN_DIR ?? '/sys/fs/bpf/bpvs');
}

if (import.meta.main) {
  // A reader that has seen enough (`bpvsadm | head`) is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  const io: Io = {
    program: basename(process.argv[1] ?? 'bpvsadm', '.ts'),
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
    lookUpNames,
    resolver: systemResolver(),
  };
  process.exitCode = await main(process.argv.slice(2), io, openPinnedView);
}
