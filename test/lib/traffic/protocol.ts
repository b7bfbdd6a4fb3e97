// SPDX-License-Identifier: Apache-2.0
// What clients and servers of the lab say to each other and to the test that drives them.
import type { SocketAddress } from '../../../src/model/connection.ts';

/** A server's answer to "who are you, and whom do you see?". */
export interface ServerReply {
  readonly server: string;
  /** The server's port, in host order. */
  readonly port: number;
  /** The client as the server sees it. */
  readonly client: SocketAddress;
}

export interface Reply extends ServerReply {
  readonly outcome: 'reply';
  /** The client's own end, as its socket says. */
  readonly local: SocketAddress;
  /** The other end: getpeername for TCP and connected UDP, the answer's source address for unconnected UDP. */
  readonly peer: SocketAddress;
}

/**
 * refused: RST or port unreachable at connecting. timeout: silence. reset: RST on a connection. closed: the server ended
 * the connection before it answered. unreachable: no route, or an ICMP error that says so. aborted: the socket was destroyed from outside.
 * denied: EPERM or EACCES.
 */
export type FailureName = 'refused' | 'timeout' | 'reset' | 'closed' | 'unreachable' | 'aborted' | 'denied';

export interface Failure {
  readonly outcome: FailureName;
}

export type Answer = Reply | Failure;

/** How a transfer went: complete and intact if `bytes` is what was asked for and `firstDifference` is null. */
export interface TransferReport {
  readonly bytes: number;
  /** Offset of the first byte that is not the pattern's. */
  readonly firstDifference: number | null;
}

export interface Transfer extends TransferReport {
  readonly outcome: 'done';
}

/** Where and how to connect; times in milliseconds, ports in host order. */
export interface Target {
  readonly address: string;
  readonly port: number;
  /** Of the first request, where there are several; the next has the next one. */
  readonly sourcePort?: number;
  readonly sourceAddress?: string;
  /** Silence longer than this is a timeout; 2000 if not given. */
  readonly timeoutMs?: number;
}

export interface TcpRequest extends Target {
  /** Connections to make; 1 if not given. */
  readonly count?: number;
  /** How many at a time; 1 if not given, so that answers come in the order of connecting. */
  readonly concurrency?: number;
}

export interface UdpTarget extends Target {
  /** Whether the socket is connected, and so hears of ICMP errors ("refused"). */
  readonly connected?: boolean;
  /** Bytes of each datagram and of its answer, 64 if not given. */
  readonly size?: number;
}

/** Each of the `count` datagrams comes from a socket of its own. */
export type UdpRequest = UdpTarget & Pick<TcpRequest, 'count' | 'concurrency'>;

export type OpenRequest =
  | ({ readonly protocol: 'tcp' } & Target)
  | ({ readonly protocol: 'udp' } & UdpTarget);

export interface Opened {
  readonly outcome: 'open';
  readonly handle: number;
  readonly local: SocketAddress;
  readonly peer: SocketAddress;
}

/** What a test asks of a client process, one JSON object a line. */
export type Command =
  | { readonly do: 'tcp'; readonly request: TcpRequest }
  | { readonly do: 'udp'; readonly request: UdpRequest }
  | { readonly do: 'open'; readonly request: OpenRequest }
  | { readonly do: 'ask' | 'close' | 'reset'; readonly handle: number }
  | { readonly do: 'receive' | 'send'; readonly handle: number; readonly bytes: number };

const period = 65521; // a prime, so that no segment size or buffer size divides it
const block = makeBlock();

function makeBlock(): Buffer {
  const bytes = Buffer.alloc(period);
  let state = 0x2545f491;
  for (let i = 0; i < period; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state & 0xff;
  }
  return bytes;
}

/** The first `bytes` bytes of the pattern, in pieces that must not be changed. */
export function* pattern(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= period) yield block.subarray(0, Math.min(left, period));
}

/** Compares what arrives with the pattern. */
export class PatternCheck {
  #bytes = 0;
  #firstDifference: number | null = null;

  add(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      const start = this.#bytes % period;
      const length = Math.min(period - start, chunk.length - at);
      const isSame = block.compare(chunk, at, at + length, start, start + length) === 0;
      if (!isSame)
        this.#firstDifference ??= this.#bytes + differenceIn(chunk.subarray(at, at + length), start);
      this.#bytes += length;
      at += length;
    }
  }

  get report(): TransferReport {
    return { bytes: this.#bytes, firstDifference: this.#firstDifference };
  }
}

function differenceIn(piece: Buffer, start: number): number {
  return piece.findIndex((byte, i) => byte !== block[start + i]);
}

/** An IPv4 address that a dual-stack socket shows as mapped, as itself. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/, '');
}

/** Splits a byte stream into lines and runs of bytes. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterator<Buffer>) {
    this.#chunks = chunks;
  }

  /** The next line without its newline; undefined at the end of the stream. */
  async line(): Promise<string | undefined> {
    for (;;) {
      const end = this.#rest.indexOf('\n');
      if (end >= 0) {
        const line = this.#rest.toString('utf8', 0, end);
        this.#rest = this.#rest.subarray(end + 1);
        return line;
      }
      const { done, value } = await this.#chunks.next();
      if (done) return undefined;
      this.#rest = Buffer.concat([this.#rest, value]);
    }
  }

  /** The next `count` bytes, or all up to the end if that comes first, as they arrive. */
  async *bytes(count = Number.POSITIVE_INFINITY): AsyncGenerator<Buffer> {
    for (let left = count; left > 0; ) {
      if (this.#rest.length === 0) {
        const { done, value } = await this.#chunks.next();
        if (done) return;
        this.#rest = value;
      }
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }
}
