// SPDX-License-Identifier: Apache-2.0
// Events on Services, for those who look at them with kubectl.
import { randomBytes } from 'node:crypto';
import type { ApiClient } from './api-client.ts';

/** What is said of a Service. */
export interface ServiceEvent {
  /** "namespace/name" */
  readonly service: string;
  /** Without it `kubectl describe` does not show the event. */
  readonly uid: string | undefined;
  /** One word in CamelCase. */
  readonly reason: string;
  readonly action: string;
  readonly note: string;
}

/** So many at once, and then one each so many milliseconds: each node of the cluster says the same. */
const burst = 25;
const refillMs = 12_000;
const silenceMs = 10_000;
/** What the API takes of a note. */
const maxNoteLength = 1024;

const path = (namespace: string) => `/apis/events.k8s.io/v1/namespaces/${namespace}/events`;

/** Whatever does not get through is left out: events are news, and what is true stays in the log. */
export class EventPoster implements Disposable {
  readonly #client: ApiClient;
  readonly #node: string;
  readonly #failed: (error: Error) => void;
  readonly #now: () => number;
  readonly #closing = new AbortController();
  #tokens = burst;
  #refilledMs: number;

  /** `now` tells milliseconds since 1970. */
  constructor(client: ApiClient, node: string, failed: (error: Error) => void, now: () => number = Date.now) {
    this.#client = client;
    this.#node = node;
    this.#failed = failed;
    this.#now = now;
    this.#refilledMs = now();
  }

  /** Resolves when it is posted, or left out. */
  async warn(event: ServiceEvent): Promise<void> {
    if (!this.#take()) return;
    const [namespace = '', name = ''] = event.service.split('/');
    try {
      await this.#client.json({
        method: 'POST',
        path: path(namespace),
        body: this.#body(namespace, name, event),
        silenceMs,
        signal: this.#closing.signal,
      });
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#failed(error as Error);
    }
  }

  close(): void {
    this.#closing.abort();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #take(): boolean {
    const nowMs = this.#now();
    const refilled = Math.floor((nowMs - this.#refilledMs) / refillMs);
    if (refilled > 0) {
      this.#tokens = Math.min(burst, this.#tokens + refilled);
      this.#refilledMs += refilled * refillMs;
    }
    if (this.#tokens === 0) return false;
    this.#tokens--;
    return true;
  }

  #body(namespace: string, name: string, { uid, reason, action, note }: ServiceEvent) {
    return {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      // As client-go names them; each node of the cluster may post one at the same time.
      metadata: { name: `${name}.${this.#now().toString(16)}${randomBytes(4).toString('hex')}`, namespace },
      eventTime: new Date(this.#now()).toISOString().replace('Z', '000Z'),
      reportingController: 'kube-proxy',
      reportingInstance: `kube-proxy-${this.#node}`,
      type: 'Warning',
      reason,
      action,
      note: note.slice(0, maxNoteLength),
      regarding: { apiVersion: 'v1', kind: 'Service', namespace, name, ...(uid && { uid }) },
    };
  }
}
