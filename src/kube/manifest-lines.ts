// SPDX-License-Identifier: Apache-2.0
// A Manifest as lines of JSON, an object each: whoever reads them never holds the text of more than one.
import type { EndpointSliceObject, NodeObject, ServiceObject } from '../model/cluster.ts';
import { type Ingested, nothing } from './ingest.ts';
import type { Manifest } from './manifest-file.ts';

type Line =
  | { readonly service: ServiceObject }
  | { readonly slice: EndpointSliceObject }
  | { readonly node: NodeObject }
  /** The first one, without objects. */
  | { readonly manifest: Manifest };

/** Each without its end. */
export function* manifestLines(manifest: Manifest): Generator<string> {
  const line = (value: Line) => JSON.stringify(value);
  if (!manifest.isReadable) {
    yield line({ manifest });
    return;
  }
  const { services, slices, nodes, ...rest } = manifest.objects;
  yield line({ manifest: { isReadable: true, objects: { ...nothing, ...rest } } });
  for (const service of services) yield line({ service });
  for (const slice of slices) yield line({ slice });
  for (const node of nodes) yield line({ node });
}

/** The inverse of {@link manifestLines}. Rejects with SyntaxError for what it has not made. */
export async function readManifestLines(lines: AsyncIterable<string>): Promise<Manifest> {
  const services: ServiceObject[] = [];
  const slices: EndpointSliceObject[] = [];
  const nodes: NodeObject[] = [];
  let manifest: Manifest | undefined;
  for await (const text of lines) {
    const line: Line = JSON.parse(text, shareEmpty);
    if ('service' in line) services.push(line.service);
    else if ('slice' in line) slices.push(line.slice);
    else if ('node' in line) nodes.push(line.node);
    else manifest = line.manifest;
  }
  if (!manifest) throw new SyntaxError('Expected the lines of a manifest but received none');
  if (!manifest.isReadable) return manifest;
  const objects: Ingested = { ...manifest.objects, services, slices, nodes };
  return { isReadable: true, objects };
}

const emptyList: readonly never[] = [];
const emptyFields = {};

/** Most lists of most objects are empty: in memory they are one. */
function shareEmpty(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Object.keys(value).length > 0) return value;
  return Array.isArray(value) ? emptyList : emptyFields;
}
