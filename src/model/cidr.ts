// SPDX-License-Identifier: Apache-2.0
// Networks in CIDR notation.
import { type Address, addressBytes, addressFamily, type Family, parseAddress } from './address.ts';

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

export function cidrContains(cidr: Cidr, address: Address): boolean {
  if (addressFamily(address) !== cidr.family) return false;
  const network = addressBytes(cidr.address);
  const bytes = addressBytes(address);
  return network.every((byte, i) => {
    const bits = Math.min(8, Math.max(0, cidr.length - 8 * i));
    const mask = (0xff00 >> bits) & 0xff;
    return (byte & mask) === ((bytes[i] ?? 0) & mask);
  });
}
