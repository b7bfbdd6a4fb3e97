// SPDX-License-Identifier: Apache-2.0
// Frames in pieces and with headers between IP and transport, as RFC 791 and RFC 8200 have them.
import { checksum, join } from './packet.ts';

const ethernetLength = 14;
const headerLength6 = 40;

/** Next header numbers. */
export const extension = {
  hopByHop: 0,
  routing: 43,
  fragment: 44,
  esp: 50,
  ah: 51,
  destination: 60,
} as const;

export interface Extension {
  readonly number: number;
  /** All of it; its first byte, the next header's number, is filled in. A multiple of 8 bytes. */
  readonly bytes: Uint8Array;
}

export interface Piece {
  readonly offset: number;
  readonly payload: Uint8Array;
  readonly isLast: boolean;
}

/** What is behind the IP header, or behind the extension headers that come before the fragment header. */
function payloadOf(frame: Uint8Array, unfragmentable = 0): Uint8Array {
  return frame.subarray(ethernetLength + networkLength(frame) + unfragmentable);
}

function isIpv4(frame: Uint8Array): boolean {
  return frame[12] === 0x08;
}

function networkLength(frame: Uint8Array): number {
  return isIpv4(frame) ? ((frame[ethernetLength] ?? 0) & 15) * 4 : headerLength6;
}

/** Cuts what an IP packet carries into pieces of these sizes; the last takes the rest. */
export function cut(frame: Uint8Array, ...sizes: readonly number[]): readonly Piece[] {
  const payload = payloadOf(frame);
  const pieces: Piece[] = [];
  let offset = 0;
  for (const size of [...sizes, payload.length]) {
    if (offset >= payload.length) break;
    const part = payload.slice(offset, offset + size);
    pieces.push({ offset, payload: part, isLast: offset + part.length === payload.length });
    offset += part.length;
  }
  return pieces;
}

/** A piece of a whole frame's packet as a frame of its own. */
export function fragmentOf(whole: Uint8Array, piece: Piece, id = 0x1234): Uint8Array {
  return isIpv4(whole) ? fragment4(whole, piece, id) : fragment6(whole, piece, id);
}

/** A whole frame as fragments. */
export function fragmentsOf(whole: Uint8Array, sizes: readonly number[], id = 0x1234): readonly Uint8Array[] {
  return cut(whole, ...sizes).map((piece) => fragmentOf(whole, piece, id));
}

function fragment4(whole: Uint8Array, { offset, payload, isLast }: Piece, id: number): Uint8Array {
  const header = whole.slice(0, ethernetLength + networkLength(whole));
  const network = header.subarray(ethernetLength);
  const view = new DataView(network.buffer, network.byteOffset);
  view.setUint16(2, network.length + payload.length);
  view.setUint16(4, id);
  view.setUint16(6, (isLast ? 0 : 0x2000) | (offset / 8));
  view.setUint16(10, 0);
  view.setUint16(10, checksum(network));
  return join(header, payload);
}

function fragment6(whole: Uint8Array, { offset, payload, isLast }: Piece, id: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint16(2, offset | (isLast ? 0 : 1));
  view.setUint32(4, id);
  const header = whole.slice(0, ethernetLength + headerLength6);
  return withExtensions(join(header, payload), { number: extension.fragment, bytes });
}

/** Puts extension headers behind the IPv6 header of a frame. */
export function withExtensions(frame: Uint8Array, ...extensions: readonly Extension[]): Uint8Array {
  const header = frame.slice(0, ethernetLength + headerLength6);
  const payload = payloadOf(frame);
  const parts: Uint8Array[] = [];
  let next = header[ethernetLength + 6] ?? 0;
  for (const { number, bytes } of extensions.toReversed()) {
    const part = bytes.slice();
    part[0] = next;
    next = number;
    parts.unshift(part);
  }
  header[ethernetLength + 6] = next;
  const length = parts.reduce((sum, part) => sum + part.length, payload.length);
  new DataView(header.buffer).setUint16(ethernetLength + 4, length);
  return join(header, ...parts, payload);
}
