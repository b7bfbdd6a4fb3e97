// SPDX-License-Identifier: Apache-2.0
// What follows a cluster's objects, wherever they come from, and what it tells.
import type { ClusterChange, ClusterObjects } from '../model/cluster.ts';

/** What a follower calls; none of it may throw. */
export interface ClusterListener {
  /**
   * The first call has all objects there are, each later one those that are different.
   * @param unread what has not been read without a problem yet: objects may be missing
   */
  objectsChanged(change: ClusterChange, unread: readonly string[]): void;
  /** Lines for a person to read, each once for the change that brought it up. */
  problemsFound(problems: readonly string[]): void;
}

/** Closing it ends the following; after that has resolved the listener is not called any more. */
export interface ClusterSource extends AsyncDisposable {
  /**
   * Tells the author of a Service ("namespace/name") of something, where there is a way to; `reason` is one word, and so is
   * `action`, which says what was to be done.
   */
  warn(service: string, reason: string, note: string, action?: string): void;
  close(): Promise<void>;
}

/** A change under construction. */
export interface MutableClusterChange extends ClusterChange {
  readonly services: Map<string, ClusterObjects['services'][number] | undefined>;
  readonly slices: Map<string, ClusterObjects['slices'][number] | undefined>;
  readonly nodes: Map<string, ClusterObjects['nodes'][number] | undefined>;
}

export function emptyChange(): MutableClusterChange {
  return { services: new Map(), slices: new Map(), nodes: new Map() };
}

/** What leads from one set of objects to another; an object that was kept is the same in both. */
export function changeBetween(former: ClusterObjects, now: ClusterObjects): ClusterChange {
  return {
    services: difference(former.services, now.services),
    slices: difference(former.slices, now.slices),
    nodes: difference(former.nodes, now.nodes),
  };
}

interface Named {
  readonly namespace?: string;
  readonly name: string;
}

function difference<T extends Named>(former: readonly T[], now: readonly T[]): Map<string, T | undefined> {
  const before = new Map(former.map((object) => [keyOf(object), object]));
  const changed = new Map<string, T | undefined>();
  for (const object of now) {
    const key = keyOf(object);
    if (before.get(key) !== object) changed.set(key, object);
    before.delete(key);
  }
  for (const key of before.keys()) changed.set(key, undefined);
  return changed;
}

function keyOf({ namespace, name }: Named): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}
