// SPDX-License-Identifier: Apache-2.0
// A real client on a machine of the lab, driven by a test step by step.
import type { SocketAddress } from '../../../src/model/connection.ts';
import type { Host } from '../host.ts';
import type {
  Answer,
  Command,
  Failure,
  Opened,
  OpenRequest,
  TcpRequest,
  Transfer,
  UdpRequest,
} from './protocol.ts';
import { Worker } from './worker.ts';

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

interface Response {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** One process makes all requests; they run at the same time unless awaited. Whoever starts it closes it. */
export class Client {
  readonly host: Host;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | undefined;
  #end: Error | undefined;
  #lastId = 0;

  private constructor(host: Host) {
    this.host = host;
  }

  static async start(host: Host): Promise<Client> {
    const client = new Client(host);
    client.#worker = await Worker.start(
      host,
      'client-process.ts',
      '',
      (line) => client.#settle(JSON.parse(line) as Response),
      (error) => client.#rejectAll(error),
    );
    return client;
  }

  /** Makes TCP connections, each for one answer; the server closes first, so a source port can be used again at once. */
  tcp(request: TcpRequest): Promise<Answer[]> {
    return this.#call({ do: 'tcp', request });
  }

  /** Sends datagrams, each from a socket of its own. */
  udp(request: UdpRequest): Promise<Answer[]> {
    return this.#call({ do: 'udp', request });
  }

  /** Opens a connection, or a UDP socket, that lives until it is closed. Throws if connecting fails. */
  async open(request: OpenRequest): Promise<ClientConnection> {
    const opened = await this.tryOpen(request);
    if (opened instanceof ClientConnection) return opened;
    throw new Error(`Expected ${request.address}:${request.port} to accept but received "${opened.outcome}"`);
  }

  /** As {@link open}, with a failure to connect as a result. */
  async tryOpen(request: OpenRequest): Promise<ClientConnection | Failure> {
    const opened = await this.#call<Opened | Failure>({ do: 'open', request });
    if (opened.outcome !== 'open') return opened;
    return new ClientConnection(opened, (command) => this.#call(command));
  }

  /** Ends the process and with it every connection. Idempotent. */
  async close(): Promise<void> {
    await this.#worker?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #call<T>(command: Command): Promise<T> {
    if (this.#end) throw this.#end;
    const id = ++this.#lastId;
    return new Promise<T>((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve as Pending['resolve'], reject });
      this.#worker?.send(JSON.stringify({ id, ...command }));
    });
  }

  #settle(response: Response): void {
    const pending = this.#pending.get(response.id);
    this.#pending.delete(response.id);
    if (response.error === undefined) pending?.resolve(response.value);
    else pending?.reject(new Error(response.error));
  }

  #rejectAll(error: Error): void {
    this.#end = error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

/** A connection, or UDP socket, that a client holds open. After a failure other than "refused" it is closed. */
export class ClientConnection {
  /** The client's end, as its socket says. */
  readonly local: SocketAddress;
  /** The server's end, as the client believes. */
  readonly peer: SocketAddress;
  readonly #handle: number;
  readonly #call: <T>(command: Command) => Promise<T>;

  constructor(opened: Opened, call: <T>(command: Command) => Promise<T>) {
    this.local = opened.local;
    this.peer = opened.peer;
    this.#handle = opened.handle;
    this.#call = call;
  }

  /** One question, one answer. */
  ask(): Promise<Answer> {
    return this.#call({ do: 'ask', handle: this.#handle });
  }

  /** The server sends `bytes` bytes of the pattern. TCP only. */
  receive(bytes: number): Promise<Transfer | Failure> {
    return this.#call({ do: 'receive', handle: this.#handle, bytes });
  }

  /** Sends `bytes` bytes of the pattern and FIN; the report is the server's. TCP only, and its last step but close. */
  send(bytes: number): Promise<Transfer | Failure> {
    return this.#call({ do: 'send', handle: this.#handle, bytes });
  }

  /** FIN, and waits for the server's. */
  async close(): Promise<void> {
    await this.#call({ do: 'close', handle: this.#handle });
  }

  /** RST. */
  async reset(): Promise<void> {
    await this.#call({ do: 'reset', handle: this.#handle });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** How often each server answered, and each failure happened: { 'n1-pod1': 3, refused: 1 }. */
export function tally(answers: readonly Answer[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const answer of answers) {
    const name = answer.outcome === 'reply' ? answer.server : answer.outcome;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}
