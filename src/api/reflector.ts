// SPDX-License-Identifier: Apache-2.0
// A copy of the objects of one kind that an API server has, kept up by a list and a watch.
import { setTimeout } from 'node:timers/promises';
import type { ApiClient } from './api-client.ts';
import { ApiError, ApiSilence } from './api-error.ts';
import { Backoff } from './backoff.ts';
import { isOlder, type RawObject, type Resource, readEvent, readPage } from './resource.ts';

export interface ReflectorListener<T> {
  /** An object is new or different; undefined: it is gone. Not called for what stays as it was. */
  changed(key: string, object: T | undefined): void;
  /** The first list has been told completely. */
  synced(): void;
  /** A sentence about the server; what is known stays. */
  problem(message: string): void;
  /** The watch works again after a problem. */
  recovered(): void;
}

/** Tests have shorter times and smaller pages. */
export interface ReflectorSettings {
  /** Of requests that are answered at once, and between two pieces of an answer. */
  readonly silenceMs: number;
  /** Of a watch: the server sends a bookmark each minute where nothing happens. */
  readonly watchSilenceMs: number;
  /** A watch is asked to end after this time, and up to twice as long. */
  readonly watchSeconds: number;
  /** A list that is older than what is known is not believed before this time has passed. */
  readonly staleMs: number;
  /** From a failure to the next try, at first. */
  readonly retryMs: number;
  /** Objects in one page of a list. */
  readonly pageSize: number;
}

export const defaultSettings: ReflectorSettings = {
  silenceMs: 30_000,
  watchSilenceMs: 150_000,
  watchSeconds: 300,
  staleMs: 300_000,
  retryMs: 800,
  pageSize: 500,
};

/** A watch that lived so long did well: the next one may begin at once. */
const healthyMs = 5_000;

interface Entry<T> {
  readonly version: string;
  readonly uid: string;
  /** The last valid state; undefined if there was none. */
  readonly object: T | undefined;
}

/**
 * Never takes an object for deleted but by an event that says so, or by a whole list that is not older than what is known:
 * while the server is away, refuses, stalls or tells nonsense, everything stays as it is.
 * Lists are consistent reads (no resourceVersion), so that a server that lags behind cannot answer with its past.
 */
export class Reflector<T> implements AsyncDisposable {
  readonly #client: ApiClient;
  readonly #resource: Resource;
  readonly #read: (object: RawObject) => T | undefined;
  readonly #listener: ReflectorListener<T>;
  readonly #settings: ReflectorSettings;
  readonly #closing = new AbortController();
  readonly #backoff: Backoff;
  readonly #ended: Promise<void>;
  #entries = new Map<string, Entry<T>>();
  /** Up to where everything is known; empty before the first list. */
  #version = '';
  #mustList = true;
  #isPaged = true;
  #isSynced = false;
  #hasProblem = false;
  #staleSinceMs: number | undefined;
  /** Infinity: it has not begun. */
  #watchStartMs = Number.POSITIVE_INFINITY;
  /** Watches in a row that failed without an event. */
  #failedWatches = 0;

