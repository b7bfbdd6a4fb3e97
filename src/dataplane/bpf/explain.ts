// SPDX-License-Identifier: Apache-2.0
// Asking the loaded programs what they would do with a client's packet.
import { existsSync } from 'node:fs';
import { EnvironmentError } from '../../errors.ts';
import { addressBytes, addressFamily } from '../../model/address.ts';
import type { SocketAddress } from '../../model/connection.ts';
import {
  type AddressServiceKey,
  type ClientSide,
  type Destination,
  type Protocol,
  protocolNumbers,
  type ServiceTerms,
  type VirtualServiceDefinition,
} from '../../model/virtual-service.ts';
import { BpfProgram } from '../../native/bpf-program.ts';
import { BpfMaps } from './bpf-maps.ts';
import { decodeDestination, decodeService, encodeServiceKey, reasonNames } from './codec.ts';
import { layouts } from './layouts.ts';
import { contextWith, controlBuffer, programPin } from './program-pins.ts';
import { decode } from './struct.ts';
import { word } from './words.ts';

export interface Load {
  readonly activeConnections: number;
  readonly inactiveConnections: number;
}

export interface Explanation {
  /** The name of an enum reason: "translated", "rejected_no_destination", ... */
  readonly reason: string;
  /** The packet belongs to a connection that is there already. */
  readonly isKnownConnection: boolean;
  /** The virtual service of the packet's address, undefined where there is none. */
  readonly service: VirtualServiceDefinition | undefined;
  /** Where the packet would go, undefined where it goes nowhere. */
  readonly destination: Destination | undefined;
  /** The connections that it has, where a scheduler chose it. */
  readonly load: Load | undefined;
  /** Where the scheduler found it in its table, from 0; undefined where no scheduler was asked. */
  readonly place: number | undefined;
  /** Places of that table. */
  readonly tableSize: number;
}

/**
 * Runs the pinned program `explain` over the first packet that the client would send (a SYN, an INIT, or an empty datagram). Nothing is
 * sent, and no state changes. Throws EnvironmentError where no daemon has ever run, LayoutError, SystemError.
 */
export function explainPacket(
  pinDirectory: string,
  client: SocketAddress,
  service: AddressServiceKey,
  side: ClientSide = 'inside',
): Explanation {
  using maps = BpfMaps.openPinned(pinDirectory);
  const pin = programPin(pinDirectory, 'explain');
  if (!existsSync(pin)) {
    throw new EnvironmentError(`No program is pinned at ${pin}: \`bpvs run\` has to have been ready once`);
  }
  using program = BpfProgram.openPinned(pin);
  const { context } = program.testRun({
    data: firstPacket(client, service),
    context: contextWith([side === 'outside' ? 1 : 0]),
  });
  const answer = decode(layouts.explanation, context, controlBuffer);
  const found = lookUp(maps, service, side) ?? lookUp(maps, service, 'inside');
  return {
    reason: reasonNames[answer.reason] ?? String(answer.reason),
    isKnownConnection: answer.connection > 0,
    service: found && { ...service, ...termsOf(found) },
    destination: answer.destination > 0 ? destinationAt(maps, answer.destination - 1) : undefined,
    load: answer.place > 0 && answer.destination > 0 ? loadAt(maps, answer.destination - 1) : undefined,
    place: answer.place > 0 ? answer.place - 1 : undefined,
    tableSize: found?.tableSize ?? 0,
  };
}

/** A view of the service; clients outside may have none of their own. */
function lookUp(maps: BpfMaps, service: AddressServiceKey, side: ClientSide) {
  const entry = maps.get('services').lookup(encodeServiceKey(service, side));
  return entry && decodeService(encodeServiceKey(service), entry);
}

function termsOf(service: ServiceTerms): ServiceTerms {
  const { scheduler, schedulerFlags, noDestination, persistence, isOnePacket } = service;
  return { scheduler, schedulerFlags, noDestination, persistence, isOnePacket };
}

function destinationAt(maps: BpfMaps, index: number): Destination | undefined {
  const value = maps.get('destinations').lookup(word(index));
  return value && decodeDestination(value, 0)?.destination;
}

function loadAt(maps: BpfMaps, index: number): Load | undefined {
  const value = maps.get('destination_loads').lookup(word(index));
  const load = value && decode(layouts.destination_load, value);
  return (
    load && { activeConnections: load.active, inactiveConnections: Math.max(load.total - load.active, 0) }
  );
}

/** Of each protocol a header that may open a connection: where it has more than ports, and what is there. */
const openings: Readonly<Record<Protocol, { length: number; at: number; value: number }>> = {
  tcp: { length: 20, at: 12, value: 0x5002 }, // five words of header, SYN
  udp: { length: 8, at: 4, value: 8 }, // the length
  sctp: { length: 32, at: 12, value: 0x0100 }, // a chunk, INIT
};

/** Ethernet, IP, and what opens a connection; without checksums, which `explain` does not look at. */
function firstPacket(client: SocketAddress, { address, port, protocol }: AddressServiceKey): Uint8Array {
  const { length, at, value } = openings[protocol];
  const transport = Buffer.alloc(length);
  transport.writeUInt16BE(client.port, 0);
  transport.writeUInt16BE(port, 2);
  transport.writeUInt16BE(value, at);
  const number = protocolNumbers[protocol];
  return addressFamily(address) === 4
    ? ipv4Packet(client, address, number, transport)
    : ipv6Packet(client, address, number, transport);
}

function ipv4Packet(client: SocketAddress, to: string, protocol: number, transport: Buffer): Uint8Array {
  const header = Buffer.alloc(34);
  header.writeUInt16BE(0x0800, 12);
  header[14] = 0x45;
  header.writeUInt16BE(20 + transport.length, 16);
  header[22] = 64;
  header[23] = protocol;
  header.set(addressBytes(client.address).subarray(0, 4), 26);
  header.set(addressBytes(to).subarray(0, 4), 30);
  return Buffer.concat([header, transport]);
}

function ipv6Packet(client: SocketAddress, to: string, protocol: number, transport: Buffer): Uint8Array {
  const header = Buffer.alloc(54);
  header.writeUInt16BE(0x86dd, 12);
  header[14] = 0x60;
  header.writeUInt16BE(transport.length, 18);
  header[20] = protocol;
  header[21] = 64;
  header.set(addressBytes(client.address), 22);
  header.set(addressBytes(to), 38);
  return Buffer.concat([header, transport]);
}
