// SPDX-License-Identifier: Apache-2.0
// One manifest file: its documents, and the objects in them.
import { parseAllDocuments } from 'yaml';
import { type Ingested, ingest } from './ingest.ts';

/** The endings of names that are read: JSON is YAML too, but has a parser that is far faster. */
export const manifestEndings = ['.yaml', '.yml', '.json'] as const;

export type Manifest =
  | { readonly isReadable: true; readonly objects: Ingested }
  /** The text is no YAML or JSON: nothing is known of its objects. */
  | { readonly isReadable: false; readonly problem: string };

/** `name` decides between JSON and YAML, and names the file in problems. */
export function readManifest(name: string, text: string): Manifest {
  try {
    return { isReadable: true, objects: ingest(parse(name, text), name) };
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return { isReadable: false, problem: `${name}: ${reason}` };
  }
}

function parse(name: string, text: string): readonly unknown[] {
  if (name.endsWith('.json')) return [JSON.parse(text)];
  return parseAllDocuments(text).map((document) => {
    if (document.errors[0]) throw document.errors[0];
    return document.toJS();
  });
}