  /**
   * Begins at once.
   * @param read the checked object, or undefined where it cannot be used: then its former state stays
   */
  constructor(
    client: ApiClient,
    resource: Resource,
    read: (object: RawObject) => T | undefined,
    listener: ReflectorListener<T>,
    settings: ReflectorSettings = defaultSettings,
  ) {
    this.#client = client;
    this.#resource = resource;
    this.#read = read;
    this.#listener = listener;
    this.#settings = settings;
    this.#backoff = new Backoff(settings.retryMs);
    this.#ended = this.#run();
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  uidOf(key: string): string | undefined {
    return this.#entries.get(key)?.uid;
  }

  /** After it has resolved the listener is not called any more. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const failure = await this.#follow().catch((error: unknown) => error as Error);
      if (signal.aborted) return;
      // The watch alone: a list that takes long and fails each time must not be asked for without a pause.
      const isHealthy = performance.now() - this.#watchStartMs >= healthyMs;
      if (isHealthy) this.#backoff.reset();
      if (failure) {
        await this.#failed(failure);
        continue;
      }
      this.#failedWatches = 0;
      if (!isHealthy) await this.#pause(0);
    }
  }

  /** Lists where that is needed, and watches until the watch ends; resolves if it ended in order. */
  async #follow(): Promise<void> {
    this.#watchStartMs = Number.POSITIVE_INFINITY;
    if (this.#mustList) await this.#list();
    this.#watchStartMs = performance.now();
    await this.#watch();
  }

  async #failed(error: Error): Promise<void> {
    const { kind } = this.#resource;
    if (error instanceof ApiError) {
      // Too large: the server does not know the version yet, or, after a restore, never will.
      if (error.isExpired || /too large resource version/i.test(error.message)) this.#mustList = true;
    }
    if (this.#isWatchInDoubt(error)) this.#mustList = true;
    const code = (error as NodeJS.ErrnoException).code;
    const isForeign = !(error instanceof ApiError) && code !== undefined && !error.message.includes(code);
    if (!(error instanceof ApiError && error.isExpired)) {
      this.#hasProblem = true;
      this.#listener.problem(`${kind}: ${error.message}${isForeign ? ` (${code})` : ''}`);
    }
    await this.#pause(error instanceof ApiError ? error.retryAfterMs : undefined);
  }

  /** A store that was restored to an older state says nothing to who watches from a later version: only a list tells it. */
  #isWatchInDoubt(error: Error): boolean {
    if (this.#watchStartMs === Number.POSITIVE_INFINITY) return false;
    this.#failedWatches++;
    return error instanceof ApiSilence || this.#failedWatches >= 2;
  }

  async #pause(atLeastMs: number | undefined): Promise<void> {
    const { signal } = this.#closing;
    await setTimeout(this.#backoff.next(atLeastMs), undefined, { signal, ref: true }).catch(() => {});
  }

  async #list(): Promise<void> {
    const found = new Map<string, Entry<T>>();
    let version = '';
    let next = '';
    do {
      const page = await this.#page(next);
      for (const raw of page.objects) found.set(raw.key, this.#entry(raw, this.#entries.get(raw.key)));
      // Every page tells the state of the first one.
      version ||= page.version;
      next = page.next;
    } while (next !== '');
    this.#refuseStale(version);
    this.#isPaged = true;
    this.#mustList = false;
    this.#failedWatches = 0;
    this.#replace(found, version);
  }

  async #page(next: string) {
    const { path, selectors } = this.#resource;
    const query = {
      ...selectors,
      ...(this.#isPaged && { limit: String(this.#settings.pageSize) }),
      ...(next !== '' && { continue: next }),
    };
    const { silenceMs } = this.#settings;
    try {
      const answer = await this.#client.json({ path, query, silenceMs, signal: this.#closing.signal });
      return readPage(this.#resource, answer);
    } catch (error) {
      // The store has forgotten that state while the pages were read: next time all at once.
      if (next !== '' && error instanceof ApiError && error.isExpired) this.#isPaged = false;
      throw error;
    }
  }

  /**
   * A server that was cut off from its store, or has been given another store, answers with less than we know. It is not
   * believed until it has told so for a while: then the store has been restored from a backup.
   */
  #refuseStale(version: string): void {
    const nowMs = performance.now();
    if (!isOlder(version, this.#version)) {
      this.#staleSinceMs = undefined;
      return;
    }
    this.#staleSinceMs ??= nowMs;
    if (nowMs - this.#staleSinceMs >= this.#settings.staleMs) return;
    throw new ApiError(
      0,
      'Stale',
      `the API server's list is of version ${version}, older than ${this.#version}, which is known: it is not believed yet`,
    );
  }

  #replace(found: Map<string, Entry<T>>, version: string): void {
    const former = this.#entries;
    this.#entries = found;
    this.#version = version;
    for (const [key, { object }] of former) {
      if (!found.has(key) && object !== undefined) this.#listener.changed(key, undefined);
    }
    for (const [key, { object }] of found) {
      if (object !== former.get(key)?.object) this.#listener.changed(key, object);
    }
    this.#recovered();
    if (this.#isSynced) return;
    this.#isSynced = true;
    this.#listener.synced();
  }

  async #watch(): Promise<void> {
    const { path, selectors } = this.#resource;
    const seconds = Math.round(this.#settings.watchSeconds * (1 + Math.random()));
    const events = this.#client.stream({
      path,
      query: {
        ...selectors,
        watch: 'true',
        allowWatchBookmarks: 'true',
        resourceVersion: this.#version,
        timeoutSeconds: String(seconds),
      },
      silenceMs: this.#settings.watchSilenceMs,
      signal: this.#closing.signal,
    });
    for await (const line of events) {
      const event = readEvent(this.#resource, line);
      if (this.#closing.signal.aborted) return;
      this.#backoff.reset();
      this.#failedWatches = 0;
      this.#recovered();
      if (event.type === 'bookmark') {
        this.#reached(event.version);
        continue;
      }
      this.#take(event.type, event.object);
      this.#reached(event.object.version);
    }
  }

  #take(type: 'changed' | 'deleted', raw: RawObject): void {
    const known = this.#entries.get(raw.key);
    // What a server repeats that lags behind the one before it.
    if (known && isOlder(raw.version, known.version)) return;
    if (type === 'deleted') {
      this.#entries.delete(raw.key);
      if (known?.object !== undefined) this.#listener.changed(raw.key, undefined);
      return;
    }
    const entry = this.#entry(raw, known);
    this.#entries.set(raw.key, entry);
    if (entry.object !== known?.object) this.#listener.changed(raw.key, entry.object);
  }

  #entry(raw: RawObject, known: Entry<T> | undefined): Entry<T> {
    const { version, uid } = raw;
    if (known?.version === version) return known;
    const former = known?.uid === uid ? known.object : undefined;
    return { version, uid, object: this.#read(raw) ?? former };
  }

  #reached(version: string): void {
    if (!isOlder(version, this.#version)) this.#version = version;
  }

  #recovered(): void {
    if (!this.#hasProblem) return;
    this.#hasProblem = false;
    this.#listener.recovered();
  }
}
