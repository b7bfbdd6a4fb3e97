// SPDX-License-Identifier: Apache-2.0
// An HTTP server at one address, opened again and again until it can be.
import { createServer, type RequestListener, type Server } from 'node:http';
import type { Address } from '../model/address.ts';

export interface Endpoint {
  readonly address: Address;
  readonly port: number;
  /** An unspecified address takes clients of its own family only. */
  readonly isOneFamily?: boolean;
}

/** Longer than any health check takes; a client that says nothing does not stay. */
const clientTimeoutMs = 10_000;

/**
 * Resolves with a server that listens; `close` it with {@link closeServer}. An unspecified address takes both families, where the
 * machine has both. Rejects with the error of listen(2); those of accept(2) are told.
 */
export async function listen(
  endpoint: Endpoint,
  handler: RequestListener,
  acceptFailed: (error: Error) => void = () => {},
): Promise<Server> {
  const server = createServer({ requestTimeout: clientTimeoutMs, headersTimeout: clientTimeoutMs }, handler);
  server.keepAliveTimeout = clientTimeoutMs;
  const { address, port, isOneFamily = false } = endpoint;
  // An error that nobody listens for would end the process: too many open files, say.
  server.on('error', (error) => {
    if (server.listening) acceptFailed(error);
  });
  const isAny = address === '0.0.0.0' || address === '::';
  if (!isAny || isOneFamily) {
    await opened(server, { host: address, port, ipv6Only: isOneFamily });
    return server;
  }
  try {
    await opened(server, { host: '::', port });
  } catch (error) {
    if (!noIpv6.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    await opened(server, { host: '0.0.0.0', port });
  }
  return server;
}

const noIpv6: ReadonlySet<string> = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL']);

function opened(server: Server, options: { host: string; port: number; ipv6Only?: boolean }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** Ends its connections, too; may be called again. */
export function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

export interface RetryListener {
  readonly endpoint: Endpoint;
  readonly handler: RequestListener;
  /** After each attempt that failed; true: try again, 5 seconds later. */
  readonly failed: (error: Error) => boolean;
  /** A client could not be accepted; the server goes on. */
  readonly acceptFailed?: ((error: Error) => void) | undefined;
  readonly retryMs?: number;
}

/** A server that is tried to be opened until it is. */
export class PersistentServer implements AsyncDisposable {
  readonly #options: RetryListener;
  #server: Server | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  private constructor(options: RetryListener) {
    this.#options = options;
  }

  /** Resolves after the first attempt, whether it succeeded or not. */
  static async open(options: RetryListener): Promise<PersistentServer> {
    const server = new PersistentServer(options);
    await server.#attempt();
    return server;
  }

  get isListening(): boolean {
    return this.#server !== undefined;
  }

  async #attempt(): Promise<void> {
    const { endpoint, handler, failed, acceptFailed, retryMs = 5000 } = this.#options;
    try {
      const server = await listen(endpoint, handler, acceptFailed);
      this.#server = server;
      if (this.#isClosed) await closeServer(server);
    } catch (error) {
      if (this.#isClosed || !failed(error as Error)) return;
      this.#timer = setTimeout(() => void this.#attempt(), retryMs).unref();
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    if (this.#server) await closeServer(this.#server);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
