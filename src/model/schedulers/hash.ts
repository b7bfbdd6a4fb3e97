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
  let [a, aHigh, b, bHigh] = [0x70736575 ^ key, 0x736f6d65, 0x6e646f6d ^ key, 0x646f7261];
  let [c, cHigh, d, dHigh] = [0x6e657261 ^ key, 0x6c796765, 0x79746573 ^ key, 0x74656462];
  // The only block: the message's length in the most significant byte, above the message.
  const length = 4 << 24;
  d ^= x;
  dHigh ^= length;
  for (let round = 0; round < 4; round++) {
    let sum = (a >>> 0) + (b >>> 0); // a += b
    aHigh = (aHigh + bHigh + (sum > 0xffffffff ? 1 : 0)) | 0;
    a = sum | 0;
    let lower = (b << 13) | (bHigh >>> 19); // b = b rotated by 13, ^ a
    bHigh = ((bHigh << 13) | (b >>> 19)) ^ aHigh;
    b = lower ^ a;
    lower = aHigh; // a rotated by 32
    aHigh = a;
    a = lower;
    sum = (c >>> 0) + (d >>> 0); // c += d
    cHigh = (cHigh + dHigh + (sum > 0xffffffff ? 1 : 0)) | 0;
    c = sum | 0;
    lower = (d << 16) | (dHigh >>> 16); // d = d rotated by 16, ^ c
    dHigh = ((dHigh << 16) | (d >>> 16)) ^ cHigh;
    d = lower ^ c;
    sum = (a >>> 0) + (d >>> 0); // a += d
    aHigh = (aHigh + dHigh + (sum > 0xffffffff ? 1 : 0)) | 0;
    a = sum | 0;
    lower = (d << 21) | (dHigh >>> 11); // d = d rotated by 21, ^ a
    dHigh = ((dHigh << 21) | (d >>> 11)) ^ aHigh;
    d = lower ^ a;
    sum = (c >>> 0) + (b >>> 0); // c += b
    cHigh = (cHigh + bHigh + (sum > 0xffffffff ? 1 : 0)) | 0;
    c = sum | 0;
    lower = (b << 17) | (bHigh >>> 15); // b = b rotated by 17, ^ c
    bHigh = ((bHigh << 17) | (b >>> 15)) ^ cHigh;
    b = lower ^ c;
    lower = cHigh; // c rotated by 32
    cHigh = c;
    c = lower;
    if (round > 0) continue;
    a ^= x; // the block has had its round
    aHigh ^= length;
    c ^= 0xff;
  }
  return (a ^ b ^ c ^ d) >>> 0;
}
