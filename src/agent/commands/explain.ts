// SPDX-License-Identifier: Apache-2.0
// bpvs explain: where a client's packet would go, and why.
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Explanation, Load } from '../../dataplane/bpf/explain.ts';
import { InputError } from '../../errors.ts';
import { addressFamily, formatAddressPort, parseAddress, parseAddressPort } from '../../model/address.ts';
import type { SocketAddress } from '../../model/connection.ts';
import type { SchedulerName } from '../../model/scheduler.ts';
import { schedulerRules } from '../../model/schedulers/rules.ts';
import { type AddressServiceKey, isProtocol } from '../../model/virtual-service.ts';
import { type CommandOutput, pinDirectoryOption } from './common.ts';

interface ExplainOptions {
  readonly client: SocketAddress;
  readonly service: AddressServiceKey;
  readonly output: 'text' | 'json';
  readonly outside?: boolean;
  readonly pinDir: string;
}

/** Of a client that is given without a port. */
const anyPort = 49152;

/** What becomes of a packet, by the names of enum reason. */
const results: Readonly<Record<string, string>> = {
  translated: 'goes nowhere that is known',
  passed_not_ours: 'passes untouched: no virtual service has this address, port and protocol',
  passed_ftp_data: 'passes untouched: data connections of FTP (source port 20) are not scheduled',
  passed_malformed: 'passes untouched: it is not well-formed',
  rejected_no_destination: 'is rejected with an ICMP error: no real server takes new connections',
  dropped_no_destination: 'is dropped: no real server takes new connections',
  dropped_source_range: 'is dropped: its address is in none of the source ranges of the service',
  dropped_destination_gone: 'is dropped: it belongs to a connection with a real server that was removed',
};

export function explainCommand(io: CommandOutput): Command {
  return new Command('explain')
    .description('say where the first packet of a client would go, and why, without sending anything')
    .requiredOption(
      '--client <address[:port]>',
      `the client; [address]:port for IPv6, port ${anyPort} if none is given`,
      parseClient,
    )
    .requiredOption(
      '--service <address:port[/protocol]>',
      'the virtual service; tcp unless /udp or /sctp is given',
      parseService,
    )
    .option('--outside', 'the client comes in by a device that leads off this node')
    .addOption(
      new Option('-o, --output <format>', 'how to print it').choices(['text', 'json']).default('text'),
    )
    .addOption(pinDirectoryOption())
    .action(async ({ client, service, output, pinDir, outside }: ExplainOptions) => {
      if (addressFamily(client.address) !== addressFamily(service.address)) {
        throw new InputError(
          `Expected client and service of one family but received ${client.address} and ${service.address}`,
        );
      }
      const { explainPacket } = await import('../../dataplane/bpf/explain.ts');
      const explanation = explainPacket(pinDir, client, service, outside ? 'outside' : 'inside');
      io.stdout(
        output === 'json'
          ? `${JSON.stringify({ client, ...explanation }, null, 2)}\n`
          : formatExplanation(client, service, explanation),
      );
    });
}

/** A line for each thing that led to the result, which comes last. */
export function formatExplanation(
  client: SocketAddress,
  key: AddressServiceKey,
  explanation: Explanation,
): string {
  const { service, destination, isKnownConnection, load } = explanation;
  const rows: (readonly [string, string])[] = [
    ['client', formatAddressPort(client.address, client.port)],
    [
      'service',
      `${key.protocol} ${formatAddressPort(key.address, key.port)}${service ? '' : ' (there is none)'}`,
    ],
  ];
  if (isKnownConnection) rows.push(['connection', 'known: it keeps its real server']);
  else if (service) rows.push(['scheduler', describeScheduler(explanation)]);
  if (load && service && !byPlace[service.scheduler]) rows.push(['load', describeLoad(load)]);
  rows.push([
    'result',
    destination
      ? `goes to ${formatAddressPort(destination.address, destination.port)} ` +
        `(${destination.forwarding}, weight ${destination.weight})`
      : (results[explanation.reason] ?? explanation.reason),
  ]);
  return rows.map(([name, value]) => `${name.padEnd(11)}${value}\n`).join('');
}

/** Schedulers in whose table a place says more than the rule. */
const byPlace: Partial<Record<SchedulerName, string>> = {
  rr: 'the next in turn is',
  dh: 'the hash leads to',
  sh: 'the hash leads to',
  mh: 'the hash leads to',
};

function describeScheduler({ service, place, tableSize }: Explanation): string {
  const name = service?.scheduler;
  if (name === undefined || place === undefined) return name ?? '';
  const what = byPlace[name];
  return what === undefined
    ? `${name}: ${schedulerRules[name]}`
    : `${name}: ${what} place ${place} of 0..${tableSize - 1}`;
}

function describeLoad({ activeConnections, inactiveConnections }: Load): string {
  return `${activeConnections} active and ${inactiveConnections} inactive connections there`;
}

function parseClient(text: string): SocketAddress {
  const address = parseAddress(text.replace(/^\[([^\]]*)\]$/, '$1'));
  if (address !== undefined) return { address, port: anyPort };
  const client = parseAddressPort(text);
  if (client && client.port > 0) return client;
  throw new InvalidArgumentError('Expected an address, address:port or [address]:port.');
}

function parseService(text: string): AddressServiceKey {
  const [place = '', protocol = 'tcp', ...rest] = text.split('/');
  const service = parseAddressPort(place);
  if (service && service.port > 0 && isProtocol(protocol) && rest.length === 0)
    return { ...service, protocol };
  throw new InvalidArgumentError(
    'Expected address:port or [address]:port, with /tcp, /udp or /sctp behind it or not.',
  );
}
