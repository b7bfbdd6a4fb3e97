// SPDX-License-Identifier: Apache-2.0
// Where the daemon has the cluster's objects from: a folder of manifests, or an API server.
import { access } from 'node:fs/promises';
import type { ApiSourceListener } from '../api/api-source.ts';
import type { ApiServerOptions } from '../api/kube-config.ts';
import { InputError } from '../errors.ts';
import { type ClusterSource, changeBetween } from '../kube/cluster-source.ts';
import { ManifestDirectory } from '../kube/manifest-directory.ts';
import type { ClusterObjects } from '../model/cluster.ts';

/** A folder's path, or the API server. */
export type ClusterLocation = { readonly manifests: string } | { readonly api: ApiServerOptions };

/** How to follow it; found before anything of the node is touched. */
export type OpenSource = (node: string, listener: ApiSourceListener) => Promise<ClusterSource>;

/** Throws InputError for a folder that cannot be read, or a kubeconfig that cannot be used. */
export async function findSource(location: ClusterLocation): Promise<OpenSource> {
  if ('api' in location) return findApi(location.api);
  const { manifests } = location;
  await access(`${manifests}/.`).catch((error) => {
    throw unreadable(manifests, error);
  });
  return (_node, listener) => openManifests(manifests, listener);
}

/** What requests need is loaded only here: a folder of manifests does without HTTP and TLS. */
async function findApi(options: ApiServerOptions): Promise<OpenSource> {
  const [{ ApiClient }, { ApiSource }, { findApiServer }] = await Promise.all([
    import('../api/api-client.ts'),
    import('../api/api-source.ts'),
    import('../api/kube-config.ts'),
  ]);
  const client = new ApiClient(await findApiServer(options));
  return async (node, listener) => new ApiSource(client, { node }, listener);
}

async function openManifests(manifests: string, listener: ApiSourceListener): Promise<ClusterSource> {
  let known: ClusterObjects = { services: [], slices: [], nodes: [] };
  try {
    const directory = await ManifestDirectory.open(manifests, {
      objectsChanged: (objects, unread) => {
        const change = changeBetween(known, objects);
        known = objects;
        listener.objectsChanged(change, unread);
      },
      problemsFound: (problems) => listener.problemsFound(problems),
    });
    const close = () => directory.close();
    return { warn: () => {}, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw unreadable(manifests, error);
  }
}

function unreadable(manifests: string, cause: unknown): InputError {
  return new InputError(`Expected a readable folder for --manifests but received "${manifests}"`, { cause });
}
