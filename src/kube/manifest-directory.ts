// SPDX-License-Identifier: Apache-2.0
// A folder of manifests that is followed as it changes.
import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { ClusterObjects } from '../model/cluster.ts';
import { ManifestStore } from './manifest-store.ts';

/** An editor's several writes, and a swap of many files, are one change. */
const debounceMs = 50;
/** For what gives no event: network file systems, files behind links, a folder that is replaced. */
const rescanMs = 1000;

/** What a follower calls; neither may throw. */
export interface ManifestListener {
  /**
   * All objects of all files, at the beginning and after each change.
   * @param unread files of the beginning that have not been read without a problem yet: objects may be missing
   */
  objectsChanged(objects: ClusterObjects, unread: readonly string[]): void;
  /** Lines for a person to read, each once for the change that brought it up. */
  problemsFound(problems: readonly string[]): void;
}

/**
 * Follows changes in place, renames over a file, and swaps of a link that the files are behind (ConfigMap volumes).
 * While the folder is missing everything stays as it was; deleted files in a folder that exists are deletions.
 */
export class ManifestDirectory implements AsyncDisposable {
  readonly #directory: string;
  readonly #listener: ManifestListener;
  readonly #store: ManifestStore;
  readonly #closing = new AbortController();
  #watcher: FSWatcher | undefined;
  /** Device and inode of the folder that the watcher holds, which may not be the one at the path any more. */
  #watched = '';
  #timer: NodeJS.Timeout | undefined;
  #dueMs = Number.POSITIVE_INFINITY;
  #look: Promise<void> = Promise.resolve();
  #isMissing = false;

  private constructor(directory: string, listener: ManifestListener) {
    this.#directory = directory;
    this.#listener = listener;
    this.#store = new ManifestStore(directory);
  }

  /** Resolves when the first objects have been told. Rejects with what node:fs throws where there is no such folder. */
  static async open(directory: string, listener: ManifestListener): Promise<ManifestDirectory> {
    const opened = new ManifestDirectory(directory, listener);
    try {
      await opened.#scan(true);
    } catch (error) {
      await opened.close();
      throw error;
    }
    return opened;
  }

  /** After it has resolved the listener is not called any more. */
  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    this.#watcher?.close();
    await this.#look;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Watches before it looks, so that no change falls between. */
  async #scan(isFirst: boolean): Promise<void> {
    this.#dueMs = Number.POSITIVE_INFINITY;
    await this.#rewatch();
    const { objects, problems, hasChanged, isUnsettled, unread } = await this.#store.scan(
      this.#closing.signal,
    );
    if (this.#closing.signal.aborted) return;
    this.#isMissing = false;
    if (problems.length > 0) this.#listener.problemsFound(problems);
    if (hasChanged || isFirst) this.#listener.objectsChanged(objects, unread);
    this.#schedule(isUnsettled ? debounceMs : rescanMs);
  }

  async #rewatch(): Promise<void> {
    const { dev, ino } = await stat(this.#directory);
    if (this.#watched === `${dev} ${ino}` || this.#closing.signal.aborted) return;
    this.#watcher?.close();
    try {
      this.#watcher = watch(this.#directory, () => this.#schedule(debounceMs));
      this.#watcher.on('error', () => this.#schedule(debounceMs));
      this.#watched = `${dev} ${ino}`;
    } catch {
      // Out of inotify watches, say. The regular look finds changes too, and tries again to watch.
      this.#watcher = undefined;
    }
  }

  /** Looks again after this time at the latest; a look that is already due earlier stays. */
  #schedule(delayMs: number): void {
    const dueMs = performance.now() + delayMs;
    if (this.#closing.signal.aborted || dueMs >= this.#dueMs) return;
    this.#dueMs = dueMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#look = this.#look.then(() => this.#scan(false)).catch((error: unknown) => this.#failed(error));
    }, delayMs);
  }

  #failed(error: unknown): void {
    if (this.#closing.signal.aborted) return;
    if (!this.#isMissing) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#listener.problemsFound([`${this.#directory}: ${reason}; what was read before stays`]);
    }
    this.#isMissing = true;
    this.#watched = '';
    this.#schedule(rescanMs);
  }
}
