// SPDX-License-Identifier: Apache-2.0
// One UDP socket of a client.
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { SocketAddress } from '../../../src/model/connection.ts';
import { type Channel, ChannelError, defaultTimeoutMs } from './channel.ts';
import type { Reply, ServerReply, UdpTarget } from './protocol.ts';

export class UdpChannel implements Channel {
  readonly local: SocketAddress;
  readonly peer: SocketAddress;
  readonly #socket: Socket;
  readonly #target: UdpTarget;
  #lastToken = 0;
  #isClosed = false;

  private constructor(socket: Socket, target: UdpTarget) {
    const { address, port } = socket.address();
    this.local = { address, port };
    const peer = target.connected ? socket.remoteAddress() : target;
    this.peer = { address: peer.address, port: peer.port };
    this.#socket = socket;
    socket.on('error', () => {}); // the step that waits meanwhile reports it
    this.#target = target;
  }

  static async open(target: UdpTarget): Promise<UdpChannel> {
    const socket = createSocket({
      type: target.address.includes(':') ? 'udp6' : 'udp4',
      recvBufferSize: 1 << 20,
    });
    socket.bind(target.sourcePort ?? 0, target.sourceAddress);
    await once(socket, 'listening');
    if (target.connected) {
      socket.connect(target.port, target.address);
      await once(socket, 'connect');
    }
    return new UdpChannel(socket, target);
  }

  askLast(): Promise<Reply> {
    return this.ask();
  }

  /** An answer to an earlier question is passed over. */
  async ask(): Promise<Reply> {
    const token = `${++this.#lastToken}`;
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    const onMessage = (message: Buffer, from: RemoteInfo) => {
      const text = message.toString();
      if (!text.startsWith(`${token} `)) return;
      const reply = JSON.parse(text.slice(token.length)) as ServerReply;
      const peer = this.#target.connected ? this.peer : { address: from.address, port: from.port };
      resolve({ outcome: 'reply', ...reply, local: this.local, peer });
    };
    const timer = setTimeout(
      () => reject(new ChannelError('ETIMEDOUT')),
      this.#target.timeoutMs ?? defaultTimeoutMs,
    );
    this.#socket.on('message', onMessage).on('error', reject);
    try {
      this.#send(token.padEnd(this.#target.size ?? 64), reject);
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#socket.off('message', onMessage).off('error', reject);
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const closed = once(this.#socket, 'close');
    this.#socket.close();
    await closed;
  }

  #send(payload: string, onError: (error: Error) => void): void {
    const report = (error: Error | null) => {
      if (error) onError(error);
    };
    if (this.#target.connected) this.#socket.send(payload, report);
    else this.#socket.send(payload, this.#target.port, this.#target.address, report);
  }
}
