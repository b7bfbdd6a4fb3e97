// SPDX-License-Identifier: Apache-2.0
// healthCheckNodePort: a server for each Service and family, which tells a load balancer whether this node has endpoints.
import type { RequestListener, Server } from 'node:http';
import type { Address, Family } from '../model/address.ts';
import { type Answer, send } from './answers.ts';
import { closeServer, listen } from './http-listener.ts';

export interface HealthCheck {
  /** "namespace/name" */
  readonly service: string;
  readonly family: Family;
  readonly port: number;
  /** Distinct addresses of ready endpoints on this node. */
  readonly localReadyEndpoints: number;
}

export interface ServiceHealthOptions {
  /** Of all families; the node's eligibility has no say. */
  readonly isProxyHealthy: () => boolean;
  /** A port cannot be opened, told once for each reason; it is tried again at each call of `set`, and 5 seconds later. */
  readonly failed: (check: HealthCheck, error: Error) => void;
  /** A client could not be accepted; the port stays open. */
  readonly acceptFailed?: ((error: Error) => void) | undefined;
  readonly retryMs?: number;
}

interface Opened {
  readonly port: number;
  readonly addresses: string;
  readonly servers: readonly Server[];
  check: HealthCheck;
}

/** Each Service's state as JSON with tabs. The weight is read by load balancers that spread by endpoints. */
export function serviceHealthAnswer(
  { service, localReadyEndpoints }: HealthCheck,
  isProxyHealthy: boolean,
): Answer {
  const [namespace = '', name = ''] = service.split('/');
  const body = {
    service: { namespace, name },
    localEndpoints: localReadyEndpoints,
    serviceProxyHealthy: isProxyHealthy,
  };
  return {
    status: localReadyEndpoints > 0 && isProxyHealthy ? 200 : 503,
    type: 'application/json',
    body: JSON.stringify(body, null, '\t'),
    headers: { 'X-Load-Balancing-Endpoint-Weight': String(localReadyEndpoints) },
  };
}

export class ServiceHealthServers implements AsyncDisposable {
  readonly #options: ServiceHealthOptions;
  readonly #opened = new Map<string, Opened>();
  /** What was told of those that cannot be opened. */
  readonly #failed = new Map<string, string>();
  #wanted: Parameters<ServiceHealthServers['set']> = [[], new Map()];
  #last: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;

  constructor(options: ServiceHealthOptions) {
    this.#options = options;
  }

  /**
   * Opens, closes and tells anew what is different; resolves when that is done. Calls are carried out one after the other.
   * `addresses` are those to listen at by family; an empty list stands for every address of the family.
   */
  set(checks: readonly HealthCheck[], addresses: ReadonlyMap<Family, readonly Address[]>): Promise<void> {
    this.#wanted = [checks, addresses];
    this.#last = this.#last.then(() => this.#set(checks, addresses));
    return this.#last;
  }

  async #set(
    checks: readonly HealthCheck[],
    addresses: ReadonlyMap<Family, readonly Address[]>,
  ): Promise<void> {
    const wanted = new Map(checks.map((check) => [`${check.service} ${check.family}`, check]));
    const listed = ({ family }: HealthCheck) => addresses.get(family) ?? [];
    for (const [key, { port, addresses: former, servers }] of this.#opened) {
      const check = wanted.get(key);
      if (check?.port === port && listed(check).join() === former) continue;
      this.#opened.delete(key);
      await Promise.all(servers.map(closeServer));
    }
    for (const key of this.#failed.keys()) if (!wanted.has(key)) this.#failed.delete(key);
    for (const [key, check] of wanted) {
      const opened = this.#opened.get(key);
      if (opened) opened.check = check;
      else await this.#open(key, check, listed(check));
    }
    this.#retryLater();
  }

  #retryLater(): void {
    clearTimeout(this.#retry);
    if (this.#failed.size === 0) return;
    const { retryMs = 5000 } = this.#options;
    this.#retry = setTimeout(() => void this.set(...this.#wanted), retryMs).unref();
  }

  async #open(key: string, check: HealthCheck, addresses: readonly Address[]): Promise<void> {
    const { port, family } = check;
    const any = family === 4 ? '0.0.0.0' : '::';
    const servers: Server[] = [];
    const handler: RequestListener = (_, response) => {
      const { check: current } = this.#opened.get(key) ?? { check };
      send(response, serviceHealthAnswer(current, this.#options.isProxyHealthy()));
    };
    try {
      for (const address of addresses.length === 0 ? [any] : addresses)
        servers.push(await listen({ address, port, isOneFamily: true }, handler, this.#options.acceptFailed));
      this.#opened.set(key, { port, addresses: addresses.join(), servers, check });
      this.#failed.delete(key);
    } catch (error) {
      await Promise.all(servers.map(closeServer));
      const { message } = error as Error;
      if (this.#failed.get(key) === message) return;
      this.#failed.set(key, message);
      this.#options.failed(check, error as Error);
    }
  }

  async close(): Promise<void> {
    await this.set([], new Map());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
