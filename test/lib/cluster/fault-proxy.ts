// SPDX-License-Identifier: Apache-2.0
// A proxy in front of a real API server, through which things go wrong on purpose.
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, request, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Cluster } from './cluster.ts';

/** A request that has come in. */
export interface SeenRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly isWatch: boolean;
  /** `performance.now()` */
  readonly atMs: number;
}

/** What happens to a request in place of its way to the server and back. */
export type Fault =
  | {
      readonly do: 'answer';
      readonly status: number;
      readonly body: string;
      readonly headers?: Record<string, string>;
    }
  /** The connection ends without an answer. */
  | { readonly do: 'reset' }
  /** Nothing is ever answered. */
  | { readonly do: 'hang' }
  /** The answer ends after so many bytes, with the connection. */
  | { readonly do: 'truncate'; readonly bytes: number }
  /** The whole answer is another one. */
  | { readonly do: 'rewrite'; readonly rewrite: (body: string) => string };

/** Passes everything on until it is told otherwise. Authenticates by what clients send in headers: certificates end here. */
export class FaultProxy implements AsyncDisposable {
  /** Decides on each request. */
  fault: (request: SeenRequest) => Fault | undefined = () => undefined;
  readonly seen: SeenRequest[] = [];
  readonly #server: Server;
  readonly #target: URL;
  readonly #authority: Buffer;
  readonly #sockets = new Set<TLSSocket>();
  readonly #watches = new Set<ServerResponse>();
  #isFrozen = false;

  private constructor(cluster: Cluster) {
    const read = (name: string) => readFileSync(`${cluster.folder}/${name}`);
    this.#authority = read('ca.crt');
    this.#target = new URL(cluster.url);
    this.#server = createServer({ cert: read('server.crt'), key: read('server.key') }, (incoming, outgoing) =>
      this.#serve(incoming, outgoing),
    );
    this.#server.on('secureConnection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => {});
    });
  }

  static async start(cluster: Cluster): Promise<FaultProxy> {
    const proxy = new FaultProxy(cluster);
    const { promise, resolve } = Promise.withResolvers<void>();
    proxy.#server.listen(0, '127.0.0.1', resolve);
    await promise;
    return proxy;
  }

  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How many watches are open. */
  get watches(): number {
    return this.#watches.size;
  }

  /** Sends a line of its own to all watches. */
  inject(event: unknown): void {
    for (const watch of this.#watches) watch.write(`${JSON.stringify(event)}\n`);
  }

  /** What the server sends in open answers gets no further, or does again. */
  freeze(isFrozen: boolean): void {
    this.#isFrozen = isFrozen;
  }

  /** Ends every connection at once. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    await promise;
  }

  #serve(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { pathname, searchParams } = new URL(incoming.url ?? '/', this.#target);
    const isWatch = searchParams.get('watch') === 'true';
    const seen = { path: pathname, query: searchParams, isWatch, atMs: performance.now() };
    this.seen.push(seen);
    const fault = this.fault(seen);
    switch (fault?.do) {
      case 'reset':
        incoming.socket.destroy();
        return;
      case 'hang':
        return;
      case 'answer':
        outgoing
          .writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers })
          .end(fault.body);
        return;
      default:
        this.#forward(incoming, outgoing, isWatch, fault);
    }
  }

  #forward(
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    isWatch: boolean,
    fault: Exclude<Fault, { do: 'answer' | 'reset' | 'hang' }> | undefined,
  ): void {
    const { method, headers } = incoming;
    const url = new URL(incoming.url ?? '/', this.#target);
    const options = {
      method,
      headers: { ...headers, host: url.host },
      ca: this.#authority,
      agent: false,
    } as const;
    const forwarded = request(url, options, (answer) => {
      if (fault?.do === 'rewrite') {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () => {
          outgoing.writeHead(answer.statusCode ?? 502, { 'content-type': 'application/json' });
          outgoing.end(fault.rewrite(Buffer.concat(chunks).toString('utf8')));
        });
        return;
      }
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      outgoing.flushHeaders();
      if (outgoing.destroyed) forwarded.destroy();
      if (isWatch && !outgoing.destroyed) this.#watches.add(outgoing);
      outgoing.on('close', () => {
        this.#watches.delete(outgoing);
        forwarded.destroy();
      });
      let left = fault?.do === 'truncate' ? fault.bytes : Number.POSITIVE_INFINITY;
      answer.on('data', (chunk: Buffer) => {
        if (this.#isFrozen) return;
        outgoing.write(chunk.subarray(0, left));
        left -= chunk.length;
        if (left <= 0) setImmediate(() => incoming.socket.destroy());
      });
      answer.on('end', () => outgoing.end());
      answer.on('error', () => incoming.socket.destroy());
    });
    forwarded.on('error', () => incoming.socket.destroy());
    incoming.pipe(forwarded);
  }
}
