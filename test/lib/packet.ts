// SPDX-License-Identifier: Apache-2.0
// Building and taking apart whole frames; its checksums are computed afresh, from nothing that BPVS computes.
import assert from 'node:assert/strict';
import {
  type Address,
  addressBytes,
  addressFamily,
  addressFromBytes,
  type Family,
  formatAddressPort,
} from '../../src/model/address.ts';
import { buildSctp, firstChunk } from './sctp.ts';

export const macClient = '02:00:00:00:00:01';
/** That of lo, by which test runs come in: their packets are for this host. */
export const macNode = '00:00:00:00:00:00';

/** Letters as tcpdump's and the recordings': S, A, F, R, P, U. Of SCTP the names of its chunks: "INIT", "DATA SACK". */
export type Flags = string;

export interface IcmpDescription {
  readonly type: number;
  readonly code: number;
  /** The header's last 4 bytes: an MTU, a pointer, an identifier with a sequence number. */
  readonly rest?: number;
}

export interface PacketDescription {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: 'tcp' | 'udp' | 'sctp' | 'icmp';
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly flags?: Flags;
  readonly payload?: Uint8Array;
  /** Of an ICMP or ICMPv6 message, which is an echo request if not given. */
  readonly icmp?: IcmpDescription;
  /** A UDP datagram that carries no checksum. */
  readonly hasNoChecksum?: boolean;
  /** IPv4 options, a multiple of 4 bytes. */
  readonly options?: Uint8Array;
  /** IPv4 flags and fragment offset, as in the header. */
  readonly fragment?: number;
  readonly sourceMac?: string;
  readonly destinationMac?: string;
  readonly hopLimit?: number;
}

function protocolNumber(protocol: PacketDescription['protocol'], family: Family): number {
  return { tcp: 6, udp: 17, sctp: 132, icmp: family === 4 ? 1 : 58 }[protocol];
}

const flagBits: Readonly<Record<string, number>> = { F: 1, S: 2, R: 4, P: 8, A: 16, U: 32 };

