// SPDX-License-Identifier: Apache-2.0
// What is known of a folder's manifests, and how one look at the folder changes that.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ClusterObjects } from '../model/cluster.ts';
import { type Ingested, nothing } from './ingest.ts';
import { loadManifest } from './load-manifest.ts';
import { isManifestName, type Manifest, unreadable } from './manifest-file.ts';
import { mergeManifests, withFormer } from './merge.ts';

/** The signature of folders and the like, which hold no objects whatever they are called. */
const noFile = 'no file';
/** A file written to within this time may be half a file. */
const settleMs = 50;

export interface Scan {
  readonly objects: ClusterObjects;
  /** The problems of the files that changed since the last scan, and the duplicates that came up. */
  readonly problems: readonly string[];
  readonly hasChanged: boolean;
  /** Some file was left alone because it is just being written: look again soon. */
  readonly isUnsettled: boolean;
  /** Files of the first look that were never read without a problem: objects that were there before may be missing. */
  readonly unread: readonly string[];
}

/** One look at a file, which is read only if there is no problem with it. */
interface Look {
  readonly signature: string;
  readonly isSettled: boolean;
  readonly problem?: string;
}

interface KnownFile {
  readonly signature: string;
  readonly objects: Ingested;
  readonly isComplete: boolean;
}

export class ManifestStore {
  readonly #directory: string;
  readonly #now: () => number;
  readonly #files = new Map<string, KnownFile>();
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
   * do all objects of a file that is not readable any more; what is gone is gone. Rejects with what node:fs throws where
   * there is no such folder, the known files being kept. The first look takes files as they are, even if just written.
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
      if (look.isSettled || this.#isFirst) {
        problems.push(...(await this.#read(name, look, signal)));
        hasChanged = true;
      } else {
        isUnsettled = true;
      }
    }
    this.#isFirst = false;
    for (const name of this.#files.keys()) {
      if (!present.has(name)) hasChanged = this.#files.delete(name);
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
      if (!stats.isFile()) return { signature: noFile, isSettled: true, problem: `${name}: is no file` };
      const ageMs = this.#now() - Number(mtimeMs);
      return { signature: `${ino} ${size} ${mtimeNs} ${ctimeNs}`, isSettled: ageMs < 0 || ageMs >= settleMs };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return undefined;
      return { signature: `${code}`, isSettled: true, ...unreadable(name, error) };
    }
  }

  /** Returns the file's problems. */
  async #read(
    name: string,
    { signature, problem }: Look,
    signal: AbortSignal | undefined,
  ): Promise<readonly string[]> {
    const known = this.#files.get(name);
    const former = known?.objects ?? nothing;
    const manifest: Manifest =
      problem === undefined
        ? await loadManifest(join(this.#directory, name), signal)
        : { isReadable: false, problem };
    const objects = manifest.isReadable ? withFormer(manifest.objects, former) : former;
    const problems = manifest.isReadable ? objects.problems : [manifest.problem];
    const isHarmless = problems.length === 0 || signature === noFile;
    const isComplete = isHarmless || (known?.isComplete ?? !this.#isFirst);
    this.#files.set(name, { signature, objects, isComplete });
    return problems;
  }
}
