// SPDX-License-Identifier: Apache-2.0
// Packets that no one should send: damaged, truncated, contradictory; and among them whole ones.
import { type Address, addressBytes, addressFamily } from '../../src/model/address.ts';
import type { Random } from './random.ts';
import { ethernetLength, repairChecksums } from './wire.ts';

/** Whom packets come from and go to, so that many of them meet a service or a connection. */
export interface Parties {
  /** Clients, virtual addresses, destinations: any may be source and destination. */
  readonly addresses: readonly Address[];
  readonly ports: readonly number[];
  /** Where three of four packets go. */
  readonly targets: { readonly addresses: readonly Address[]; readonly ports: readonly number[] };
}

export interface HostilePacket {
  readonly frame: Buffer;
  /** struct __sk_buff, where the packet claims to be one of segmentation offload. */
  readonly context: Buffer | undefined;
}

/** include/uapi/linux/bpf.h: struct __sk_buff. */
const contextSize = 192;
const gsoSegments = 164;
const gsoSize = 176;

const interestingBytes = [
  0, 1, 4, 5, 6, 17, 0x0f, 0x10, 0x20, 0x40, 0x45, 0x46, 0x4f, 0x60, 0x80, 0xf0, 0xff,
];
const otherTypes = [0x0806, 0x8100, 0x88a8, 0x8847, 0x88cc, 0, 5, 0xffff];
const otherProtocols = [0, 1, 2, 4, 41, 43, 44, 47, 50, 51, 58, 59, 60, 132, 255];

interface Ends {
  readonly addresses: Readonly<Record<4 | 6, readonly Uint8Array[]>>;
  readonly ports: readonly number[];
}

export class HostilePackets {
  readonly #random: Random;
  readonly #anyone: Ends;
  readonly #targets: Ends;

  constructor(random: Random, { addresses, ports, targets }: Parties) {
    this.#random = random;
    this.#anyone = { addresses: bytesByFamily(addresses), ports };
    this.#targets = { addresses: bytesByFamily(targets.addresses), ports: targets.ports };
  }

