// SPDX-License-Identifier: Apache-2.0
// SCTP packets (RFC 9260), with a CRC-32C of its own: byte by byte, as the polynomial says.

/** RFC 9260, 3.2. */
export const chunkTypes: Readonly<Record<string, number>> = {
  DATA: 0,
  INIT: 1,
  'INIT-ACK': 2,
  SACK: 3,
  HEARTBEAT: 4,
  'HEARTBEAT-ACK': 5,
  ABORT: 6,
  SHUTDOWN: 7,
  'SHUTDOWN-ACK': 8,
  ERROR: 9,
  'COOKIE-ECHO': 10,
  'COOKIE-ACK': 11,
  'SHUTDOWN-COMPLETE': 14,
};

export const sctpChecksumOffset = 8;
const headerLength = 12;
const verificationTag = 0x1234_5678;

const remainders = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? 0x82f6_3b78 : 0);
  return remainder;
});

/** The remainder after some bytes more. */
export function crc32cRemainder(bytes: Uint8Array, start: number): number {
  let remainder = start;
  for (const byte of bytes) remainder = (remainder >>> 8) ^ (remainders[(remainder ^ byte) & 255] ?? 0);
  return remainder >>> 0;
}

/** RFC 3720, appendix B.4, has examples. */
export function crc32c(bytes: Uint8Array): number {
  return ~crc32cRemainder(bytes, 0xffff_ffff) >>> 0;
}

/** What the checksum field of an SCTP packet has to be. */
export function sctpChecksum(packet: Uint8Array): number {
  const copy = Buffer.from(packet);
  copy.writeUInt32LE(0, sctpChecksumOffset);
  return crc32c(copy);
}

/**
 * @param chunks names joined by blanks, "COOKIE-ECHO DATA"; a number for a type without name
 * @param payload of the last chunk
 */
export function buildSctp(
  sourcePort: number,
  destinationPort: number,
  chunks: string,
  payload: Uint8Array,
): Buffer {
  const names = chunks.split(' ');
  const header = Buffer.alloc(headerLength);
  header.writeUInt16BE(sourcePort, 0);
  header.writeUInt16BE(destinationPort, 2);
  header.writeUInt32BE(verificationTag, 4);
  const packet = Buffer.concat([
    header,
    ...names.map((name, i) => buildChunk(name, i + 1 === names.length ? payload : new Uint8Array(5))),
  ]);
  packet.writeUInt32LE(sctpChecksum(packet), sctpChecksumOffset);
  return packet;
}

function buildChunk(name: string, value: Uint8Array): Buffer {
  const length = 4 + value.length;
  const chunk = Buffer.alloc(Math.ceil(length / 4) * 4);
  chunk[0] = chunkTypes[name] ?? Number(name);
  chunk.writeUInt16BE(length, 2);
  chunk.set(value, 4);
  return chunk;
}

/** The name of the first chunk of an SCTP packet. */
export function firstChunk(packet: Uint8Array): string {
  const type = packet[headerLength];
  const [name] = Object.entries(chunkTypes).find(([, number]) => number === type) ?? [`chunk ${type}`];
  return name;
}

/** Four bytes that, appended to bytes of a remainder, bring it to another: how a CRC of one's choice is made. */
export function crc32cSuffix(remainder: number, wanted: number): Buffer {
  let back = wanted;
  for (let i = 0; i < 4; i++) {
    const index = remainders.findIndex((each) => each >>> 24 === back >>> 24);
    back = (((back ^ (remainders[index] ?? 0)) << 8) | index) >>> 0;
  }
  const suffix = Buffer.alloc(4);
  suffix.writeUInt32LE((back ^ remainder) >>> 0);
  return suffix;
}
