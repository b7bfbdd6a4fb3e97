// SPDX-License-Identifier: Apache-2.0
// IP addresses as canonical text, and their 16 bytes in network order.
import { isIP } from 'node:net';

export type Family = 4 | 6;

/**
 * An IP address in its one canonical spelling, as inet_ntop prints it ("10.0.0.1", "fd00::1").
 * Two addresses are the same if and only if their texts are. Made by {@link parseAddress}.
 */
export type Address = string;

/** The canonical spelling of `text`, or undefined if it is no IPv4 or IPv6 address (zones are refused). */
export function parseAddress(text: string): Address | undefined {
  const family = isIP(text);
  if (family === 4) return text;
  if (family === 0 || text.includes('%')) return undefined;
  return addressFromBytes(6, ipv6Bytes(text));
}

export function addressFamily(address: Address): Family {
  return address.includes(':') ? 6 : 4;
}

/** The first address of each family, in their order: what kube-proxy takes for a node's own. */
export function firstOfEachFamily(addresses: readonly Address[]): readonly Address[] {
  return addresses.filter(
    (address, i) => addresses.findIndex((each) => addressFamily(each) === addressFamily(address)) === i,
  );
}

/** 16 bytes in network order: IPv6 fills them, IPv4 takes the first 4 and leaves the rest zero. */
export function addressBytes(address: Address): Uint8Array {
  if (addressFamily(address) === 6) return ipv6Bytes(address);
  const bytes = new Uint8Array(16);
  let index = 0;
  for (const part of address.split('.')) bytes[index++] = Number(part);
  return bytes;
}

/** The inverse of {@link addressBytes}; reads 4 or 16 bytes from the start of `bytes`. */
export function addressFromBytes(family: Family, bytes: Uint8Array): Address {
  if (family === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(2 * i));
  if (isIpv4Mapped(groups)) return `::ffff:${bytes[12]}.${bytes[13]}.${bytes[14]}.${bytes[15]}`;
  const [start, length] = longestZeroRun(groups);
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(':');
  if (length < 2) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

/** "10.0.0.1:80" or "[fd00::1]:80". */
export function formatAddressPort(address: Address, port: number): string {
  return addressFamily(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Reads "10.0.0.1:80" or "[fd00::1]:80"; undefined if it is neither, or the port is not in 0..65535. */
export function parseAddressPort(text: string): { address: Address; port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const address = parseAddress(match[1] ?? match[2] ?? '');
  const port = Number(match[3]);
  if (address === undefined || port > 65535) return undefined;
  if ((match[1] !== undefined) !== (addressFamily(address) === 6)) return undefined;
  return { address, port };
}

function ipv6Bytes(text: string): Uint8Array {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const hex = (high: string, low: string) => ((Number(high) << 8) | Number(low)).toString(16);
  const plain = dotted
    ? `${dotted[1]}${hex(dotted[2] ?? '', dotted[3] ?? '')}:${hex(dotted[4] ?? '', dotted[5] ?? '')}`
    : text;
  const [head = '', tail] = plain.split('::');
  const groups = (part: string) =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  front.forEach((group, i) => {
    view.setUint16(2 * i, group);
  });
  back.forEach((group, i) => {
    view.setUint16(16 - 2 * (back.length - i), group);
  });
  return bytes;
}

function isIpv4Mapped(groups: readonly number[]): boolean {
  return groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
}

function longestZeroRun(groups: readonly number[]): [start: number, length: number] {
  let best: [number, number] = [0, 0];
  let start = 0;
  groups.forEach((group, i) => {
    if (group !== 0) start = i + 1;
    else if (i + 1 - start > best[1]) best = [start, i + 1 - start];
  });
  return best;
}