  next(): HostilePacket {
    const random = this.#random;
    if (random.once(50)) return { frame: lengthened(this.#noise()), context: undefined };
    let frame = this.#whole();
    if (random.once(2)) {
      const damages = 1 + random.below(2);
      for (let i = 0; i < damages; i++) frame = this.#damage(frame);
      frame = lengthened(frame);
    }
    if (!random.once(8)) repairChecksums(frame);
    return { frame, context: random.once(16) ? this.#offloaded() : undefined };
  }

  #noise(): Buffer {
    const frame = Buffer.alloc(ethernetLength + this.#random.below(120));
    for (let i = 0; i < frame.length; i++) frame[i] = this.#random.below(256);
    if (!this.#random.once(4)) frame.writeUInt16BE(this.#random.once(2) ? 0x0800 : 0x86dd, 12);
    return frame;
  }

  /** A sane packet but for its flags and its checksums, which are still to be written. */
  #whole(): Buffer {
    const random = this.#random;
    const family = random.once(2) ? 4 : 6;
    const to = random.once(4) ? this.#anyone : this.#targets;
    const protocol = random.pick([6, 6, 17, 17, 132] as const);
    const isTcp = protocol === 6;
    const headerLength = family === 6 ? 40 : 20 + (random.once(8) ? 4 * random.below(11) : 0);
    const tcpLength = 20 + (random.once(4) ? 4 * random.below(11) : 0);
    const payload = random.once(32) ? random.below(1400) : random.below(40);
    const length = { 6: tcpLength, 17: 8, 132: 12 + 4 * (1 + random.below(4)) }[protocol] + payload;
    const padding = random.once(8) ? random.below(20) : 0;
    const frame = Buffer.alloc(ethernetLength + headerLength + length + padding);
    const transport = ethernetLength + headerLength;
    for (let i = transport + 4; i < frame.length; i += 1 + random.below(8)) frame[i] = random.below(256);
    frame.set([0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1], 0); // to lo, by which test runs come in
    if (family === 4) this.#ipv4(frame, headerLength, length, protocol, to);
    else this.#ipv6(frame, length, protocol, to);
    frame.writeUInt16BE(this.#port(this.#anyone), transport);
    frame.writeUInt16BE(this.#port(to), transport + 2);
    if (isTcp) {
      frame[transport + 12] = (tcpLength / 4) << 4;
      frame[transport + 13] = random.once(2) ? 2 : random.below(64);
    } else if (protocol === 132) {
      frame[transport + 12] = random.once(2) ? 1 : random.below(16);
      frame.writeUInt16BE(random.once(2) ? 4 : random.below(64), transport + 14);
    } else {
      frame.writeUInt16BE(length, transport + 4);
      frame.writeUInt16BE(random.once(4) ? 0 : 1, transport + 6);
    }
    return frame;
  }

  #ipv4(frame: Buffer, headerLength: number, length: number, protocol: number, to: Ends): void {
    const at = ethernetLength;
    frame.writeUInt16BE(0x0800, 12);
    frame[at] = 0x40 | (headerLength / 4);
    frame.writeUInt16BE(headerLength + length, at + 2);
    frame.writeUInt16BE(this.#random.below(65536), at + 4);
    frame.writeUInt16BE(this.#random.once(2) ? 0x4000 : 0, at + 6);
    frame[at + 8] = this.#random.below(256);
    frame[at + 9] = protocol;
    frame.set(this.#address(this.#anyone, 4), at + 12);
    frame.set(this.#address(to, 4), at + 16);
  }

  #ipv6(frame: Buffer, length: number, protocol: number, to: Ends): void {
    const at = ethernetLength;
    frame.writeUInt16BE(0x86dd, 12);
    frame.writeUInt32BE(0x60000000 + this.#random.below(1 << 28), at);
    frame.writeUInt16BE(length, at + 4);
    frame[at + 6] = protocol;
    frame[at + 7] = this.#random.below(256);
    frame.set(this.#address(this.#anyone, 6), at + 8);
    frame.set(this.#address(to, 6), at + 24);
  }

  #damage(frame: Buffer): Buffer {
    const random = this.#random;
    const at = ethernetLength;
    switch (random.below(8)) {
      case 0: // cut short
        return frame.subarray(0, at + random.below(frame.length - at));
      case 1: // another EtherType, or the other family's
        frame.writeUInt16BE(random.once(2) ? random.pick(otherTypes) : frame[12] === 8 ? 0x86dd : 0x0800, 12);
        return frame;
      case 2: // any byte of the headers
        frame[at + random.below(Math.min(80, frame.length - at))] = random.pick(interestingBytes);
        return frame;
      case 3: // the lengths that the IP header claims
        if (frame.length >= at + 6)
          frame.writeUInt16BE(this.#length(frame.length - at), at + (random.once(2) ? 2 : 4));
        return frame;
      case 4: // a fragment, or IPv6 with an extension header
        return this.#extended(frame);
      case 5: // another protocol
        if (frame.length >= at + 10) frame[at + (random.once(2) ? 9 : 6)] = random.pick(otherProtocols);
        return frame;
      case 6: // the data offset of TCP, the length of UDP
        return this.#damageTransport(frame);
      default: // a bit
        frame[random.below(frame.length)] = random.below(256);
        return frame;
    }
  }

  /** First fragments and later ones at a few places, of few datagrams, so that they meet. */
  #extended(frame: Buffer): Buffer {
    const random = this.#random;
    const at = ethernetLength;
    const offset = random.once(3) ? random.below(8192) : random.pick([0, 0, 1, 2, 4]);
    const more = random.below(2);
    if (frame.length >= at + 20 && frame[12] === 8) {
      frame.writeUInt16BE(random.below(4), at + 4);
      frame.writeUInt16BE((more << 13) | offset, at + 6);
      const headerLength = ((frame[at] ?? 0) & 15) * 4;
      const length = frame.readUInt16BE(at + 2);
      if (more && length > headerLength) {
        frame.writeUInt16BE(headerLength + ((length - headerLength) & ~7), at + 2);
      }
      return frame;
    }
    if (frame.length < at + 40) return frame;
    const header = Buffer.alloc(8 * (1 + random.below(2)));
    const number = random.pick([0, 43, 44, 44, 44, 60]);
    header[0] = frame[at + 6] ?? 0;
    header[1] = number === 44 ? 0 : header.length / 8 - 1;
    if (number === 44) {
      header.writeUInt16BE((offset << 3) | more, 2);
      header.writeUInt32BE(random.below(4), 4);
    } else header[3] = random.once(4) ? 1 : 0;
    frame[at + 6] = number;
    const length = frame.readUInt16BE(at + 4) & (more ? ~7 : ~0);
    frame.writeUInt16BE((length + header.length) & 0xffff, at + 4);
    return Buffer.concat([frame.subarray(0, at + 40), header, frame.subarray(at + 40)]);
  }

  #damageTransport(frame: Buffer): Buffer {
    const at = ethernetLength + (frame[12] === 8 ? ((frame[ethernetLength] ?? 0) & 15) * 4 : 40);
    if (at + 14 > frame.length) return frame;
    if (this.#random.once(2)) frame[at + 12] = this.#random.below(256);
    else frame.writeUInt16BE(this.#length(frame.length - at), at + 4);
    return frame;
  }

  /** Near what would be right, or nowhere near. */
  #length(right: number): number {
    const random = this.#random;
    return random.once(3) ? random.below(65536) : Math.max(0, right - 40 + random.below(48));
  }

  #port({ ports }: Ends): number {
    return this.#random.once(20) ? this.#random.below(65536) : this.#random.pick(ports);
  }

  #address({ addresses }: Ends, family: 4 | 6): Uint8Array {
    const known = this.#random.pick(addresses[family]);
    if (!this.#random.once(20)) return known;
    return Uint8Array.from(known, () => this.#random.below(256));
  }

  #offloaded(): Buffer {
    const context = Buffer.alloc(contextSize);
    context.writeUInt32LE(1 + this.#random.below(64), gsoSegments);
    context.writeUInt32LE(1 + this.#random.below(1448), gsoSize);
    return context;
  }
}

/** BPF_PROG_TEST_RUN refuses frames that end within the IP header that their EtherType announces. */
function lengthened(frame: Buffer): Buffer {
  const type = frame.readUInt16BE(12);
  const least = ethernetLength + (type === 0x0800 ? 20 : type === 0x86dd ? 40 : 0);
  return frame.length < least ? Buffer.concat([frame], least) : frame;
}

function bytesByFamily(addresses: readonly Address[]): Ends['addresses'] {
  const of = (family: 4 | 6, size: number) =>
    addresses
      .filter((address) => addressFamily(address) === family)
      .map((address) => addressBytes(address).subarray(0, size));
  return { 4: of(4, 4), 6: of(6, 16) };
}
