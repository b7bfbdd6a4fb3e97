// SPDX-License-Identifier: Apache-2.0
// The metadata that every object has.
import { isKnownAnnotation } from '../model/annotations.ts';
import type { Annotations } from '../model/cluster.ts';
import { dnsLabel, type FieldReader, type Fields } from './fields.ts';

export interface Metadata {
  /** "default" where the object names none; empty for kinds without namespaces. */
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAtMs: number | undefined;
  /** Only those that have a say here. */
  readonly annotations: Annotations;
}

export function readMetadata(
  reader: FieldReader,
  object: Fields,
  name: RegExp,
  isNamespaced: boolean,
): Metadata {
  const metadata = reader.fields(object.metadata, 'metadata');
  const namespace =
    reader.name(metadata.namespace, 'metadata.namespace', dnsLabel, 'a DNS label') || 'default';
  reader.require(metadata.name, 'metadata.name');
  return {
    namespace: isNamespaced ? namespace : '',
    name: reader.name(metadata.name, 'metadata.name', name, 'a DNS name') ?? '',
    labels: reader.labels(metadata.labels, 'metadata.labels'),
    createdAtMs: readTime(reader, metadata.creationTimestamp, 'metadata.creationTimestamp'),
    annotations: readAnnotations(reader, metadata.annotations),
  };
}

const noAnnotations: Annotations = {};

function readAnnotations(reader: FieldReader, value: unknown): Annotations {
  const all = Object.entries(reader.labels(value, 'metadata.annotations'));
  const known = all.filter(([name]) => isKnownAnnotation(name));
  return known.length === 0 ? noAnnotations : Object.fromEntries(known);
}

function readTime(reader: FieldReader, value: unknown, path: string): number | undefined {
  const text = reader.text(value, path);
  if (text === undefined) return undefined;
  const ms = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(ms)) return ms;
  return reader.refuse(path, `expected a time of RFC 3339 but received "${text}"`);
}