/** The Internet checksum (RFC 1071) of the bytes, folded and complemented. */
export function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) sum += ((part[i] ?? 0) << 8) | (part[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** An Ethernet frame with all lengths and checksums right. */
export function buildPacket(description: PacketDescription): Uint8Array {
  const family = addressFamily(description.source);
  const transport = buildTransport(description, family);
  const network = family === 4 ? buildIpv4(description, transport) : buildIpv6(description, transport);
  const ethernet = new Uint8Array(14);
  ethernet.set(macBytes(description.destinationMac ?? macNode), 0);
  ethernet.set(macBytes(description.sourceMac ?? macClient), 6);
  ethernet.set(family === 4 ? [0x08, 0x00] : [0x86, 0xdd], 12);
  return join(ethernet, network, transport);
}

function buildTransport(description: PacketDescription, family: Family): Uint8Array {
  const {
    protocol,
    sourcePort = 0,
    destinationPort = 0,
    flags = '',
    payload = new Uint8Array(),
  } = description;
  if (protocol === 'sctp') return buildSctp(sourcePort, destinationPort, flags, payload);
  const headerLength = { tcp: 20, udp: 8, icmp: 8 }[protocol];
  const bytes = new Uint8Array(headerLength + payload.length);
  const view = new DataView(bytes.buffer);
  bytes.set(payload, headerLength);
  if (protocol === 'icmp') {
    const { type, code, rest = 0 } = description.icmp ?? { type: family === 4 ? 8 : 128, code: 0 };
    bytes.set([type, code]);
    view.setUint32(4, rest);
    const pseudo = family === 4 ? new Uint8Array() : pseudoHeader(description, family, bytes.length);
    view.setUint16(2, checksum(pseudo, bytes));
    return bytes;
  }
  view.setUint16(0, sourcePort);
  view.setUint16(2, destinationPort);
  if (protocol === 'tcp') {
    view.setUint32(4, 1);
    view.setUint32(8, flags.includes('A') ? 1 : 0);
    bytes[12] = 5 << 4;
    bytes[13] = [...flags].reduce((bits, flag) => bits | (flagBits[flag] ?? 0), 0);
    view.setUint16(14, 64240);
  } else view.setUint16(4, bytes.length);
  if (protocol === 'udp' && description.hasNoChecksum) return bytes;
  const sum = checksum(pseudoHeader(description, family, bytes.length), bytes);
  view.setUint16(protocol === 'tcp' ? 16 : 6, protocol === 'udp' && sum === 0 ? 0xffff : sum);
  return bytes;
}

function buildIpv4(description: PacketDescription, transport: Uint8Array): Uint8Array {
  const options = description.options ?? new Uint8Array();
  const bytes = new Uint8Array(20 + options.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x40 | (bytes.length / 4);
  view.setUint16(2, bytes.length + transport.length);
  view.setUint16(4, 0x1234);
  view.setUint16(6, description.fragment ?? 0x4000);
  bytes[8] = description.hopLimit ?? 64;
  bytes[9] = protocolNumber(description.protocol, 4);
  bytes.set(addressBytes(description.source).subarray(0, 4), 12);
  bytes.set(addressBytes(description.destination).subarray(0, 4), 16);
  bytes.set(options, 20);
  view.setUint16(10, checksum(bytes));
  return bytes;
}

function buildIpv6(description: PacketDescription, transport: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(40);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x60;
  view.setUint16(4, transport.length);
  bytes[6] = protocolNumber(description.protocol, 6);
  bytes[7] = description.hopLimit ?? 64;
  bytes.set(addressBytes(description.source), 8);
  bytes.set(addressBytes(description.destination), 24);
  return bytes;
}

function pseudoHeader(description: PacketDescription, family: Family, length: number): Uint8Array {
  const size = family === 4 ? 4 : 16;
  const tail = new Uint8Array(family === 4 ? 4 : 8);
  const view = new DataView(tail.buffer);
  if (family === 4) view.setUint16(2, length);
  else view.setUint32(0, length);
  tail[family === 4 ? 1 : 7] = protocolNumber(description.protocol, family);
  const { source, destination } = description;
  return join(addressBytes(source).subarray(0, size), addressBytes(destination).subarray(0, size), tail);
}

/** A TCP, UDP or SCTP frame's addresses and ports: "10.0.0.1:80", "[fd00::1]:80". */
export function tupleOf(frame: Uint8Array): { readonly source: string; readonly destination: string } {
  const { source, destination, transport } = takeApart(frame);
  const port = (at: number) => ((transport[at] ?? 0) << 8) | (transport[at + 1] ?? 0);
  return { source: formatAddressPort(source, port(0)), destination: formatAddressPort(destination, port(2)) };
}

/** A frame as one line, for failures that a person reads: "tcp 10.0.0.1:80 > 10.0.0.2:4000 SA". */
export function printPacket(frame: Uint8Array): string {
  const { number, source, destination, transport } = takeApart(frame);
  if (number !== 6 && number !== 17 && number !== 132) {
    return `protocol ${number} ${source} > ${destination} type ${transport[0]} code ${transport[1]}`;
  }
  const tuple = tupleOf(frame);
  if (number === 132) return `sctp ${tuple.source} > ${tuple.destination} ${firstChunk(transport)}`;
  const flags = Object.entries(flagBits).filter(([, bit]) => number === 6 && (transport[13] ?? 0) & bit);
  const letters = flags.map(([letter]) => letter).join('');
  return `${number === 6 ? 'tcp' : 'udp'} ${tuple.source} > ${tuple.destination} ${letters}`;
}

/** Compares whole frames; the lines that it compares first are for who reads a failure. */
export function assertPacket(actual: Uint8Array, expected: PacketDescription): void {
  const wanted = buildPacket(expected);
  assert.equal(printPacket(actual), printPacket(wanted));
  assert.deepEqual([...actual], [...wanted]);
}

function takeApart(frame: Uint8Array) {
  const isIpv4 = new DataView(frame.buffer, frame.byteOffset).getUint16(12) === 0x0800;
  const network = frame.subarray(14);
  const address = (at: number) => addressFromBytes(isIpv4 ? 4 : 6, network.subarray(at));
  return {
    number: network[isIpv4 ? 9 : 6] ?? 0,
    source: address(isIpv4 ? 12 : 8),
    destination: address(isIpv4 ? 16 : 24),
    transport: network.subarray(isIpv4 ? ((network[0] ?? 0) & 15) * 4 : 40),
  };
}

function macBytes(text: string): number[] {
  return text.split(':').map((part) => Number.parseInt(part, 16));
}

export function join(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
