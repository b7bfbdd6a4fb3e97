// SPDX-License-Identifier: Apache-2.0
// The HTTP servers of an agent, as its settings ask for them.
import type { AgentSettings, Listener } from '../config/agent-settings.ts';
import { EnvironmentError } from '../errors.ts';
import { formatAddressPort } from '../model/address.ts';
import { PersistentServer } from '../server/http-listener.ts';
import { type HealthObserver, type NodeEligibility, proxyHealthHandler } from '../server/proxy-health.ts';
import { type HealthCheck, ServiceHealthServers } from '../server/service-health.ts';
import { type StatusPages, statusHandler } from '../server/status-pages.ts';
import { SyncHealth } from '../server/sync-health.ts';
import type { Log } from './log.ts';

export interface ServerOptions {
  readonly settings: Pick<
    AgentSettings,
    'healthz' | 'metrics' | 'mustListen' | 'syncPeriodMs' | 'mode' | 'nodeName'
  >;
  /** For /configz. */
  readonly configuration: unknown;
  readonly pages?: StatusPages['pages'];
  readonly log: Log;
  readonly observeHealth?: HealthObserver;
  /** A health-check node port that cannot be opened: an Event on the Service. */
  readonly healthCheckFailed?: (check: HealthCheck, message: string) => void;
}

export class Servers implements AsyncDisposable {
  /** Whoever syncs tells it. */
  readonly health: SyncHealth;
  readonly serviceHealth: ServiceHealthServers;
  /** The own Node as it is last known; undefined: it has not been seen. */
  node: NodeEligibility | undefined;
  readonly #options: ServerOptions;
  readonly #resources = new AsyncDisposableStack();

  private constructor(options: ServerOptions) {
    this.#options = options;
    this.health = new SyncHealth(2 * options.settings.syncPeriodMs);
    this.serviceHealth = this.#resources.use(
      new ServiceHealthServers({
        isProxyHealthy: () => this.health.read().isHealthy,
        failed: (check, error) => this.#healthCheckFailed(check, error),
        acceptFailed: (error) => this.#acceptFailed('health check port', error),
      }),
    );
  }

  /** Throws EnvironmentError where a server has to listen (bindAddressHardFail) and cannot. */
  static async open(options: ServerOptions): Promise<Servers> {
    const { settings, configuration, pages, observeHealth } = options;
    const servers = new Servers(options);
    try {
      const health = proxyHealthHandler(servers.health, () => servers.node, observeHealth);
      await servers.#open('health server', settings.healthz, health);
      const status = statusHandler({ mode: settings.mode, configuration, ...(pages && { pages }) });
      await servers.#open('metrics server', settings.metrics, status);
      return servers;
    } catch (error) {
      await servers.close();
      throw error;
    }
  }

  async #open(
    what: string,
    endpoint: Listener | undefined,
    handler: ReturnType<typeof statusHandler>,
  ): Promise<void> {
    if (!endpoint) return;
    const { log, settings } = this.#options;
    const address = formatAddressPort(endpoint.address, endpoint.port);
    let last: Error | undefined;
    const failed = (error: Error) => {
      last = error;
      if (!settings.mustListen)
        log('error', `${what} not opened, it will be tried again`, { address, reason: error.message });
      return !settings.mustListen;
    };
    const acceptFailed = (error: Error) => this.#acceptFailed(what, error);
    const server = this.#resources.use(
      await PersistentServer.open({ endpoint, handler, failed, acceptFailed }),
    );
    if (server.isListening || !settings.mustListen) return;
    throw new EnvironmentError(
      `Expected ${address} to be free for the ${what} (bindAddressHardFail is set): ${last?.message}`,
      { cause: last },
    );
  }

  #acceptFailed(what: string, { message }: Error): void {
    this.#options.log('warning', `${what} could not accept a client`, { reason: message });
  }

  #healthCheckFailed(check: HealthCheck, error: Error): void {
    const { settings, log, healthCheckFailed } = this.#options;
    const { service, port } = check;
    log('error', 'health check port not opened, it will be tried again', {
      service,
      port,
      reason: error.message,
    });
    const message = `node ${settings.nodeName} failed to start healthcheck "${service}" on port ${port}: ${error.message}`;
    healthCheckFailed?.(check, message);
  }

  close(): Promise<void> {
    return this.#resources.disposeAsync();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
