// SPDX-License-Identifier: Apache-2.0
// What a receiver makes of a frame: TCP, UDP or SCTP over IP, whole and in one piece, with or without right checksums.
// An implementation of its own, from RFCs 791, 8200, 9293, 768 and 9260, against which the programs are checked.
import { sctpChecksum, sctpChecksumOffset } from './sctp.ts';

export interface Wire {
  readonly family: 4 | 6;
  readonly protocol: number;
  /** Addresses as hexadecimal digits. */
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Byte 13 of a TCP header. */
  readonly tcpFlags: number;
  /** The type of an SCTP packet's first chunk. */
  readonly chunk: number;
  /** Offsets in the frame. */
  readonly transport: number;
  readonly end: number;
  readonly isHeaderChecksumRight: boolean;
  readonly transportChecksum: 'right' | 'wrong' | 'none';
}

export const ethernetLength = 14;
const tcp = 6;
const udp = 17;
const sctp = 132;

export function readWire(frame: Buffer): Wire | undefined {
  if (frame.length < ethernetLength) return undefined;
  const type = frame.readUInt16BE(12);
  if (type === 0x0800) return readIpv4(frame);
  return type === 0x86dd ? readIpv6(frame) : undefined;
}

function readIpv4(frame: Buffer): Wire | undefined {
  const at = ethernetLength;
  if (frame.length < at + 20 || frame[at] === undefined || frame[at] >> 4 !== 4) return undefined;
  const headerLength = (frame[at] & 15) * 4;
  /* A length of 0 is a packet of more than 64 KiB, whose length only the frame tells. */
  const length = frame.readUInt16BE(at + 2) || frame.length - at;
  if (headerLength < 20 || length < headerLength || at + length > frame.length) return undefined;
  if (frame.readUInt16BE(at + 6) & 0x3fff) return undefined;
  const addresses = { family: 4, first: at + 12, size: 4 } as const;
  const isHeaderChecksumRight = sum(frame, at, at + headerLength, 0) === 0xffff;
  return readTransport(
    frame,
    addresses,
    frame[at + 9] ?? 0,
    at + headerLength,
    at + length,
    isHeaderChecksumRight,
  );
}

function readIpv6(frame: Buffer): Wire | undefined {
  const at = ethernetLength;
  if (frame.length < at + 40 || (frame[at] ?? 0) >> 4 !== 6) return undefined;
  const length = frame.readUInt16BE(at + 4) || frame.length - at - 40;
  if (at + 40 + length > frame.length) return undefined;
  const addresses = { family: 6, first: at + 8, size: 16 } as const;
  return readTransport(frame, addresses, frame[at + 6] ?? 0, at + 40, at + 40 + length, true);
}

function readTransport(
  frame: Buffer,
  { family, first, size }: { readonly family: 4 | 6; readonly first: number; readonly size: number },
  protocol: number,
  transport: number,
  end: number,
  isHeaderChecksumRight: boolean,
): Wire | undefined {
  const available = end - transport;
  if (protocol === tcp) {
    const headerLength = available < 20 ? 0 : ((frame[transport + 12] ?? 0) >> 4) * 4;
    if (headerLength < 20 || headerLength > available) return undefined;
  } else if (protocol === udp) {
    if (available < 8) return undefined;
    const length = frame.readUInt16BE(transport + 4);
    if (length < 8 || length > available) return undefined;
  } else if (protocol !== sctp || available < 16) return undefined;
  const length = protocol === udp ? frame.readUInt16BE(transport + 4) : available;
  const isNone = protocol === udp && frame.readUInt16BE(transport + 6) === 0;
  const pseudo = sum(frame, first, first + 2 * size, protocol + (length & 0xffff) + (length >>> 16));
  const isRight =
    protocol === sctp
      ? frame.readUInt32LE(transport + sctpChecksumOffset) === sctpChecksum(frame.subarray(transport, end))
      : sum(frame, transport, transport + length, pseudo) === 0xffff;
  return {
    family,
    protocol,
    source: frame.toString('hex', first, first + size),
    destination: frame.toString('hex', first + size, first + 2 * size),
    sourcePort: frame.readUInt16BE(transport),
    destinationPort: frame.readUInt16BE(transport + 2),
    tcpFlags: protocol === tcp ? (frame[transport + 13] ?? 0) : 0,
    chunk: protocol === sctp ? (frame[transport + 12] ?? 0) : 0,
    transport,
    end,
    isHeaderChecksumRight,
    transportChecksum: isNone ? 'none' : isRight ? 'right' : 'wrong',
  };
}

/** The ones' complement sum (RFC 1071) of some bytes and a start, folded: 0xffff where a checksum among them is right. */
export function sum(bytes: Buffer, from: number, to: number, start: number): number {
  let total = start;
  for (let i = from; i + 1 < to; i += 2) total += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  if ((to - from) % 2) total += (bytes[to - 1] ?? 0) << 8;
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return total;
}

/** Writes the checksums that a sender would; a frame that holds no whole packet keeps what it has. */
export function repairChecksums(frame: Buffer): void {
  const at = ethernetLength;
  if (frame.length >= at + 20 && frame.readUInt16BE(12) === 0x0800) {
    const end = Math.min(frame.length, at + ((frame[at] ?? 0) & 15) * 4);
    frame.writeUInt16BE(0, at + 10);
    frame.writeUInt16BE(~sum(frame, at, end, 0) & 0xffff, at + 10);
  }
  const wire = readWire(frame);
  if (!wire || wire.transportChecksum === 'none') return;
  const { protocol, transport, family } = wire;
  if (protocol === sctp) {
    frame.writeUInt32LE(sctpChecksum(frame.subarray(transport, wire.end)), transport + sctpChecksumOffset);
    return;
  }
  const field = transport + (protocol === tcp ? 16 : 6);
  const length = protocol === udp ? frame.readUInt16BE(transport + 4) : wire.end - transport;
  const [first, last] = family === 4 ? [at + 12, at + 20] : [at + 8, at + 40];
  const pseudo = sum(frame, first, last, protocol + (length & 0xffff) + (length >>> 16));
  frame.writeUInt16BE(0, field);
  const value = ~sum(frame, transport, transport + length, pseudo) & 0xffff;
  frame.writeUInt16BE(protocol === udp && value === 0 ? 0xffff : value, field);
}
