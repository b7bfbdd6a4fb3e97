// SPDX-License-Identifier: Apache-2.0
// Requests to an API server: JSON out, JSON or a stream of JSON lines back.
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { buffer } from 'node:stream/consumers';
import { lines } from '../kube/lines.ts';
import { ApiError, ApiSilence } from './api-error.ts';
import type { ApiServer } from './kube-config.ts';

export interface ApiRequest {
  readonly method?: 'GET' | 'POST' | 'PATCH';
  /** "/api/v1/services" */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly contentType?: string;
  /** So long may the server say nothing, before its answer and within it. */
  readonly silenceMs: number;
  readonly signal: AbortSignal;
}

/** An answer is read for as long as this at most, whatever is wrong with the server. */
const maxErrorBytes = 1 << 16;

interface OpenAnswer {
  readonly response: IncomingMessage;
  /** Why we ended the answer, if it was us. */
  readonly cause: () => Error | undefined;
}

const userAgent = `bpvs (${process.platform}/${process.arch})`;

/** How often each status came, for the metrics of the client. */
export type ApiObserver = (request: {
  readonly method: string;
  readonly status: number;
  readonly durationMs: number;
}) => void;

export class ApiClient {
  readonly server: ApiServer;
  readonly #observe: ApiObserver;

  constructor(server: ApiServer, observe: ApiObserver = () => {}) {
    this.server = server;
    this.#observe = observe;
  }

  /**
   * The whole answer. Rejects with ApiError for every status but 2xx, ApiSilence, the error of a connection or of
   * authentication, SyntaxError for what is no JSON, and with what `signal` aborts with.
   */
  async json(request: ApiRequest): Promise<unknown> {
    const { response, cause } = await this.#open(request);
    const body = await buffer(response).catch((error: unknown) => {
      throw cause() ?? error;
    });
    return JSON.parse(body.toString('utf8'));
  }

  /** Each line of the answer as a value; rejects as {@link json}. Ends when the server ends the answer. */
  async *stream(request: ApiRequest): AsyncGenerator<unknown> {
    const { response, cause } = await this.#open(request);
    try {
      for await (const line of lines(response)) if (line !== '') yield JSON.parse(line);
    } catch (error) {
      throw cause() ?? error;
    } finally {
      response.destroy();
    }
  }

  async #open(request: ApiRequest): Promise<OpenAnswer> {
    const { method = 'GET', silenceMs, signal } = request;
    signal.throwIfAborted();
    const startMs = performance.now();
    const answer = await this.#send(request);
    const { response } = answer;
    const status = response.statusCode ?? 0;
    this.#observe({ method, status, durationMs: performance.now() - startMs });
    if (status >= 200 && status < 300) return answer;
    throw refusal(request, status, response.headers['retry-after'], await start(response, silenceMs));
  }

  async #send({ method = 'GET', path, query = {}, body, contentType, silenceMs, signal }: ApiRequest) {
    const options = await this.server.requestOptions();
    const url = new URL(this.server.url);
    url.pathname = `${url.pathname.replace(/\/$/, '')}${path}`;
    url.search = new URLSearchParams(query).toString();
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      ...options.headers,
      accept: 'application/json',
      'user-agent': userAgent,
      ...(payload !== undefined && {
        'content-type': contentType ?? 'application/json',
        'content-length': Buffer.byteLength(payload),
      }),
    };
    const { promise, resolve, reject } = Promise.withResolvers<OpenAnswer>();
    let silence: ApiSilence | undefined;
    const { request } = url.protocol === 'http:' ? http : https;
    const message = request(url, { ...options, method, headers, signal }, (response) =>
      resolve({ response, cause: () => silence }),
    );
    // On the socket: it counts what comes in, be it before the answer or within it.
    message.setTimeout(silenceMs, () => {
      silence = new ApiSilence(`${method} ${path}`, silenceMs);
      message.destroy(silence);
    });
    message.on('error', reject);
    message.end(payload);
    return promise;
  }
}

/** The beginning of an answer that is to be told, but not trusted. */
async function start(response: IncomingMessage, silenceMs: number): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  const tooLong = setTimeout(() => response.destroy(), silenceMs);
  try {
    for await (const chunk of response) {
      parts.push(chunk);
      size += chunk.length;
      if (size > maxErrorBytes) break;
    }
  } catch {
    // The status says enough.
  } finally {
    clearTimeout(tooLong);
    response.destroy();
  }
  return Buffer.concat(parts).toString('utf8');
}

function refusal(
  { method = 'GET', path }: ApiRequest,
  status: number,
  retryAfter: string | undefined,
  text: string,
): ApiError {
  let told: { readonly reason?: unknown; readonly message?: unknown } = {};
  try {
    told = JSON.parse(text) ?? {};
  } catch {
    // Not from the API server itself, but from something in front of it.
  }
  const message = typeof told.message === 'string' ? `: ${told.message}` : '';
  const reason = typeof told.reason === 'string' ? told.reason : '';
  const seconds = retryAfter !== undefined && /^\d+$/.test(retryAfter) ? Number(retryAfter) : undefined;
  return new ApiError(
    status,
    reason,
    `${method} ${path}: the API server answered ${status}${message}`,
    seconds === undefined ? undefined : seconds * 1000,
  );
}
