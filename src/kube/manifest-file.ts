// SPDX-License-Identifier: Apache-2.0
// One manifest file's text: its documents, and the objects in them.
import { CORE_SCHEMA, loadAll, mergeTag } from 'js-yaml';
import { type Ingested, ingest } from './ingest.ts';
import { oneLine } from './one-line.ts';

export type Manifest =
  | { readonly isReadable: true; readonly objects: Ingested }
  /** The text is no YAML or JSON: nothing is known of its objects. */
  | Unreadable;

interface Unreadable {
  readonly isReadable: false;
  readonly problem: string;
}

// As in Kubernetes, times are texts; merge keys (<<) work as they do there.
const schema = CORE_SCHEMA.withTags(mergeTag);

export function isManifestName(name: string): boolean {
  return !name.startsWith('.') && /\.(?:yaml|yml|json)$/.test(name);
}

/** `name` decides between JSON and YAML, and names the file in problems. */
export function parseManifest(name: string, content: string): Manifest {
  const text = content.replace(/^\uFEFF/, '');
  try {
    const documents = name.endsWith('.json') ? [JSON.parse(text)] : loadAll(text, { schema });
    // Parsers hand out slices of the text, each of which would keep all of it in memory; a clone holds only itself.
    return { isReadable: true, objects: structuredClone(ingest(documents, name)) };
  } catch (error) {
    return unreadable(name, error);
  }
}

export function unreadable(name: string, error: unknown): Unreadable {
  const message = error instanceof Error ? error.message : String(error);
  return { isReadable: false, problem: oneLine(`${name}: ${message.split('\n')[0]}`) };
}
