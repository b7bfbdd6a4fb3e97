// SPDX-License-Identifier: Apache-2.0
// Networks in CIDR notation.
import {
  type Address,
  addressBytes,
  addressFamily,
  addressFromBytes,
  type Family,
  parseAddress,
} from './address.ts';

export interface Cidr {
  readonly family: Family;
  /** Bits beyond the length may be set; they have no meaning. */
  readonly address: Address;
  /** 0..32 or 0..128. */
  readonly length: number;
}

/** Reads "10.0.0.0/8" or "fd00::/64"; undefined if it is neither. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^(.+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const address = parseAddress(match?.[1] ?? '');
  if (!match || address === undefined) return undefined;
  const family = addressFamily(address);
  const length = Number(match[2]);
  return length <= (family === 4 ? 32 : 128) ? { family, address, length } : undefined;
}

/** "10.0.0.0/8" */
export function formatCidr({ address, length }: Cidr): string {
  return `${address}/${length}`;
}

/** The same network without bits beyond its length, so that equal networks have equal texts. */
export function canonicalCidr({ family, address, length }: Cidr): Cidr {
  const bytes = addressBytes(address).map((byte, i) => byte & maskByte(length, i));
  return { family, address: addressFromBytes(family, bytes), length };
}

/** Of canonical ones. */
export function sameCidr(a: Cidr, b: Cidr): boolean {
  return a.length === b.length && a.address === b.address;
}

export function cidrContains(cidr: Cidr, address: Address): boolean {
  if (addressFamily(address) !== cidr.family) return false;
  const network = addressBytes(cidr.address);
  const bytes = addressBytes(address);
  return network.every((byte, i) => {
    const mask = maskByte(cidr.length, i);
    return (byte & mask) === ((bytes[i] ?? 0) & mask);
  });
}

/** The byte at a place of the mask of so many bits. */
function maskByte(length: number, place: number): number {
  const bits = Math.min(8, Math.max(0, length - 8 * place));
  return (0xff00 >> bits) & 0xff;
}
