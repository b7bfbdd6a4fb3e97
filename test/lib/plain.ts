// SPDX-License-Identifier: Apache-2.0
// A frame without its IPv6 extension headers and without being a fragment: what it is to a balancer.
import { ethernetLength } from './wire.ts';

/** RFC 8200: hop-by-hop options, routing, fragment, destination options. */
const extensions = [0, 43, 44, 60];
const routing = 43;
const fragment = 44;
const udp = 17;
const icmp = 1;
const icmpv6 = 58;
const mostExtensions = 5;

export type Plain =
  | { readonly kind: 'plain'; readonly frame: Buffer }
  /** `frame` is it in one piece; what other fragments carry of a UDP datagram is zeros. */
  | { readonly kind: 'extended'; readonly frame: Buffer }
  /** `datagram` is what its fragments have in common. */
  | { readonly kind: 'first fragment'; readonly frame: Buffer; readonly datagram: string }
  | { readonly kind: 'later fragment'; readonly datagram: string }
  | { readonly kind: 'unreadable' }
  /** ICMPv6 behind extension headers, whole or not. */
  | { readonly kind: 'message' };

const unreadable: Plain = { kind: 'unreadable' };

export function plainOf(frame: Buffer): Plain {
  const type = frame.length < ethernetLength ? 0 : frame.readUInt16BE(12);
  if (type === 0x0800 && frame.length >= ethernetLength + 20) return plainOf4(frame);
  if (type === 0x86dd && frame.length >= ethernetLength + 40) return plainOf6(frame);
  return { kind: 'plain', frame };
}

function plainOf4(frame: Buffer): Plain {
  const at = ethernetLength;
  const bits = frame.readUInt16BE(at + 6);
  if ((bits & 0x3fff) === 0 || frame[at + 9] === icmp) return { kind: 'plain', frame };
  const datagram =
    frame.toString('hex', at + 12, at + 20) + frame.toString('hex', at + 4, at + 6) + frame[at + 9];
  if (bits & 0x1fff) return { kind: 'later fragment', datagram };
  const headerLength = ((frame[at] ?? 0) & 15) * 4;
  const length = frame.readUInt16BE(at + 2);
  if (headerLength < 20 || length < headerLength || at + length > frame.length) return unreadable;
  if ((length - headerLength) % 8 || length === headerLength) return unreadable;
  const whole = Buffer.from(frame);
  whole.writeUInt16BE(0, at + 6);
  return {
    kind: 'first fragment',
    frame: inOnePiece(whole, at + headerLength, at + length, frame[at + 9]),
    datagram,
  };
}

function plainOf6(frame: Buffer): Plain {
  const at = ethernetLength;
  let next = frame[at + 6] ?? 0;
  if (!extensions.includes(next)) return { kind: 'plain', frame };
  let transport = at + 40;
  let isCut = false;
  let datagram = '';
  const claimed = frame.readUInt16BE(at + 4);
  let end = transport + claimed;
  for (let i = 0; extensions.includes(next); i++) {
    if (i > mostExtensions || transport + 8 > frame.length) return unreadable;
    if (next === routing && frame[transport + 3]) return unreadable;
    if (next === fragment) {
      const bits = frame.readUInt16BE(transport + 2);
      if (isCut) return unreadable;
      datagram = frame.toString('hex', at + 8, at + 40) + frame.toString('hex', transport + 4, transport + 8);
      if (bits & 0xfff8 && frame[transport] === icmpv6) return { kind: 'message' };
      if (bits & 0xfff8) return { kind: 'later fragment', datagram };
      isCut = (bits & 1) === 1;
      if (isCut && ((end - transport) % 8 || end <= transport + 8)) return unreadable;
    }
    const length = next === fragment ? 8 : 8 * ((frame[transport + 1] ?? 0) + 1);
    next = frame[transport] ?? 0;
    transport += length;
  }
  if (next === icmpv6) return { kind: 'message' };
  if (claimed === 0 && !isCut) end = frame.length;
  if (end > frame.length || transport >= end) return unreadable;
  const whole = Buffer.concat([frame.subarray(0, at + 40), frame.subarray(transport)]);
  whole[at + 6] = next;
  const payload = end - transport;
  whole.writeUInt16BE(claimed === 0 ? 0 : payload, at + 4);
  if (!isCut) return { kind: 'extended', frame: whole };
  return { kind: 'first fragment', frame: inOnePiece(whole, at + 40, at + 40 + payload, next), datagram };
}

/** A UDP header says how long all fragments are: the others are added. */
function inOnePiece(whole: Buffer, transport: number, end: number, protocol = 0): Buffer {
  if (protocol !== udp || transport + 8 > end) return whole;
  const missing = transport + whole.readUInt16BE(transport + 4) - end;
  if (missing <= 0) return whole;
  const longer = Buffer.concat([whole.subarray(0, end), Buffer.alloc(missing)]);
  const at = ethernetLength;
  const field = at + ((whole[at] ?? 0) >> 4 === 4 ? 2 : 4);
  longer.writeUInt16BE(Math.min(0xffff, longer.readUInt16BE(field) + missing), field);
  return longer;
}
