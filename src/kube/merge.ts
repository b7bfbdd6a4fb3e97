// SPDX-License-Identifier: Apache-2.0
// The objects of several files as one cluster.
import type { ClusterObjects } from '../model/cluster.ts';
import type { Ingested } from './ingest.ts';
import { oneLine } from './one-line.ts';

interface Named {
  readonly namespace?: string;
  readonly name: string;
}

/**
 * `read` with, for each object that was refused, the valid one that `former` has of it; and with all of `former` that is not
 * in `read` where a document could not be told.
 */
export function withFormer(read: Ingested, former: Ingested): Ingested {
  const refused = new Set(read.refused);
  const keep = <T extends Named>(kind: string, now: readonly T[], before: readonly T[]): readonly T[] => {
    const present = new Set(read.hasUnknown ? now.map(objectId) : []);
    const isKept = (id: string) => refused.has(`${kind} ${id}`) || (read.hasUnknown && !present.has(id));
    return [...now, ...before.filter((object) => isKept(objectId(object)))];
  };
  return {
    ...read,
    services: keep('Service', read.services, former.services),
    slices: keep('EndpointSlice', read.slices, former.slices),
    nodes: keep('Node', read.nodes, former.nodes),
  };
}

/** Whether `former` has an object that `now` has not. */
export function losesObjects(former: ClusterObjects, now: ClusterObjects): boolean {
  const loses = (before: readonly Named[], after: readonly Named[]) => {
    const present = new Set(after.map(objectId));
    return before.some((object) => !present.has(objectId(object)));
  };
  return (
    loses(former.services, now.services) || loses(former.slices, now.slices) || loses(former.nodes, now.nodes)
  );
}

/** An object that several files define (or one file twice) is that of the file whose name sorts first. */
export function mergeManifests(files: ReadonlyMap<string, Ingested>): {
  readonly objects: ClusterObjects;
  /** One line for each object that has no effect. */
  readonly problems: readonly string[];
} {
  const problems: string[] = [];
  const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  const merge = <T extends Named>(
    kind: string,
    pick: (objects: ClusterObjects) => readonly T[],
  ): readonly T[] => {
    const owners = new Map<string, string>();
    const merged: T[] = [];
    for (const [file, objects] of sorted) {
      for (const object of pick(objects)) {
        const id = objectId(object);
        const owner = owners.get(id);
        if (owner === undefined) {
          owners.set(id, file);
          merged.push(object);
        } else {
          const line = `${file}: ${kind} ${id}: metadata.name: already defined in ${owner}, which counts`;
          problems.push(oneLine(line));
        }
      }
    }
    return merged;
  };
  const objects = {
    services: merge('Service', (each) => each.services),
    slices: merge('EndpointSlice', (each) => each.slices),
    nodes: merge('Node', (each) => each.nodes),
  };
  return { objects, problems };
}

function objectId({ namespace, name }: Named): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}
