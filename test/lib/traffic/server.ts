// SPDX-License-Identifier: Apache-2.0
// Real TCP and UDP servers on a machine of the lab, for tests.
import type { Host } from '../host.ts';
import type { ServerConfig } from './server-process.ts';
import { Worker } from './worker.ts';

export interface ServerOptions {
  /** Ports, in host order. */
  readonly tcp?: readonly number[];
  readonly udp?: readonly number[];
  /** The name that answers carry; the machine's if not given. */
  readonly name?: string;
  /** The address to listen on; "::", which serves both families, if not given. */
  readonly address?: string;
}

/** A server process that listens. Whoever starts it closes it. */
export class Server {
  readonly name: string;
  readonly host: Host;
  readonly #worker: Worker;

  private constructor(name: string, host: Host, worker: Worker) {
    this.name = name;
    this.host = host;
    this.#worker = worker;
  }

  /** Resolves once every port listens; rejects with the server's words if one cannot. */
  static async start(host: Host, options: ServerOptions): Promise<Server> {
    const config: ServerConfig = { name: host.name, tcp: [], udp: [], address: '::', ...options };
    return new Server(
      config.name,
      host,
      await Worker.start(host, 'server-process.ts', JSON.stringify(config)),
    );
  }

  /** Ends the server as a crash would. Idempotent. */
  close(): Promise<void> {
    return this.#worker.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The same servers on several machines, closed together. */
export class Servers {
  readonly all: readonly Server[];

  private constructor(all: readonly Server[]) {
    this.all = all;
  }

  static async start(hosts: readonly Host[], options: ServerOptions): Promise<Servers> {
    return new Servers(await Promise.all(hosts.map((host) => Server.start(host, options))));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map((server) => server.close()));
  }
}
