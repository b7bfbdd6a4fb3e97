// SPDX-License-Identifier: Apache-2.0
// What an API server says of the objects of one kind: a page of a list, an event of a watch. Nothing of it is trusted.
import { ApiError } from './api-error.ts';

/** A kind of object, and which objects of it are wanted. */
export interface Resource {
  /** "/api/v1/services" */
  readonly path: string;
  readonly apiVersion: string;
  /** "Service" */
  readonly kind: string;
  /** labelSelector, fieldSelector */
  readonly selectors: Readonly<Record<string, string>>;
}

/** One object as it came, with what identifies it and its state. */
export interface RawObject {
  /** "namespace/name", or the name alone where the kind has no namespaces. */
  readonly key: string;
  readonly uid: string;
  readonly version: string;
  /** With apiVersion and kind, which the items of lists come without. */
  readonly document: Readonly<Record<string, unknown>>;
}

export interface ListPage {
  readonly objects: readonly RawObject[];
  readonly version: string;
  /** Asks for the next page; empty on the last one. */
  readonly next: string;
}

export type WatchEvent =
  | { readonly type: 'changed' | 'deleted'; readonly object: RawObject }
  | { readonly type: 'bookmark'; readonly version: string };

type Fields = Readonly<Record<string, unknown>>;

/** Throws ApiError for anything but a list of this kind: an answer that lacks objects must not look like a list without them. */
export function readPage(resource: Resource, answer: unknown): ListPage {
  const list = fields(answer);
  const metadata = fields(list.metadata);
  const version = text(metadata.resourceVersion);
  const items = list.items ?? [];
  const isList = list.kind === `${resource.kind}List` && list.apiVersion === resource.apiVersion;
  if (!isList || version === '' || !Array.isArray(items) || !('items' in list)) {
    throw nonsense(`expected a ${resource.kind}List but received ${shorten(answer)}`);
  }
  const objects = items.map((item) => readObject(resource, item));
  return { objects, version, next: text(metadata.continue) };
}

/** Throws ApiError for an event that tells of an error, and for what is none of the known events. */
export function readEvent(resource: Resource, line: unknown): WatchEvent {
  const event = fields(line);
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
      return { type: 'changed', object: readObject(resource, event.object) };
    case 'DELETED':
      return { type: 'deleted', object: readObject(resource, event.object) };
    case 'BOOKMARK': {
      const version = text(fields(fields(event.object).metadata).resourceVersion);
      if (version !== '') return { type: 'bookmark', version };
      break;
    }
    case 'ERROR':
      throw statusError(fields(event.object));
  }
  throw nonsense(`expected an event of a ${resource.kind} but received ${shorten(line)}`);
}

/** Whether version `a` is older than `b`: both count the changes of one store (KEP-5504). What is no number is not older. */
export function isOlder(a: string, b: string): boolean {
  return Number(a) < Number(b);
}

function readObject({ apiVersion, kind }: Resource, value: unknown): RawObject {
  const object = fields(value);
  const metadata = fields(object.metadata);
  const [namespace, name] = [text(metadata.namespace), text(metadata.name)];
  const version = text(metadata.resourceVersion);
  if (name === '' || version === '' || (object.kind ?? kind) !== kind) {
    throw nonsense(`expected a ${kind} but received ${shorten(value)}`);
  }
  return {
    key: namespace === '' ? name : `${namespace}/${name}`,
    uid: text(metadata.uid),
    version,
    document: { ...object, apiVersion, kind },
  };
}

function statusError(status: Fields): ApiError {
  const seconds = fields(status.details).retryAfterSeconds;
  return new ApiError(
    typeof status.code === 'number' ? status.code : 500,
    text(status.reason),
    `the API server ended the watch: ${text(status.message)}`,
    typeof seconds === 'number' ? seconds * 1000 : undefined,
  );
}

function nonsense(message: string): ApiError {
  return new ApiError(0, 'Nonsense', `the API server's answer makes no sense: ${message}`);
}

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function shorten(value: unknown): string {
  const json = JSON.stringify(value) ?? 'nothing';
  return json.length <= 100 ? json : `${json.slice(0, 97)}...`;
}
