// SPDX-License-Identifier: Apache-2.0
// The hashes of the kernel's schedulers: an address as one number, hash_32, and SipHash as mh uses it.
import { type Address, addressBytes } from '../address.ts';

/** IPv4 as one number, most significant byte first; IPv6 as the exclusive or of its four words. */
export function fold(address: Address): number {
  const view = new DataView(addressBytes(address).buffer);
  return (view.getUint32(0) ^ view.getUint32(4) ^ view.getUint32(8) ^ view.getUint32(12)) >>> 0;
}

/** The upper `bits` bits of the product with the golden ratio (include/linux/hash.h: hash_32). */
export function hash32(x: number, bits: number): number {
  return Math.imul(x, 0x61c88647) >>> (32 - bits);
}

/** Keys of {@link hsip}: for a client's place and a destination's first place, and for a destination's step (ip_vs_mh.c). */
export const firstHashKey = 2_654_435_761;
export const secondHashKey = 2_654_446_892;

/**
 * SipHash-1-3 of one 32-bit number, its lower 32 bits, with a key both of whose halves are `key`
 * (lib/siphash.c: hsiphash_1u32 on 64-bit kernels).
 */
export function hsip(x: number, key: number): number {
  // Each of the four 64-bit words of the state as its lower and its upper half.
  const v = Uint32Array.of(
    ...[0x70736575, 0x736f6d65, 0x6e646f6d, 0x646f7261],
    ...[0x6e657261, 0x6c796765, 0x79746573, 0x74656462],
  );
  for (let low = 0; low < 8; low += 2) xor(v, low, key, 0);
  // The only block: the message's length in the most significant byte, above the message.
  const length = 4 << 24;
  xor(v, 6, x, length);
  sipRound(v);
  xor(v, 0, x, length);
  xor(v, 4, 0xff, 0);
  for (let round = 0; round < 3; round++) sipRound(v);
  return (word(v, 0) ^ word(v, 2) ^ word(v, 4) ^ word(v, 6)) >>> 0;
}

function sipRound(v: Uint32Array): void {
  add(v, 0, 2);
  rotate(v, 2, 13);
  xor(v, 2, word(v, 0), word(v, 1));
  swap(v, 0);
  add(v, 4, 6);
  rotate(v, 6, 16);
  xor(v, 6, word(v, 4), word(v, 5));
  add(v, 0, 6);
  rotate(v, 6, 21);
  xor(v, 6, word(v, 0), word(v, 1));
  add(v, 4, 2);
  rotate(v, 2, 17);
  xor(v, 2, word(v, 4), word(v, 5));
  swap(v, 4);
}

function word(v: Uint32Array, index: number): number {
  return v[index] ?? 0;
}

function xor(v: Uint32Array, at: number, low: number, high: number): void {
  v[at] = word(v, at) ^ low;
  v[at + 1] = word(v, at + 1) ^ high;
}

function add(v: Uint32Array, at: number, other: number): void {
  const low = word(v, at) + word(v, other);
  const carry = low > 0xffffffff ? 1 : 0;
  v[at] = low;
  v[at + 1] = word(v, at + 1) + word(v, other + 1) + carry;
}

/** To the left, by less than 32 bits. */
function rotate(v: Uint32Array, at: number, bits: number): void {
  const [low, high] = [word(v, at), word(v, at + 1)];
  v[at] = (low << bits) | (high >>> (32 - bits));
  v[at + 1] = (high << bits) | (low >>> (32 - bits));
}

/** To the left by 32 bits. */
function swap(v: Uint32Array, at: number): void {
  const low = word(v, at);
  v[at] = word(v, at + 1);
  v[at + 1] = low;
}
