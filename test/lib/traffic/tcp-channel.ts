// SPDX-License-Identifier: Apache-2.0
// One TCP connection of a client.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { SocketAddress } from '../../../src/model/connection.ts';
import { type Channel, ChannelError, defaultTimeoutMs } from './channel.ts';
import {
  ByteReader,
  PatternCheck,
  pattern,
  type Reply,
  type ServerReply,
  type Target,
  type Transfer,
  type TransferReport,
} from './protocol.ts';

export class TcpChannel implements Channel {
  readonly local: SocketAddress;
  readonly peer: SocketAddress;
  readonly #socket: Socket;
  readonly #reader: ByteReader;
  readonly #timeoutMs: number;

  private constructor(socket: Socket, timeoutMs: number) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    this.#reader = new ByteReader(socket.iterator({ destroyOnReturn: false }));
    this.local = { address: socket.localAddress ?? '', port: socket.localPort ?? 0 };
    this.peer = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
  }

  static async connect(target: Target): Promise<TcpChannel> {
    const socket = connect({
      host: target.address,
      port: target.port,
      allowHalfOpen: true,
      noDelay: true,
      ...(target.sourceAddress !== undefined && { localAddress: target.sourceAddress }),
      ...(target.sourcePort !== undefined && { localPort: target.sourcePort }),
    });
    const timeoutMs = target.timeoutMs ?? defaultTimeoutMs;
    socket.setTimeout(timeoutMs, () => socket.destroy(new ChannelError('ETIMEDOUT')));
    await once(socket, 'connect');
    socket.setTimeout(0);
    socket.on('error', () => {}); // the step that meets it reports it
    return new TcpChannel(socket, timeoutMs);
  }

  ask(): Promise<Reply> {
    return this.#step(() => this.#ask('whoami\n'));
  }

  /** Lets the server close first, so that TIME_WAIT is its own and the source port is free again. */
  askLast(): Promise<Reply> {
    return this.#step(async () => {
      const reply = await this.#ask('whoami\nbye\n');
      for await (const _ of this.#reader.bytes());
      return reply;
    });
  }

  receive(bytes: number): Promise<Transfer> {
    return this.#step(async () => {
      this.#socket.write(`stream ${bytes}\n`);
      const check = new PatternCheck();
      for await (const piece of this.#reader.bytes(bytes)) check.add(piece);
      return { outcome: 'done', ...check.report };
    });
  }

  send(bytes: number): Promise<Transfer> {
    return this.#step(async () => {
      this.#socket.write('sink\n');
      for (const piece of pattern(bytes)) if (!this.#socket.write(piece)) await this.#drained();
      this.#socket.end();
      return { outcome: 'done', ...(await this.#answer<TransferReport>()) };
    });
  }

  async close(): Promise<void> {
    if (this.#socket.closed) return;
    const closed = new Promise((resolve) => this.#socket.once('close', resolve));
    this.#socket.end().resume();
    await closed;
  }

  async reset(): Promise<void> {
    if (this.#socket.closed) return;
    const closed = new Promise((resolve) => this.#socket.once('close', resolve));
    this.#socket.resetAndDestroy();
    await closed;
  }

  /** Silence counts as a timeout only while a step waits. */
  async #step<T>(step: () => Promise<T>): Promise<T> {
    this.#socket.setTimeout(this.#timeoutMs);
    try {
      return await step();
    } finally {
      this.#socket.setTimeout(0);
    }
  }

  async #ask(question: string): Promise<Reply> {
    this.#socket.write(question);
    return { outcome: 'reply', ...(await this.#answer<ServerReply>()), local: this.local, peer: this.peer };
  }

  async #answer<T>(): Promise<T> {
    const line = await this.#reader.line();
    if (line === undefined) throw this.#socket.errored ?? new ChannelError('EENDED');
    return JSON.parse(line) as T;
  }

  async #drained(): Promise<void> {
    if (this.#socket.errored) throw this.#socket.errored;
    await once(this.#socket, 'drain'); // rejects if the connection fails
  }
}
