// SPDX-License-Identifier: Apache-2.0
// What is known of a folder's manifests, and how one look at the folder changes that.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ClusterObjects } from '../model/cluster.ts';
import { type Ingested, nothing } from './ingest.ts';
import { loadManifest } from './load-manifest.ts';
import { isManifestName, type Manifest, unreadable } from './manifest-file.ts';
import { losesObjects, mergeManifests, withFormer } from './merge.ts';
import { oneLine } from './one-line.ts';

/** The signature of folders and the like, which hold no objects whatever they are called. */
const noFile = 'no file';
/** A file written to within this time may be half a file. */
const settleMs = 50;
/** One that has lost objects, or that was half a file when the process began, may be one whose writer pauses. */
const stableMs = 1000;

export interface Scan {
  readonly objects: ClusterObjects;
  /** The problems of the files that changed since the last scan, and the duplicates that came up. */
  readonly problems: readonly string[];
  readonly hasChanged: boolean;
  /** Some file was left alone because it is just being written: look again soon. */
  readonly isUnsettled: boolean;
  /** Files of the first look that were never read without a problem, or have no document: objects that were there before may be missing. */
  readonly unread: readonly string[];
}

/** One look at a file, which is read only if there is no problem with it. */
interface Look {
  readonly signature: string;
  readonly isSettled: boolean;
  readonly changedMs: number;
  readonly problem?: string;
}

/** A signature that has to stay as it is for a while before it counts. */
interface Wait {
  readonly signature: string;
  readonly sinceMs: number;
}

interface KnownFile {
  /** Empty if the file is to be read once more. */
  readonly signature: string;
  readonly objects: Ingested;
  readonly isComplete: boolean;
}

function unreadableLook(signature: string, problem: string): Look {
  return { signature, problem, isSettled: true, changedMs: 0 };
}

export class ManifestStore {
  readonly #directory: string;
  readonly #now: () => number;
  readonly #files = new Map<string, KnownFile>();
  readonly #waits = new Map<string, Wait>();
  #duplicates: readonly string[] = [];
  #objects: ClusterObjects = nothing;
  #isFirst = true;

  /** `now` tells the time that files are stamped with, in milliseconds since 1970. */
  constructor(directory: string, now: () => number = Date.now) {
    this.#directory = directory;
    this.#now = now;
  }

  /**
   * Reads what is new or different by inode, size or time. An object that is not valid any more stays as it was, and so
   * do all objects of a file that is not readable any more, or has no document any more; what is gone is gone. A file that
   * has lost objects counts once it has been as it is for a second. Rejects with what node:fs throws where there is no
   * such folder, the known files being kept. The first look takes files as they are; those that were just written are
   * unread until they have been as they are for a second.
   */
  async scan(signal?: AbortSignal): Promise<Scan> {
    const names = readdirSync(this.#directory).filter(isManifestName).sort();
    const problems: string[] = [];
    let hasChanged = false;
    let isUnsettled = false;
    const present = new Set<string>();
    for (const name of names) {
      const look = this.#look(name);
      if (!look) continue;
      present.add(name);
      if (look.signature === this.#files.get(name)?.signature) continue;
      const found = this.#isDue(name, look) ? await this.#read(name, look, signal) : undefined;
      problems.push(...(found ?? []));
      hasChanged ||= found !== undefined;
      isUnsettled ||= found === undefined || this.#waits.has(name);
    }
    this.#isFirst = false;
    for (const name of this.#files.keys()) {
      if (present.has(name)) continue;
      hasChanged = this.#files.delete(name);
      this.#waits.delete(name);
    }
    if (hasChanged) problems.push(...this.#merge());
    const unread = [...this.#files].filter(([, file]) => !file.isComplete).map(([name]) => name);
    return { objects: this.#objects, problems, hasChanged, isUnsettled, unread };
  }

  /** Returns the duplicates that were not there before. */
  #merge(): readonly string[] {
    const { objects, problems } = mergeManifests(
      new Map([...this.#files].map(([name, each]) => [name, each.objects])),
    );
    const former = new Set(this.#duplicates);
    this.#objects = objects;
    this.#duplicates = problems;
    return problems.filter((line) => !former.has(line));
  }

  /** Undefined if the file is gone, or a link to nothing; what else keeps it from being looked at is a problem of it. */
  #look(name: string): Look | undefined {
    try {
      const stats = statSync(join(this.#directory, name), { bigint: true });
      const { ino, size, mtimeNs, ctimeNs, mtimeMs } = stats;
      if (!stats.isFile()) return unreadableLook(noFile, oneLine(`${name}: is no file`));
      const changedMs = Number(mtimeMs);
      const isSettled = this.#isPast(changedMs, settleMs);
      return { signature: `${ino} ${size} ${mtimeNs} ${ctimeNs}`, isSettled, changedMs };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return undefined;
      return unreadableLook(`${code}`, unreadable(name, error).problem);
    }
  }

  /** Whether it is time to read a file that is not the one that is known. */
  #isDue(name: string, { signature, isSettled }: Look): boolean {
    const wait = this.#waits.get(name);
    if (wait?.signature === signature) return this.#isPast(wait.sinceMs, stableMs);
    return isSettled || this.#isFirst;
  }

  /** Returns the file's problems; undefined if it is to be left alone until it has been stable. */
  async #read(
    name: string,
    look: Look,
    signal: AbortSignal | undefined,
  ): Promise<readonly string[] | undefined> {
    const { signature } = look;
    const known = this.#files.get(name);
    const former = known?.objects ?? nothing;
    const hasWaited = this.#waits.get(name)?.signature === signature;
    const manifest = await this.#load(name, look, signal);
    const isSame = this.#look(name)?.signature === signature;
    if (!isSame && !this.#isFirst) return undefined;
    const read = manifest.isReadable ? withFormer(manifest.objects, former) : former;
    const isLoss = losesObjects(former, read);
    if (isLoss && !hasWaited) {
      this.#waits.set(name, { signature, sinceMs: this.#now() });
      return undefined;
    }
    const isTruncated = isLoss && read.isEmpty;
    const objects = isTruncated ? former : read;
    const problems = manifest.isReadable ? manifest.objects.problems : [manifest.problem];
    const wasComplete = known?.isComplete ?? !this.#isFirst;
    const isWhole = signature === noFile || (problems.length === 0 && !read.isEmpty);
    const isStable = isSame && (hasWaited || this.#isPast(look.changedMs, stableMs));
    const isComplete = wasComplete || (isWhole && isStable);
    if (isWhole && !isComplete) this.#waits.set(name, { signature, sinceMs: this.#now() });
    else this.#waits.delete(name);
    this.#files.set(name, { signature: this.#waits.has(name) ? '' : signature, objects, isComplete });
    return isTruncated
      ? [oneLine(`${name}: holds no document; its former objects stay until it is deleted`)]
      : problems;
  }

  async #load(name: string, { problem }: Look, signal: AbortSignal | undefined): Promise<Manifest> {
    if (problem !== undefined) return { isReadable: false, problem };
    return loadManifest(join(this.#directory, name), signal);
  }

  /** A time that is still to come is one of another clock, which says nothing. */
  #isPast(sinceMs: number, durationMs: number): boolean {
    const elapsedMs = this.#now() - sinceMs;
    return elapsedMs < 0 || elapsedMs >= durationMs;
  }
}
