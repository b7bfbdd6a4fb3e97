// SPDX-License-Identifier: Apache-2.0
// The addresses of the node on which node ports answer.
import { type Address, addressFamily, type Family } from '../model/address.ts';
import { type Cidr, cidrContains } from '../model/cidr.ts';

const linkLocal: Cidr = { family: 6, address: 'fe80::', length: 10 };

/**
 * Without a CIDR of the family, or with one of length zero: all addresses but loopback and IPv6 link-local ones.
 * Else those within the CIDRs but loopback. Source: kube-proxy's nodePortAddresses.
 */
export function nodePortAddresses(
  addresses: readonly Address[],
  family: Family,
  cidrs: readonly Cidr[],
): readonly Address[] {
  const own = cidrs.filter((cidr) => cidr.family === family);
  const isAll = own.length === 0 || own.some((cidr) => cidr.length === 0);
  return addresses.filter((address) => {
    if (addressFamily(address) !== family || isLoopback(address)) return false;
    return isAll ? !cidrContains(linkLocal, address) : own.some((cidr) => cidrContains(cidr, address));
  });
}

function isLoopback(address: Address): boolean {
  return address === '::1' || (addressFamily(address) === 4 && address.startsWith('127.'));
}
