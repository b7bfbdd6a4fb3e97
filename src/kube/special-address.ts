// SPDX-License-Identifier: Apache-2.0
// Addresses that the API refuses for endpoints and external IPs.
import { type Address, addressBytes, addressFamily } from '../model/address.ts';
import type { FieldReader } from './fields.ts';

/** Source: Kubernetes pkg/apis/core/validation, ValidateNonSpecialIP. */
export function refuseSpecial(reader: FieldReader, address: Address, path: string): void {
  const range = specialRange(address);
  if (range) reader.refuse(path, `may not be ${range} (${address})`);
}

function specialRange(address: Address): string | undefined {
  const [a = 0, b = 0, c = 0] = addressBytes(address);
  if (addressFamily(address) === 4) {
    if (address === '0.0.0.0') return 'the unspecified address';
    if (a === 127) return 'a loopback address';
    if (a === 169 && b === 254) return 'a link-local address';
    return a === 224 && b === 0 && c === 0 ? 'a link-local multicast address' : undefined;
  }
  if (address === '::') return 'the unspecified address';
  if (address === '::1') return 'a loopback address';
  if (a === 0xfe && (b & 0xc0) === 0x80) return 'a link-local address';
  return a === 0xff && (b & 0x0f) === 2 ? 'a link-local multicast address' : undefined;
}
