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
  const own = restriction(family, cidrs);
  return addresses.filter((address) => {
    if (addressFamily(address) !== family || isLoopback(address)) return false;
    return own ? own.some((cidr) => cidrContains(cidr, address)) : !cidrContains(linkLocal, address);
  });
}

/**
 * The addresses that servers of health-check node ports listen on: the unspecified one, or those within the CIDRs,
 * loopback included.
 */
export function healthCheckAddresses(
  addresses: readonly Address[],
  family: Family,
  cidrs: readonly Cidr[],
): readonly Address[] {
  const own = restriction(family, cidrs);
  if (!own) return [family === 4 ? '0.0.0.0' : '::'];
  return addresses.filter((address) => own.some((cidr) => cidrContains(cidr, address)));
}

/** The CIDRs of the family; undefined where they restrict nothing. */
function restriction(family: Family, cidrs: readonly Cidr[]): readonly Cidr[] | undefined {
  const own = cidrs.filter((cidr) => cidr.family === family);
  return own.length === 0 || own.some((cidr) => cidr.length === 0) ? undefined : own;
}

function isLoopback(address: Address): boolean {
  return address === '::1' || (addressFamily(address) === 4 && address.startsWith('127.'));
}
