// SPDX-License-Identifier: Apache-2.0
// The values of ipvsadm's options: numbers, addresses, masks.
import { isIPv4, isIPv6 } from 'node:net';
import { type Address, type Family, parseAddress } from '../model/address.ts';
import type { Protocol } from '../model/virtual-service.ts';
import type { Resolver } from './names.ts';

/** A decimal number over the whole word (blanks before it and a sign are allowed), in min..max; else undefined. */
export function readNumber(text: string, min: number, max: number): number | undefined {
  if (!/^\s*[+-]?\d+$/.test(text)) return undefined;
  const value = Number(text);
  return value >= min && value <= max ? value : undefined;
}

/**
 * Reads `host[:port]`: "10.0.0.1:80", "web:http", "[fd00::1]:80" (with brackets the port must be there), "fd00::1".
 * "[10.0.0.1]:80" is an address without a port, as for ipvsadm 1.31. A word of digits alone is no address.
 */
export async function readSocketAddress(
  text: string,
  protocol: Protocol,
  resolver: Resolver,
): Promise<{ readonly address: Address; readonly port: number | undefined } | undefined> {
  if (/^\d*$/.test(text)) return undefined;
  let host = text;
  let portText: string | undefined;
  if (text.startsWith('[')) {
    const match = /^\[([^\]]*)\]:(.*)$/.exec(text);
    if (!match) return undefined;
    host = match[1] ?? '';
    portText = match[2];
  }
  let address = isIPv6(host) ? parseAddress(host) : undefined;
  if (address === undefined) {
    const colon = host.lastIndexOf(':');
    portText = colon < 0 ? undefined : host.slice(colon + 1);
    address = await readHost(colon < 0 ? host : host.slice(0, colon), resolver);
  }
  if (address === undefined) return undefined;
  if (portText === undefined) return { address, port: undefined };
  const port = readNumber(portText, 0, 65535) ?? resolver.portNumber(portText, protocol);
  return port === undefined ? undefined : { address, port };
}

/** An IPv4 mask in any form of inet_aton or as a host name, or the number of bits of an IPv6 prefix. */
export async function readMask(
  text: string,
  family: Family,
  resolver: Resolver,
): Promise<Address | number | undefined> {
  if (family === 4) return readHost(text, resolver);
  return readNumber(/^\s*[+-]?\d*/.exec(text)?.[0] ?? '', 1, 128);
}

/** Whether `text` is a multicast address of its family; which family was meant tells the colon. */
export function isMulticast(text: string): boolean {
  if (text.includes(':')) return isIPv6(text) && /^ff/i.test(text) && text.indexOf(':') === 4;
  return isIPv4(text) && Number(text.split('.', 1)[0]) >> 4 === 14;
}

async function readHost(text: string, resolver: Resolver): Promise<Address | undefined> {
  return readInetAton(text) ?? (text === '' ? undefined : resolver.hostAddress(text));
}

/** inet_aton(3): one to four numbers, decimal, octal (0) or hexadecimal (0x); the last fills what is left. */
function readInetAton(text: string): Address | undefined {
  const parts = text.split('.');
  if (parts.length > 4) return undefined;
  let value = 0;
  for (const [i, part] of parts.entries()) {
    if (!/^(0x[0-9a-f]+|0[0-7]*|[1-9]\d*)$/i.test(part)) return undefined;
    const number = /^0\d/.test(part) ? Number.parseInt(part, 8) : Number(part);
    const bytes = i === parts.length - 1 ? 4 - i : 1;
    if (number >= 256 ** bytes) return undefined;
    value += number * 256 ** (4 - i - bytes);
  }
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}
