// SPDX-License-Identifier: Apache-2.0
// A folder of manifests, read once.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClusterObjects } from '../model/cluster.ts';
import type { Ingested } from './ingest.ts';
import { manifestEndings, readManifest } from './manifest-file.ts';
import { mergeManifests } from './merge.ts';

export interface ManifestSet {
  readonly objects: ClusterObjects;
  readonly problems: readonly string[];
}

/** Reads all manifests of the folder, subfolders excluded. Throws what node:fs throws where there is no such folder. */
export function readManifestDirectory(directory: string): ManifestSet {
  const files = new Map<string, Ingested>();
  const problems: string[] = [];
  for (const name of readdirSync(directory).filter(isManifestName).sort()) {
    const manifest = readManifest(name, readFileSync(join(directory, name), 'utf8'));
    if (manifest.isReadable) {
      files.set(name, manifest.objects);
      problems.push(...manifest.objects.problems);
    } else {
      problems.push(manifest.problem);
    }
  }
  const merged = mergeManifests(files);
  return { objects: merged.objects, problems: [...problems, ...merged.problems] };
}

function isManifestName(name: string): boolean {
  return !name.startsWith('.') && manifestEndings.some((ending) => name.endsWith(ending));
}
