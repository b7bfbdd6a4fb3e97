// SPDX-License-Identifier: Apache-2.0
// Where the API server is and how to authenticate there: a kubeconfig file, or a pod's own environment.
import { existsSync, readFileSync } from 'node:fs';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent, type RequestOptions } from 'node:https';
import { dirname, resolve } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { load } from 'js-yaml';
import { InputError } from '../errors.ts';

export interface ApiServerOptions {
  /** A kubeconfig file; undefined: that of a pod, or none at all where `master` is given. */
  readonly kubeconfig?: string | undefined;
  /** The server's URL in place of the kubeconfig's. */
  readonly master?: string | undefined;
}

/** The server, and what each request to it needs. */
export interface ApiServer {
  readonly url: URL;
  /**
   * TLS settings, agent and headers, with credentials as they are now: files are read again, plugins asked again when what
   * they gave has expired. Rejects with whatever hinders that.
   */
  requestOptions(): Promise<RequestOptions>;
}

/** The peer's silence after which the kernel asks whether it still lives; Node.js then asks each second, ten times. */
const keepAliveMs = 15_000;

const podTokenFile = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** Throws InputError where the kubeconfig cannot be used. */
export async function findApiServer(options: ApiServerOptions): Promise<ApiServer> {
  if (!options.kubeconfig && !options.master) checkPod();
  // Only here: it takes most of a second.
  const { KubeConfig } = await import('@kubernetes/client-node/dist/config.js');
  const config = new KubeConfig();
  try {
    fill(config, options);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw unusable(options.kubeconfig ?? '', firstLine(error), error);
  }
  const cluster = config.getCurrentCluster();
  if (!cluster) throw unusable(options.kubeconfig ?? '', 'its current context names no cluster of it');
  const url = parseUrl(options.master || cluster.server);
  // KubeConfig refuses http otherwise, where kubectl and kube-proxy do not.
  const isPlain = url.protocol === 'http:';
  config.clusters = [{ ...cluster, server: url.href, skipTLSVerify: isPlain || cluster.skipTLSVerify }];
  return new ConfiguredServer(url, config);
}

function checkPod(): void {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  if (host && port && existsSync(podTokenFile)) return;
  throw new InputError(
    'Expected --kubeconfig, --master or the environment of a pod with a service account but received none of them',
  );
}

function fill(config: KubeConfig, { kubeconfig, master }: ApiServerOptions): void {
  if (kubeconfig) {
    config.loadFromFile(kubeconfig);
    useTokenFiles(config, kubeconfig);
  } else if (master) {
    config.loadFromClusterAndUser(
      { name: 'master', server: master, skipTLSVerify: false },
      { name: 'nobody' },
    );
  } else {
    config.loadFromCluster();
  }
  // Without a user KubeConfig also leaves out what TLS needs.
  if (!config.getCurrentUser()) config.users = [{ name: config.getCurrentContext() ? userName(config) : '' }];
}

function userName(config: KubeConfig): string {
  return config.getContextObject(config.getCurrentContext())?.user ?? '';
}

/** KubeConfig does not know `tokenFile`, which kubeadm writes; its authenticator for pods reads such files each minute. */
function useTokenFiles(config: KubeConfig, file: string): void {
  const document = load(readFileSync(file, 'utf8')) as {
    readonly users?: readonly { readonly name?: string; readonly user?: { readonly tokenFile?: string } }[];
  };
  const files = new Map(document.users?.map(({ name, user }) => [name, user?.tokenFile]));
  config.users = config.users.map((user) => {
    const tokenFile = files.get(user.name);
    if (!tokenFile) return user;
    const { token, ...rest } = user;
    return {
      ...rest,
      authProvider: { name: 'tokenFile', config: { tokenFile: resolve(dirname(file), tokenFile) } },
    };
  });
}

class ConfiguredServer implements ApiServer {
  readonly url: URL;
  readonly #config: KubeConfig;
  /** The agent of the newest credentials, which keeps its connections. */
  #agent: HttpAgent | undefined;
  #agentIsFor = '';

  constructor(url: URL, config: KubeConfig) {
    this.url = url;
    this.#config = config;
  }

  async requestOptions(): Promise<RequestOptions> {
    const options: RequestOptions = {};
    await this.#config.applyToHTTPSOptions(options);
    const headers = trimmed(options.headers as Readonly<Record<string, string>> | undefined);
    // A proxy's agent has the credentials of its making, as KubeConfig keeps it.
    if (this.#config.getCurrentCluster()?.proxyUrl) return { ...options, headers };
    return { ...options, headers, agent: this.#agentFor(options) };
  }

  /** An agent's own TLS settings go before those of a request, so that new ones need a new agent. */
  #agentFor({ ca, cert, key, servername, rejectUnauthorized }: RequestOptions): HttpAgent {
    const settings = { ca, cert, key, servername, rejectUnauthorized };
    const isFor = JSON.stringify([`${ca}`, `${cert}`, `${key}`, servername, rejectUnauthorized]);
    if (this.#agent && this.#agentIsFor === isFor) return this.#agent;
    const common = { keepAlive: true, keepAliveMsecs: keepAliveMs };
    const given = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
    this.#agentIsFor = isFor;
    this.#agent =
      this.url.protocol === 'http:' ? new HttpAgent(common) : new HttpsAgent({ ...common, ...given });
    return this.#agent;
  }
}

/** Files of tokens may end with a line end, which no header may hold. */
function trimmed(headers: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name, value.trim()]));
}

function parseUrl(text: string): URL {
  const url = URL.parse(text);
  if (url && /^https?:$/.test(url.protocol)) return url;
  throw new InputError(`Expected an http or https URL for the API server but received "${text}"`);
}

function unusable(file: string, reason: string, cause?: unknown): InputError {
  return new InputError(`Expected a usable kubeconfig for --kubeconfig but received "${file}": ${reason}`, {
    cause,
  });
}

/** A parser's message goes on with a picture of the place. */
function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? '';
}
