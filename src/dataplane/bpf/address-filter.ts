// SPDX-License-Identifier: Apache-2.0
// The bits by which programs tell packets that may be ours from all others (bpf/lib/filter.h).
import { type Address, addressBytes } from '../../model/address.ts';
import type { VirtualServiceKey } from '../../model/virtual-service.ts';
import type { BpfMap } from '../../native/bpf-map.ts';
import { enums } from './layouts.ts';
import { word } from './words.ts';

const { FILTER_BITS, FILTER_BLOCK_BITS } = enums.filter;
const wordBits = 64;

/**
 * A bit is set while any address that hashes to it is in use. Bits that an earlier process left stay set, which costs a
 * look-up and is never wrong: clearing them before all addresses are known again would let packets of ours pass.
 */
export class AddressFilter {
  readonly #map: BpfMap;
  readonly #uses = new Map<number, number>();
  readonly #words: BigUint64Array;

  constructor(map: BpfMap) {
    this.#map = map;
    this.#words = new BigUint64Array(map.maxEntries);
    for (const [key, value] of map.entries()) this.#words[key.readUInt32LE()] = value.readBigUInt64LE();
  }

  add(address: Address): void {
    const bit = bitOf(address);
    const uses = this.#uses.get(bit) ?? 0;
    this.#uses.set(bit, uses + 1);
    if (uses === 0) this.#write(bit, true);
  }

  remove(address: Address): void {
    const bit = bitOf(address);
    const uses = this.#uses.get(bit) ?? 0;
    if (uses > 1) this.#uses.set(bit, uses - 1);
    else {
      this.#uses.delete(bit);
      this.#write(bit, false);
    }
  }

  /** The address of a virtual service; one of a firewall mark has none. */
  addService(service: VirtualServiceKey): void {
    if (service.mark === undefined) this.add(service.address);
  }

  removeService(service: VirtualServiceKey): void {
    if (service.mark === undefined) this.remove(service.address);
  }

  #write(bit: number, isSet: boolean): void {
    const index = Math.floor(bit / wordBits);
    const mask = 1n << BigInt(bit % wordBits);
    const before = this.#words[index] ?? 0n;
    const after = isSet ? before | mask : before & ~mask;
    if (after === before) return;
    this.#words[index] = after;
    this.#map.update(word(index), new Uint8Array(BigUint64Array.of(after).buffer));
  }
}

/** bpf/lib/filter.h: filter_bit, of what bpf/lib/hash.h makes of an address: fold_address. */
function bitOf(address: Address): number {
  const view = new DataView(addressBytes(address).buffer);
  const folded = view.getUint32(0) ^ view.getUint32(4) ^ view.getUint32(8) ^ view.getUint32(12);
  const block = mixBits(folded >>> FILTER_BLOCK_BITS, FILTER_BITS - FILTER_BLOCK_BITS);
  return (block << FILTER_BLOCK_BITS) | (folded & (2 ** FILTER_BLOCK_BITS - 1));
}

/** bpf/lib/hash.h: mix_bits. */
function mixBits(number: number, bits: number): number {
  const first = Math.imul(number ^ (number >>> 16), 0x85ebca6b);
  const second = Math.imul(first ^ (first >>> 13), 0xc2b2ae35);
  return (second ^ (second >>> 16)) >>> (32 - bits);
}
